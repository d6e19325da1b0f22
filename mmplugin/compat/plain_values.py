"""Arrays and scalars of numpy, read from a pickle without letting numpy interpret it.

A checkpoint of mmengine holds a few numpy values (its loss histories). numpy's own functions for
unpickling trust the file: a crafted dtype makes them take numbers for pointers. So the names a
pickle uses for them are answered by the stand-ins below, which accept plain numbers and text and
build each array from its bytes. An array ends up in its place only after the file has been read,
hence ``settle``.
"""

import re
from typing import Any

import numpy as np

_PLAIN = re.compile(r'b1|[iu][1248]|f[248]|c(8|16)|[SU]\d+')


class NotPlainError(ValueError):
    """The pickle holds something else than plain numbers and text; the message says what."""


class _Dtype:
    """What a pickle makes of ``numpy.dtype(code, align, copy)`` and its state."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not _PLAIN.fullmatch(code):
            raise NotPlainError(f'a numpy dtype that is neither numbers nor text: {code!r}')
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        # (version, byte order, subarray, names, fields, itemsize, alignment, flags)
        if state[1] in ('<', '>'):
            self.value = self.value.newbyteorder(state[1])


class _Array:
    """What a pickle makes of a numpy array: an empty one, then its state."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, column_major, data = state
        if type(dtype) is not _Dtype or type(data) is not bytes:
            raise NotPlainError('a numpy array of neither numbers nor text')
        flat = np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order='F' if column_major else 'C').copy()


class _ArrayType:
    """Stands for the class ``numpy.ndarray``, of which a pickle only needs the name."""


def _empty_array(array_type: type, shape: tuple, code: bytes) -> _Array:
    if array_type is not _ArrayType:
        raise NotPlainError('a numpy array of a foreign class')
    return _Array()


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    if type(dtype) is not _Dtype or type(data) is not bytes:
        raise NotPlainError('a numpy scalar that is neither number nor text')
    (value,) = np.frombuffer(data, dtype.value)
    return value


def _plain_dict(content: dict) -> dict:
    """A nested dict of a config, as in the ``metainfo`` of a data set."""
    if type(content) is not dict:
        raise NotPlainError('a config that is no dict')
    return content


def _no_bytes() -> bytes:
    """How a pickle writes the data of an array without elements."""
    return b''


STAND_INS = [
    (_no_bytes, 'builtins.bytes'),
    (_Dtype, 'numpy.dtype'),
    (_Array, 'mmplugin.compat.plain_values._Array'),
    (_ArrayType, 'numpy.ndarray'),
    (_empty_array, 'numpy._core.multiarray._reconstruct'),
    (_scalar, 'numpy._core.multiarray.scalar'),
    (_plain_dict, 'mmengine.config.config.ConfigDict'),
    # the names in files written under numpy 1
    (_empty_array, 'numpy.core.multiarray._reconstruct'),
    (_scalar, 'numpy.core.multiarray.scalar'),
]
"""What answers which name, as ``torch.serialization.safe_globals`` takes them."""


def settle(value: Any, owners: tuple[type, ...]) -> Any:
    """Put the arrays in the place of their stand-ins.

    Args:
        value: what was unpickled with ``STAND_INS``. Dicts, lists and the attributes of
            ``owners`` are changed in place, tuples are rebuilt.
        owners: classes whose attributes may hold arrays.

    Returns:
        The value, or what takes its place.
    """
    return _settle(value, owners, set())


def _settle(value: Any, owners: tuple[type, ...], seen: set[int]) -> Any:
    if type(value) is _Array:
        if value.value is None:
            raise NotPlainError('a numpy array without contents')
        return value.value
    if type(value) is _Dtype:
        return value.value
    if value is _ArrayType:
        raise NotPlainError('a class instead of a value')
    if type(value) is tuple:
        return tuple(_settle(item, owners, seen) for item in value)
    if type(value) in owners:
        value_dict = vars(value)
    elif isinstance(value, dict):
        value_dict = value
    elif type(value) is list:
        if id(value) not in seen:
            seen.add(id(value))
            value[:] = [_settle(item, owners, seen) for item in value]
        return value
    else:
        return value
    if id(value_dict) not in seen:
        seen.add(id(value_dict))
        for key, item in value_dict.items():
            value_dict[key] = _settle(item, owners, seen)
    return value
