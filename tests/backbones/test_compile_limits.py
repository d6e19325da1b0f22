"""Compiled backbones at the sizes where stages change between fused and unfused forms."""

import pytest
import torch
import torch._dynamo.testing

from mmplugin.backbones import PoolFormer
from mmplugin.ops import paths
from tests.tensors import image, relative_error

ARCH = dict(depths=(1, 1, 1, 1), embed_dims=(64, 128, 320, 512), mlp_ratios=(1, 1, 1, 1))
SIZES = [
    (64, 64),
    (96, 160),
    (256, 256),
    (256, 352),
    (512, 512),
    (480, 640),
    (800, 1344),
    (832, 1312),
]


def fused_stages(size: tuple[int, int]) -> tuple[bool, ...]:
    """Which stages of an image are over the limits, at inference."""
    pixels = [size[0] * size[1] // 16 // 4**stage for stage in range(4)]
    return tuple(
        n >= paths.FUSED_PIXELS and n * dim >= paths.FUSED_ELEMENTS
        for n, dim in zip(pixels, ARCH['embed_dims'])
    )


@pytest.mark.slow
def test_one_graph_for_each_set_of_fused_stages():
    torch._dynamo.reset()
    model = PoolFormer(ARCH).eval()
    counter = torch._dynamo.testing.CompileCounterWithBackend('aot_eager')
    graph = torch.compile(model, backend=counter, fullgraph=True)
    with torch.no_grad():
        for size in SIZES:
            x = image(1, 3, *size, dtype=torch.float32)
            for mine, other in zip(graph(x), model(x)):
                assert relative_error(mine, other) < 1e-4
    forms = {fused_stages(size) for size in SIZES}
    assert len(forms) == 4
    assert counter.frame_count <= len(forms) + 1  # the first size of all has a graph of its own
