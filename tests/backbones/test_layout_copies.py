"""Maps change their memory layout where it is needed, and nowhere else.

A copy between layouts moves a whole map through memory and shows in no result. The profiler sees
them all, those inside of fused operations too.
"""

import math
from typing import NamedTuple

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.families import TINY, families
from tests.tensors import image

SIDE = 512
SMALLEST = 2 * TINY['embed_dims'][-1] * (SIDE // 32) ** 2
"""Elements of the last stage's map, of a batch of two; no weight is larger."""
LAYOUTS = [torch.contiguous_format, torch.channels_last]


class Copy(NamedTuple):
    shape: tuple[int, ...]
    by: str
    """The operations around it, the innermost first."""


def layout_copies(call):
    """Copies of whole maps into another order of dimensions, while ``call`` runs."""
    with profile(
        activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True
    ) as profiler:
        call()
    tree = profiler.profiler.kineto_results.experimental_event_tree()
    return [
        Copy(tuple(event.extra_fields.inputs[0].sizes), ' < '.join(names_above(event)))
        for event in walk(tree)
        if event.name == 'aten::copy_' and is_layout_copy(*event.extra_fields.inputs[:2])
    ]


def walk(events):
    for event in events:
        yield event
        yield from walk(event.children)


def names_above(event):
    while (event := event.parent) is not None:
        yield event.name


def is_layout_copy(target, source):
    return (
        not repeats(source)
        and math.prod(target.sizes) >= SMALLEST
        and target.sizes == source.sizes
        and order_of(target) != order_of(source)
    )


def repeats(tensor):
    """Whether elements stand in several places: a bias spread out, windows that overlap."""
    places = 1 + sum((n - 1) * stride for n, stride in zip(tensor.sizes, tensor.strides))
    return places < math.prod(tensor.sizes)


def order_of(tensor):
    """Dimensions, the slowest first."""
    sides = [i for i, size in enumerate(tensor.sizes) if size > 1]
    return sorted(sides, key=lambda i: -tensor.strides[i])


def run_of(model, x, training, neck=None):
    def run():
        with torch.set_grad_enabled(training):
            outputs = model(x) if neck is None else neck(model(x))
        if training:
            torch.autograd.backward(outputs, [torch.ones_like(o) for o in outputs])
        return outputs

    run()  # what happens once, such as a line in the log, is no part of it
    return run


def test_the_profiler_sees_copies_between_layouts():
    x = image(2, 8, 32, 32, dtype=torch.float32)
    assert [c.shape for c in layout_copies(lambda: x.to(memory_format=torch.channels_last))] == [
        (2, 8, 32, 32)
    ]
    assert not layout_copies(x.clone)
    assert not layout_copies(lambda: torch.nn.functional.pad(x, (1, 1)))


@pytest.mark.parametrize('fused', [False, True], ids=['unfused', 'fused'])
@pytest.mark.parametrize('layout', LAYOUTS, ids=['nchw', 'channels_last'])
@pytest.mark.parametrize('mode', ['inference', 'training'])
@pytest.mark.parametrize('family', families())
def test_no_copies_but_those_needed(family, mode, layout, fused, monkeypatch):
    from mmdet.models.necks import FPN  # after mmplugin, which mends what it needs

    for name in ('FUSED_PIXELS', 'FUSED_ELEMENTS', 'FUSED_TRAINING_ELEMENTS'):
        monkeypatch.setattr(f'mmplugin.ops.paths.{name}', 1 if fused else 10**9)
    model = families()[family](arch=TINY).train(mode == 'training')
    x = image(2, 3, SIDE, SIDE, dtype=torch.float32).contiguous(memory_format=layout)
    run = run_of(model, x, mode == 'training')
    copies = layout_copies(run)
    shapes = [copy.shape for copy in copies]
    assert shapes.count(tuple(x.shape)) == (layout == torch.contiguous_format)
    outputs = run()
    restored = mode == 'training' and layout == torch.contiguous_format
    rest = sorted(copy.shape for copy in copies if copy.shape != tuple(x.shape))
    # where gradients are recorded, each output and its gradient go from one layout to the other
    assert rest == sorted(tuple(o.shape) for o in outputs for _ in range(2 * restored))
    expected = torch.contiguous_format if restored else torch.channels_last
    assert all(o.is_contiguous(memory_format=expected) for o in outputs)
    if not restored:  # in NCHW an FPN makes copies of its own
        neck = FPN([*TINY['embed_dims']], 16, 5).train(mode == 'training')
        with_neck = layout_copies(run_of(model, x, mode == 'training', neck))
        assert len(with_neck) == len(copies), '\n'.join(map(str, with_neck))
