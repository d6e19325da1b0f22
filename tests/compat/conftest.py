"""Fixtures of the compat tests; ``import mmplugin`` puts the stand-in in place."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import mmplugin  # noqa: F401  (activates the stand-in)

_TRIMMED = Path(__file__).parent / 'fixtures' / 'mmcv_cpu_ops.npz'


class Reference:
    """Results of mmcv's compiled CPU kernels, as tensors and plain numbers by key."""

    def __init__(self, path: Path):
        with np.load(path) as arrays:
            self._arrays = dict(arrays)

    def cases(self, op: str) -> list[dict]:
        """All cases of an operator, each a dict of its arrays."""
        found: dict[str, dict] = {}
        for key, array in self._arrays.items():
            name, number, field = key.split('/')
            if name == op:
                value = torch.from_numpy(array) if array.ndim else array.item()
                found.setdefault(number, {})[field] = value
        assert found, f'{op} is not in the reference'
        return list(found.values())


@pytest.fixture(scope='session')
def compiled() -> Reference:
    """The committed results."""
    return Reference(_TRIMMED)


@pytest.fixture(
    scope='session', params=['committed', pytest.param('full', marks=pytest.mark.real_data)]
)
def compiled_all(request) -> Reference:
    """The committed results, then the untrimmed set where it is at hand."""
    if request.param == 'committed':
        return Reference(_TRIMMED)
    folder = os.environ.get('MMPLUGIN_REAL_DATA')
    if not folder:
        pytest.skip('MMPLUGIN_REAL_DATA is unset')
    return Reference(Path(folder) / 'ops_reference' / 'mmcv_cpu_ops.npz')


@pytest.fixture
def rng() -> torch.Generator:
    """A freshly seeded generator."""
    return torch.Generator().manual_seed(0)
