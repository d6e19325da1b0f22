"""One comparison: several peers of one network, one mode, one image size."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmplugin.benchmark.ceilings import convolution_seconds
from mmplugin.benchmark.memory import peak_bytes, saved_bytes
from mmplugin.benchmark.peers import build_ours, build_peer
from mmplugin.benchmark.timing import interleaved

MODES = ('inference', 'training')


def compare(
    backbone: str,
    peers: list[str],
    mode: str,
    shape: tuple[int, int],
    batch: int,
    dtype: torch.dtype,
    device: str,
    seconds: float,
    others: dict[str, Callable[[str], nn.Module]],
) -> list[dict]:
    """Measure one comparison.

    Returns:
        One row a peer, in order, with times in milliseconds, memory in MB, and ``ceiling``: the
        convolutions alone (forward; in training not measured and None).
    """
    torch.manual_seed(0)
    image = torch.randn(batch, 3, *shape, device=device, dtype=dtype)
    steps, memory = {}, {}
    for name in peers:
        built = (
            None if (name, mode) == ('deploy', 'training') else build_peer(name, backbone, others)
        )
        if built is None:
            continue
        model, layout = built
        model = model.to(device, dtype).train(mode == 'training')
        x = image.contiguous(memory_format=layout)
        steps[name] = step_of(model, x, mode)
        if mode == 'training':
            memory[name] = saved_bytes(model, x), peak_bytes(steps[name], device)
    timings = interleaved(steps, seconds, device)
    ceiling = gflop = None
    if mode == 'inference':
        plain = build_ours(backbone, fast=False).to(device, dtype).eval()
        ceiling, gflop = convolution_seconds(plain, image, seconds / 2, device)
    first = next(iter(timings.values())).median
    rows = []
    for name, timing in timings.items():
        saved, peak = memory.get(name, (None, None))
        row = dict(backbone=backbone, mode=mode, shape=shape, batch=batch, peer=name)
        row.update(ms=timing.median * 1e3, fastest=timing.fastest * 1e3)
        row.update(spread=timing.spread * 1e3, calls=timing.calls, speedup=first / timing.median)
        row.update(ceiling=ceiling and ceiling * 1e3, gflop=gflop)
        row.update(saved_mb=saved and saved / 1e6, peak_mb=peak and peak / 1e6)
        rows.append(row)
    return rows


def step_of(model: nn.Module, x: Tensor, mode: str) -> Callable[[], object]:
    """One inference, or one forward and backward pass from gradients of one."""

    def infer():
        with torch.no_grad():
            return model(x)

    def train():
        for parameter in model.parameters():
            parameter.grad = None
        outputs = model(x)
        torch.autograd.backward(outputs, [torch.ones_like(o) for o in outputs])

    return infer if mode == 'inference' else train
