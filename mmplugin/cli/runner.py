"""Building the runner of a config."""

from collections.abc import Sequence

from mmplugin.cli.checkpoint import guard_loading
from mmplugin.cli.widths import check_widths


def build_runner(cfg, notes: list[str], exact: bool, facts: Sequence[str] = ()):
    """Build the runner, log what was changed for it, and guard its checkpoint loading.

    Args:
        cfg: mmengine Config; ``runner_type`` picks another class than Runner.
        notes: warnings for the log.
        exact: whether a loaded checkpoint must be the model's own to the last tensor.
        facts: lines that the log has together. Default: none.

    Raises:
        UserError: where neck or head expect other channels than the backbone gives.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    check_widths(cfg.model, runner.model)
    if facts:
        runner.logger.info('\n'.join(facts))
    for note in notes:
        runner.logger.warning(note)
    guard_loading(runner, exact)
    return runner
