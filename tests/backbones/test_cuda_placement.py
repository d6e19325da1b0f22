"""Every family on a GPU, without one: placement and type rules, no results."""

import sys

import pytest
import torch

from mmplugin.registry import MODELS
from tests.families import TINY, families, variants
from tests.pretended_gpu import CUDA, PretendedGPU


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.__future__, '_overwrite_module_params_on_conversion', True)
    with PretendedGPU() as mode:
        yield mode


def _build(family, arch):
    own = sys.modules[families()[family].__module__].VARIANTS[arch]
    small = {**own, **TINY}
    if 'static' in small or family == 'Container':
        small.update(num_heads=(2, 2, 2, 2), img_size=64)
    return MODELS.build(dict(type=f'mmplugin.{family}', arch=small, drop_path_rate=0.2))


# sizes of one family share their code; the forms of Container do not
FORMS = [
    pytest.param(name, arch, marks=[] if arch in ('s12', 'light') else pytest.mark.slow)
    for name, arch in variants()
    if name == 'Container' or arch == 's12'
]


@pytest.mark.parametrize(('family', 'arch'), FORMS)
def test_placement(gpu, family, arch):
    model = _build(family, arch).to('cuda')
    x = torch.rand(1, 3, 70, 60).to('cuda')
    maps = model.train()(x)
    assert {m.device for m in maps} == {CUDA}
    sum(m.sum() for m in maps).backward()
    assert {p.grad.device for p in model.parameters() if p.requires_grad} == {CUDA}
    assert not [name for name, _ in gpu.calls if name.startswith('mmplugin::')]  # forms for CPUs
    model.eval()
    for dtype in (torch.float16, torch.bfloat16):
        gpu.calls.clear()
        with gpu.autocast(dtype):
            assert {m.device for m in model(x)} == {CUDA}
        products = [types for name, types in gpu.calls if name == 'aten::convolution']
        assert products and all(set(types) == {dtype} for types in products)


@pytest.mark.parametrize('family', sorted(families()))
def test_deploy_form(gpu, family):
    model = _build(family, {'Container': 'light', 'PoolFormer': 's12'}[family]).eval().deploy()
    with torch.no_grad():
        maps = model.to('cuda')(torch.rand(1, 3, 70, 60).to('cuda'))
    assert {m.device for m in maps} == {CUDA}
