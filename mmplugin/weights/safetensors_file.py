"""Reading safetensors files, with errors of one line."""

import json
from pathlib import Path
from typing import Any

import torch


def load_safetensors(path: str, device: str = 'cpu') -> dict[str, Any]:
    """A safetensors file as an MM checkpoint.

    Args:
        path: of the file.
        device: where the tensors go. Default ``'cpu'``.

    Returns:
        ``{'state_dict': tensors by name, 'meta': the file's metadata}``; values of the metadata
        that are JSON are read as such.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is a folder, cut off or of another kind, or the package is not
            installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ValueError(
            f'{path}: reading it takes the package safetensors; install it with '
            '`pip install safetensors`'
        ) from None
    file = Path(path).expanduser()
    if file.is_dir():
        raise ValueError(f'{path}: is a folder; give the weight file in it')
    if not file.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        with safe_open(file, framework='pt', device=device) as content:
            meta = dict(content.metadata() or {})
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, RuntimeError, UnicodeError) as error:
        raise ValueError(
            f'{path}: not a readable safetensors file: cut off, or another kind of file '
            f'({" ".join(str(error).split())[:200]})'
        ) from None
    except OSError as error:
        if error.filename:
            raise
        raise ValueError(
            f'{path}: not a readable safetensors file ({" ".join(str(error).split())[:200]})'
        ) from None
    return {'state_dict': tensors, 'meta': {key: _plain(text) for key, text in meta.items()}}


def save_safetensors(path: str, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
    """Write tensors by name, and metadata as JSON.

    Raises:
        ValueError: the package is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ValueError(
            f'{path}: writing it takes the package safetensors; install it with '
            '`pip install safetensors`, or write a .pth'
        ) from None
    # tensors that share memory are refused by the format, hence the copies; transformers asks for
    # the word 'pt'
    own = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(
        own, path, {'format': 'pt', **{k: json.dumps(v, default=_as_list) for k, v in meta.items()}}
    )


def _as_list(value: Any) -> Any:
    """An array, which JSON does not know."""
    return value.tolist()


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
