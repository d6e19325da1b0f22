"""What ``mmcv.ops.info`` and mmengine's environment report print."""


def get_compiler_version() -> str:
    """Return the words shown in place of a compiler's version."""
    return 'not compiled (torchvision-backed)'


def get_compiling_cuda_version() -> str:
    """Return the words shown in place of the CUDA version of the build."""
    return 'not compiled (torchvision-backed)'
