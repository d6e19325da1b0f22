"""The frozen MM stack on current PyTorch.

``finder`` and ``mmcv_ext`` serve the ops of mmcv without a compiler; ``mends`` lists what of
mmengine is repaired; ``pth`` switches both on from interpreter start; ``doctor`` looks at the
environment. Nothing here imports the rest of mmplugin.
"""

_active = False


def activate() -> None:
    """Put finder and mends in place. Idempotent; imports neither torch nor a framework."""
    global _active
    if _active:
        return
    from . import finder, mends

    finder.install()
    mends.hang()
    _active = True
