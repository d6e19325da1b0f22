"""One optimizer group for all parameters that are trained alike."""

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmplugin.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with parameters of equal settings joined into one group.

    With a ``paramwise_cfg`` mmengine makes a group of every single parameter; an optimizer then
    steps through hundreds of groups one by one, fused or not, and so does each scheduler. The
    steps are the same. An optimizer state saved with other groups cannot be resumed.

    Takes what ``DefaultOptimWrapperConstructor`` takes.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # the whole model has been walked through
            params[:] = joined(params)


def joined(groups: list[dict]) -> list[dict]:
    """Groups with equal settings as one, in the order of their first parameters."""
    alike: list[tuple[dict, list]] = []
    for group in groups:
        settings = {key: value for key, value in group.items() if key != 'params'}
        params = next((params for known, params in alike if known == settings), None)
        if params is None:
            alike.append((settings, params := []))
        params += group['params']
    return [dict(settings, params=params) for settings, params in alike]
