"""The mends of mmengine: which module each belongs to, and what became of it."""

from types import ModuleType

from . import find_loader, package_utils
from .import_hooks import after_import


def _safe_url_loading(module: ModuleType) -> bool:
    from . import checkpoint  # imports torch, which mmengine has loaded by now

    return checkpoint.mend_load_url(module)


def _safe_file_loading(module: ModuleType) -> bool:
    from . import checkpoint

    return checkpoint.mend_torch_load(module)


def _safe_resuming(module: ModuleType) -> bool:
    from . import checkpoint

    return checkpoint.mend_resume(module)


def _safe_inference(module: ModuleType) -> bool:
    from . import checkpoint

    return checkpoint.mend_inferencer(module)


# module, what works thanks to its mend, the mend: module -> whether it was needed
MENDS = (
    ('mmengine.utils.package_utils', 'bases without pkg_resources', package_utils.mend),
    ('mmengine.config.utils', 'mmplugin:: bases', package_utils.know_mmplugin),
    ('mmengine.utils.dl_utils.misc', 'Python 3.14', find_loader.mend),
    ('mmengine.utils.dl_utils.hub', 'weights-only downloads', _safe_url_loading),
    ('mmengine.runner.checkpoint', 'weights-only checkpoints', _safe_file_loading),
    ('mmengine.runner.runner', 'resuming runs no text of a file', _safe_resuming),
    ('mmengine.runner._flexible_runner', 'the same for FlexibleRunner', _safe_resuming),
    ('mmengine.infer.infer', 'inferencers run no text of a file', _safe_inference),
)

applied: dict[str, bool] = {}
"""Of each module imported so far, whether it needed its mend."""


def _hook(mend):
    def apply(module: ModuleType) -> None:
        applied[module.__name__] = mend(module)

    return apply


def hang() -> None:
    """Let every mend follow the import of its module."""
    for module, _purpose, mend in MENDS:
        after_import(module, _hook(mend))
