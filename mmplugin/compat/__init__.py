"""The frozen MM stack on current PyTorch."""


def activate() -> None:
    """Put the mends in place. Idempotent."""
