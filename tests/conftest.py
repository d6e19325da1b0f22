import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def default_scope_of_its_own(monkeypatch):
    """A runner sets mmengine's default scope for the whole process: no test may see another's."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())


@pytest.fixture
def small_maps_fused(monkeypatch):
    """The fused forms take maps of any size, so that small images reach them."""
    for name in ('FUSED_PIXELS', 'FUSED_ELEMENTS', 'FUSED_TRAINING_ELEMENTS'):
        monkeypatch.setattr(f'mmplugin.ops.paths.{name}', 1)
