"""The fast path of every family: one switch, the same results, whole graphs for compilers."""

import copy
import logging

import pytest
import torch
import torch._dynamo.testing
from mmengine.logging import MMLogger

from tests.families import TINY, families
from tests.tensors import image, randomise, relative_error

pytestmark = pytest.mark.usefixtures('small_maps_fused')

slow = pytest.mark.slow
SIZES = [(64, 64), (65, 97)]


def pair(family, dtype=torch.float64, **settings):
    """The same network with the fast path and without."""
    fast = randomise(families()[family](arch=TINY, **settings)).to(dtype)
    plain = families()[family](arch=TINY, fast=False, **settings).to(dtype)
    plain.load_state_dict(fast.state_dict())
    return fast, plain


def results_of(model, x):
    x = x.clone().requires_grad_()
    torch.manual_seed(5)  # of drop path
    outputs = model(x)
    weights = [image(*o.shape, seed=2).to(o.dtype) for o in outputs]
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(outputs, [x, *trained.values()], weights)
    return [*outputs, *gradients]


def assert_alike(mine, others, bound):
    """Relative to 1 at least: a bias before a batch norm has no gradient but for rounding."""
    for one, other in zip(mine, others):
        assert (one - other).abs().max() < bound * other.abs().max().clamp_min(1)


@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float64, 1e-11), (torch.float32, 2e-3)])
@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('family', families())
def test_fast_and_plain_are_one_network(family, size, batch, dtype, bound):
    fast, plain = pair(family, dtype, drop_path_rate=0.5)
    x = image(batch, 3, *size, dtype=dtype)
    assert_alike(results_of(fast, x), results_of(plain, x), bound)
    with torch.no_grad():
        for mine, twin in zip(fast.eval()(x), plain.eval()(x)):
            assert relative_error(mine, twin) < bound


@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('family', families())
def test_half_precision(family, autocast, dtype, bound):
    truth = pair(family)[0].eval()
    model = copy.deepcopy(truth).to(torch.float32 if autocast else dtype)
    x = image(2, 3, 65, 97)
    with torch.no_grad(), torch.autocast('cpu', dtype, enabled=autocast):
        outputs = model(x.to(next(model.parameters()).dtype))
    for mine, true in zip(outputs, truth(x)):
        assert (mine - true).norm() / true.norm() < bound
    if autocast and dtype == torch.bfloat16:
        with torch.autocast('cpu', dtype):
            sum(o.float().sum() for o in model.train()(x.float())).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('family', families())
def test_gradients_in_half_precision(family, autocast, dtype):
    """No further from those of double precision than the plain form's are, twice that at most."""
    truth, _ = pair(family)
    x = image(2, 3, 65, 97)
    exact = results_of(truth, x)
    errors = []
    for model in pair(family):
        model.load_state_dict(truth.state_dict())
        model = model.to(torch.float32 if autocast else dtype)
        with torch.autocast('cpu', dtype, enabled=autocast):
            mine = results_of(model, x.to(next(model.parameters()).dtype))
        both = zip(mine[4:], exact[4:])  # after the maps of four stages
        differences, sizes = zip(*((m - e, e) for m, e in both))
        norms = [torch.cat([t.flatten() for t in ts]).norm() for ts in (differences, sizes)]
        errors.append(norms[0] / norms[1])
    fast, plain = errors
    assert fast < min(2 * plain + 1e-3, 0.1)


@pytest.mark.parametrize('family', families())
def test_says_once_which_path_runs(family):
    fast, plain = pair(family, torch.float32)
    logger = MMLogger.get_current_instance()
    x = image(1, 3, 40, 40, dtype=torch.float32)
    messages = []
    for model in (fast, plain):
        handler = Recorder()
        logger.addHandler(handler)
        try:
            model(x), model(x)
        finally:
            logger.removeHandler(handler)
        messages.append([m for m in handler.messages if 'operations' in m])
    form = 'fused' if family == 'PoolFormer' else 'unfused'
    assert messages == [
        [f'{family}: {form}, channels_last operations (cpu, torch.float32)'],
        [f'{family}: plain operations (cpu, torch.float32)'],
    ]


def test_only_deployed_containers_fuse():
    model = pair('Container', torch.float32)[0].eval()
    x = image(1, 8, 16, 16, dtype=torch.float32)
    with torch.no_grad():
        assert [model.path_of(x), model.deploy().path_of(x)] == ['unfused', 'fused']
    assert model.path_of(x) == 'unfused'


@pytest.mark.parametrize(
    ('family', 'fast', 'choices'),
    [
        ('PoolFormer', 'quick', "True, False or 'triton'"),
        ('PoolFormer', 1, "True, False or 'triton'"),
        ('Container', 'triton', 'True or False'),
        ('Container', None, 'True or False'),
    ],
)
def test_other_values_of_the_switch_are_refused(family, fast, choices):
    with pytest.raises(ValueError, match=f'{family}: fast is {choices}, got {fast!r}'):
        families()[family](arch=TINY, fast=fast)


class Recorder(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.mark.parametrize('family', families())
def test_the_switch_leaves_the_layout_alone(family):
    fast, plain = pair(family, torch.float32)
    x = image(1, 3, 64, 64, dtype=torch.float32)
    assert fast(x)[0].is_contiguous() and plain(x)[0].is_contiguous()
    with torch.no_grad():
        assert [model(x)[0].is_contiguous() for model in (fast, plain)] == [False, True]


# compilers -------------------------------------------------------------------------------------


def compiled(model):
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend('aot_eager')
    return torch.compile(model, backend=counter, fullgraph=True), counter


# Container's padding to its patches is another graph for sizes that patches do not divide
MANY_SIZES = {
    'PoolFormer': ((64, 96), (96, 64), (128, 160), (97, 131), (75, 222)),
    'Container': ((64, 96), (96, 64), (128, 160), (160, 224), (96, 256)),
}


@pytest.mark.parametrize('deploy', [False, True])
@pytest.mark.parametrize('family', ['PoolFormer', pytest.param('Container', marks=slow)])
def test_compiles_whole_and_not_for_each_image_size(family, deploy):
    model = pair(family, torch.float32)[0].eval()
    model = model.deploy() if deploy else model
    graph, counter = compiled(model)
    frames = []
    with torch.no_grad():
        for size in MANY_SIZES[family]:
            x = image(1, 3, *size, dtype=torch.float32)
            assert_alike(graph(x), model(x), 1e-5)
            frames.append(counter.frame_count)
    assert frames[-1] == frames[-3] and frames[-1] <= 3, frames


@pytest.mark.parametrize('family', ['PoolFormer', pytest.param('Container', marks=slow)])
def test_compiles_whole_in_training(family):
    model = pair(family, torch.float32)[0].train()
    other = copy.deepcopy(model)
    x = image(2, 3, 64, 96, dtype=torch.float32)
    assert_alike(results_of(compiled(other)[0], x), results_of(model, x), 1e-4)


@pytest.mark.parametrize('family', families())
def test_exports(family):
    model = pair(family, torch.float32)[0].eval()
    x = image(1, 3, 64, 96, dtype=torch.float32)
    with torch.no_grad():
        program = torch.export.export(model, (x,)).module()
        for mine, eager in zip(program(x), model(x)):
            assert relative_error(mine, eager) < 1e-5
