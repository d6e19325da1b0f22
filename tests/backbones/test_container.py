"""Container-Light equals the released network, tensor by tensor; its other forms as stated."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmplugin.analysis.macs import count
from mmplugin.backbones.container import VARIANTS, Container
from mmplugin.weights.container import rename_released
from tests.families import TINY
from tests.reference.container import ReleasedContainer
from tests.tensors import image, randomise, relative_error, weighted_sum

HEAD = 513_000  # 1000 classes
# with the classifier; light: the released file, full: its stage-4 block in all stages
PARAMETERS = {'light': 20_633_643, 'light-paper': 20_008_235, 'full': 21_808_826}


def loaded_from(reference, **settings):
    ours = Container(**settings).to(next(reference.parameters()).dtype)
    state = reference.state_dict()
    ours.load_state_dict({new: state[old] for old, new in rename_released(state).items()})
    return ours


@pytest.mark.parametrize('arch', PARAMETERS)
def test_parameter_counts_to_the_digit(arch):
    with torch.device('meta'):
        ours = Container(arch)
    assert sum(p.numel() for p in ours.parameters()) + HEAD == PARAMETERS[arch]


def test_the_reference_has_the_released_tensors():
    with torch.device('meta'):
        reference = ReleasedContainer(num_classes=1000)
    assert len(reference.state_dict()) == 422
    assert sum(p.numel() for p in reference.parameters()) == 20_633_643
    assert sum(b.numel() for b in reference.buffers()) == 20_261


@pytest.mark.parametrize(
    ('arch', 'size', 'gmacs'),
    [
        ('light', (224, 224), 3.848 - 0.0005),
        ('light-paper', (224, 224), 3.128 - 0.0005),
        ('full', (224, 224), 8.232 - 0.0005),
        ('light', (800, 1280), 81.44),
    ],
)
def test_macs(arch, size, gmacs):
    """The classifier, half a million, is in the stated figures at 224."""
    with torch.device('meta'):
        model = Container(arch).eval()
        _, whole = count(model, lambda: model(torch.empty(1, 3, *size)))
    assert whole.macs / 1e9 == pytest.approx(gmacs, rel=3e-4)


@pytest.mark.parametrize(
    ('arch', 'size', 'training'),
    [
        ('light', (64, 32), False),
        ('light-paper', (32, 32), False),
        (TINY, (128, 64), False),
        (TINY, (256, 288), True),
    ],
)
def test_equals_released_forward_and_backward(arch, size, training):
    batch = 2 if training else 1
    shape = VARIANTS[arch] if isinstance(arch, str) else arch
    reference = ReleasedContainer(shape['depths'], shape['embed_dims'], shape['mlp_ratios'])
    reference = randomise(reference.double())
    ours = loaded_from(reference, arch=arch)
    results = []
    for model in (ours, reference):
        model.train(training)
        inputs = image(batch, 3, *size).requires_grad_()
        outputs = model(inputs)
        weighted_sum(outputs).backward()
        results.append([*outputs, inputs.grad])
    for mine, theirs in zip(*results):
        assert relative_error(mine, theirs) < 1e-12
    theirs, own = dict(reference.named_parameters()), dict(ours.named_parameters())
    names = rename_released(theirs)
    assert len(own) == len(names)
    # a shift before a norm by the batch has no gradient but rounding: bound that by the largest
    largest = max(p.grad.abs().max() for p in theirs.values()) if training else 0
    for old, new in names.items():
        expected = theirs[old].grad
        bound = 1e-12 * expected.abs().max() + 1e-14 * largest
        assert (own[new].grad - expected).abs().max() <= bound, new
    buffers = dict(ours.named_buffers())
    for old, theirs in reference.named_buffers():
        torch.testing.assert_close(buffers[rename_released([old])[old]], theirs, rtol=1e-12, atol=0)


def test_no_pixel_is_lost_at_other_sizes():
    """The released code crops to 32s; here the outermost pixels still reach the last stage."""
    model = randomise(Container(TINY)).double().eval()
    x = image(1, 3, 65, 43).requires_grad_()
    outputs = model(x)
    assert [tuple(o.shape[2:]) for o in outputs] == [(17, 11), (9, 6), (5, 3), (3, 2)]
    outputs[3].square().sum().backward()
    assert (x.grad != 0).all()


def test_an_image_padded_by_the_user_gives_the_same_first_stage():
    model = randomise(Container(TINY, out_indices=(0,))).double().eval()
    x = image(1, 3, 30, 41)
    padded = torch.nn.functional.pad(x, (0, 3, 0, 2))
    assert torch.equal(model(x)[0], model(padded)[0])


def norms_of(model):
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('norm_frozen', [False, True])
def test_freezing_batch_norm(norm_eval, norm_frozen):
    model = randomise(Container(TINY, norm_eval=norm_eval, norm_frozen=norm_frozen))
    norms = norms_of(model)
    assert len(norms) == 2 * 5 + 1
    before = {k: v.clone() for k, v in model.state_dict().items() if 'running' in k}
    for mode in (True, False, True):
        model.train(mode)
        assert all(norm.training == (mode and not norm_eval) for norm in norms)
    weighted_sum(model(image(2, 3, 64, 64, dtype=torch.float32))).backward()
    moved = {k for k, v in model.state_dict().items() if k in before and not v.equal(before[k])}
    assert moved == (set() if norm_eval else set(before))
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    expected = {n for n in before if n.endswith('mean')} if norm_frozen else set()
    parts = ('weight', 'bias')
    assert frozen == {n.replace('running_mean', part) for n in expected for part in parts}


def test_norm_eval_holds_before_the_first_call_of_train():
    assert not any(norm.training for norm in norms_of(Container(TINY, norm_eval=True)))


def test_running_statistics_move_once_under_checkpointing():
    states = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = Container(TINY, with_cp=with_cp)
        weighted_sum(model(image(2, 3, 64, 64, dtype=torch.float32))).backward()
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_norm_cfg_and_out_norm_cfg():
    model = Container(TINY, norm_cfg=dict(type='GN', num_groups=2), out_norm_cfg=dict(type='BN'))
    kinds = [type(norm).__name__ for norm in model.norms.values()]
    assert kinds == ['BatchNorm2d', 'BatchNorm2d', 'BatchNorm2d', 'GroupNorm']
    assert type(model.stages[1].blocks[1].norm2).__name__ == 'GroupNorm'
    plain = [type(norm).__name__ for norm in Container(TINY).norms.values()]
    assert plain == ['Identity', 'Identity', 'Identity', 'BatchNorm2d']


def test_convolutions_start_as_pytorch_starts_them():
    torch.manual_seed(0)
    block = Container('light').stages[0].blocks[0]
    for conv in (block.mlp.fc1, block.mlp.fc2, block.token_mixer.static, block.position):
        bound = (conv.weight[0].numel()) ** -0.5
        assert 0.8 * bound < conv.weight.abs().max() <= bound
        assert 0.5 * bound < conv.bias.abs().max() <= bound


def parts_of(arch):
    with torch.device('meta'):
        model = Container(arch)
    mixers = [stage.blocks[0].token_mixer for stage in model.stages]
    return [
        (type(m.dynamic).__name__, type(m.static).__name__, type(m.gate).__name__) for m in mixers
    ]


DW = ('NoneType', 'DepthwiseAffinity', 'NoneType')
MIX = ('SelfAffinity', 'DepthwiseAffinity', 'ConvexGate')
PAM = ('SelfAffinity', 'TableAffinity', 'ConvexGate')
TABLE = ('NoneType', 'TableAffinity', 'NoneType')


@pytest.mark.parametrize(
    ('arch', 'parts'),
    [
        ('light', [DW, DW, DW, MIX]),
        ('light-paper', [DW, DW, DW, MIX]),
        ('full', [MIX] * 4),
        ('pam', [DW, DW, PAM, PAM]),
        ('mh-mlp', [DW, DW, TABLE, TABLE]),
        ('dw', [DW] * 4),
    ],
)
def test_parts_of_each_arch(arch, parts):
    assert parts_of(arch) == parts


def test_head_numbers_and_grids():
    with torch.device('meta'):
        full, tables = Container('full'), Container('mh-mlp')
    assert [s.blocks[0].token_mixer.dynamic.num_heads for s in full.stages] == [2, 4, 10, 16]
    shapes = [tables.stages[i].blocks[0].token_mixer.static.table.shape for i in (2, 3)]
    assert shapes == [(10, 196, 196), (16, 49, 49)]


TABLES = dict(
    TINY,
    num_heads=(1, 1, 3, 4),
    dynamic=(False, True, True, False),
    static=('conv', None, 'table', 'table'),
    img_size=64,
)


@pytest.mark.parametrize('mode', [None, 'tile', 'resample', 'fixed'])
@pytest.mark.parametrize('gate', [None, 'convex', 'free'])
def test_tables_at_the_pretraining_size_are_the_same_in_every_mode(mode, gate):
    model = randomise(Container(TABLES, table_mode=mode, gate=gate)).double().eval()
    plain = Container(TABLES, gate=gate).double().eval()
    plain.load_state_dict(model.state_dict())
    x = image(1, 3, 64, 64)
    for mine, theirs in zip(model(x), plain(x)):
        assert torch.equal(mine, theirs)
    if mode == 'fixed':
        with pytest.raises(ValueError, match='takes maps of 4x4 tokens, got 5x4'):
            model(image(1, 3, 65, 64))
    else:
        assert [o.isfinite().all() for o in model(image(1, 3, 65, 97))] == [True] * 4


def test_gates_have_names_an_optimizer_can_pick():
    names = {n for n, p in Container(TABLES, gate='free').named_parameters() if '.gate.' in n}
    assert names == {f'stages.2.blocks.0.token_mixer.gate.{name}' for name in ('alpha', 'beta')}
    names = {n for n, _ in Container(TINY).named_parameters() if '.gate.' in n}
    assert names == {'stages.3.blocks.0.token_mixer.gate.logit'}


@pytest.mark.parametrize(
    ('window_size', 'expected'),
    [(14, [14, 14, 14, None]), ([None, 7, 14, 28], [None, 7, 14, 28]), (None, [None] * 4)],
)
def test_windows_of_the_full_form(window_size, expected):
    with torch.device('meta'):
        model = Container('full', window_size=window_size)
    assert [s.blocks[0].token_mixer.dynamic.window_size for s in model.stages] == expected


def test_windows_change_nothing_on_maps_they_cover():
    settings = dict(TINY, num_heads=(2, 2, 2, 2), dynamic=(True,) * 4)
    model = randomise(Container(settings)).double().eval()
    windowed = Container(settings, window_size=8).double().eval()
    windowed.load_state_dict(model.state_dict())
    for mine, theirs in zip(windowed(image(1, 3, 32, 29)), model(image(1, 3, 32, 29))):
        assert torch.equal(mine, theirs)
    wide = [f(image(1, 3, 64, 64))[0] for f in (windowed, model)]
    assert relative_error(*wide) > 1e-6


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor any operator gave."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        self.elements = max([self.elements, *(t.numel() for t in tensors)])
        return result


def test_attention_builds_no_token_by_token_map_forward_or_backward():
    model = Container(dict(TINY, num_heads=(1, 1, 1, 1), dynamic=(True,) * 4), out_indices=(0,))
    tokens = 32 * 48
    with LargestTensor() as largest:
        outputs = model(image(1, 3, 128, 192, dtype=torch.float32))
        weighted_sum(outputs).backward()
    assert 0 < largest.elements < tokens**2 / 10


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='dw', gate='free'), 'no stage of this arch has two parts'),
        (dict(arch='light', gate='open'), "gate is one of convex, free, got 'open'"),
        (dict(arch='light', table_mode='tile'), 'no stage of this arch has a table'),
        (dict(arch=TABLES, table_mode='tiles'), "one of tile, resample, fixed, got 'tiles'"),
        (dict(arch='light', window_size=14), 'has attention only where'),
        (dict(arch='light', window_size=(7, None, None, None)), 'has attention only where'),
        (dict(arch='full', window_size=0), 'window_size is a positive number'),
        (dict(arch='full', window_size=(7, 7)), 'one a stage'),
        (dict(arch=dict(TINY, static=('dw',) * 4)), "static is 'conv', 'table' or None"),
        (dict(arch=dict(TINY, static=('conv', None, 'conv', 'conv'))), 'stage 2 has neither'),
        (dict(arch=dict(TINY, num_heads=(1, 1, 1, 3))), 'num_heads 3 does not divide the 32'),
        (dict(arch=dict(TINY, num_heads=(1, 1, 1, 0))), 'num_heads 0 does not divide the 32'),
        (dict(arch=dict(TINY, kernel_size=4)), 'kernel_size must be a positive odd number'),
        (dict(arch=dict(TINY, img_size=0)), 'img_size is a positive whole number'),
        (dict(arch=dict(TINY, dynamic=(True, True))), r'dynamic takes one value a stage \(4\)'),
    ],
)
def test_choices_without_sense_are_named(settings, message):
    with torch.device('meta'), pytest.raises(ValueError, match=message):
        Container(**settings)
