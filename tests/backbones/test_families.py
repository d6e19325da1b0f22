"""What holds for every family and every variant in the registry."""

import copy
import sys

import pytest
import torch
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.families import TINY, families, variants
from tests.tensors import image, weighted_sum


def tiny(family, **settings):
    return families()[family](arch=TINY, **settings)


@pytest.mark.parametrize(('family', 'arch'), variants())
def test_every_variant_builds_without_memory_and_says_its_outputs(family, arch):
    with torch.device('meta'):
        model = families()[family](arch)
        outputs = model(torch.empty(2, 3, 97, 161))
    settings = sys.modules[type(model).__module__].VARIANTS[arch]
    assert model.out_channels == tuple(settings['embed_dims'])
    assert model.out_strides == (4, 8, 16, 32)
    assert [len(stage.blocks) for stage in model.stages] == list(settings['depths'])
    for output, channels, stride in zip(outputs, model.out_channels, model.out_strides):
        assert output.shape[:2] == (2, channels)
        assert abs(output.shape[2] - 97 / stride) <= 1 and abs(output.shape[3] - 161 / stride) <= 1
    aligned = model.eval()(torch.empty(1, 3, 96, 160, device='meta'))
    assert [o.shape[2:] for o in aligned] == [(96 // s, 160 // s) for s in model.out_strides]


@pytest.mark.parametrize('scope', [None, 'mmdet', 'mmseg', 'mmengine'])
@pytest.mark.parametrize('family', families())
def test_builds_under_every_default_scope(family, scope):
    config = dict(type=f'mmplugin.{family}', arch=copy.deepcopy(TINY))
    with DefaultScope.overwrite_default_scope(scope):
        assert type(ROOT.build(config)) is families()[family]


@pytest.mark.parametrize('family', families())
def test_a_missing_prefix_fails_loudly(family):
    with pytest.raises(KeyError, match=f'{family} is not in the'):
        ROOT.build(dict(type=family, arch=TINY))


@pytest.mark.parametrize('size', [(64, 64), (65, 97), (70, 41)])
@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 3), (0,), (-1,), (2, 0)])
@pytest.mark.parametrize('family', families())
def test_every_trainable_parameter_gets_a_gradient(family, out_indices, size):
    model = tiny(family, out_indices=out_indices, drop_path_rate=0.0)
    outputs = model(image(2, 3, *size, dtype=torch.float32))
    assert [o.shape[1] for o in outputs] == list(model.out_channels)
    weighted_sum(outputs).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


@pytest.mark.parametrize('family', families())
def test_outputs_keep_the_order_asked_for(family):
    model = tiny(family).eval()
    x = image(1, 3, 64, 96, dtype=torch.float32)
    every = model(x)
    chosen = tiny(family, out_indices=[-1, 0, 2]).eval()
    chosen.load_state_dict(model.state_dict(), strict=False)
    assert chosen.out_indices == (3, 0, 2)
    assert chosen.out_channels == (32, 8, 24) and chosen.out_strides == (32, 4, 16)
    for output, index in zip(chosen(x), chosen.out_indices):
        assert torch.equal(output, every[index])


@pytest.mark.parametrize('family', families())
def test_nothing_past_the_last_output_is_built(family):
    model = tiny(family, out_indices=(0, 1))
    assert len(model.stages) == 2 and set(model.norms) == {'0', '1'}


@pytest.mark.parametrize('family', families())
def test_checkpointing_changes_nothing(family):
    x = image(3, 3, 49, 64, dtype=torch.float32)
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = tiny(family, with_cp=with_cp, drop_path_rate=0.5).train()
        torch.manual_seed(1)
        inputs = x.clone().requires_grad_()
        outputs = model(inputs)
        weighted_sum(outputs).backward()
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        results.append([*outputs, inputs.grad, *gradients])
    for plain, checkpointed in zip(*results):
        assert torch.equal(plain, checkpointed)


@pytest.mark.parametrize('family', families())
def test_checkpointing_really_recomputes(family):
    counts = {}
    for with_cp in (False, True):
        model, calls = tiny(family, with_cp=with_cp), []
        model.stages[1].blocks[1].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        weighted_sum(model(image(1, 3, 64, 64, dtype=torch.float32))).backward()
        counts[with_cp] = len(calls)
    assert counts == {False: 1, True: 2}


@pytest.mark.parametrize('family', families())
def test_drop_path_rises_linearly_over_all_blocks(family):
    model = tiny(family, drop_path_rate=0.4)
    rates = [block.drop_path.rate for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    early = tiny(family, drop_path_rate=0.4, out_indices=(1,))
    assert [b.drop_path.rate for s in early.stages for b in s.blocks] == pytest.approx(
        [0, 0.1, 0.2]
    )


@pytest.fixture
def distributed():
    """A group of one process that sends nothing: gloo's threads can deadlock when it is freed."""
    torch.distributed.init_process_group('fake', store=FakeStore(), rank=0, world_size=1)

    def unsent(state, bucket):
        future = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    def wrap(module):
        wrapped = torch.nn.parallel.DistributedDataParallel(module)
        wrapped.register_comm_hook(None, unsent)
        return wrapped

    yield wrap
    torch.distributed.destroy_process_group()


def two_steps(model):
    """An unused parameter is reported at the second forward."""
    for _ in range(2):
        weighted_sum(model(image(1, 3, 40, 40, dtype=torch.float32))).backward()


@pytest.mark.parametrize('family', families())
def test_no_parameter_is_unused_in_distributed_training(family, distributed):
    two_steps(distributed(tiny(family, out_indices=(1, 2))))
    lame = tiny(family, out_indices=(1, 2))
    lame.register_parameter('idle', torch.nn.Parameter(torch.ones(3)))
    with pytest.raises(RuntimeError, match='did not receive grad'):
        two_steps(distributed(lame))


@pytest.mark.parametrize('size', [None, (3, 40), (5, 4), (31, 7)])
@pytest.mark.parametrize('family', families())
def test_any_size_down_to_one_output_cell(family, size):
    model = tiny(family).eval()
    size = size or (model.min_size, model.min_size)
    outputs = model(image(1, 3, *size, dtype=torch.float32))
    assert all(min(o.shape[2:]) >= 1 and o.isfinite().all() for o in outputs)


@pytest.mark.parametrize('family', families())
def test_an_image_under_one_cell_is_refused(family):
    model = tiny(family)
    size = model.min_size - 1
    with pytest.raises(ValueError, match=f'{size}x40 pixels is smaller than one output cell'):
        model(torch.zeros(1, 3, size, 40))


@pytest.mark.parametrize('shape', [(1, 4, 32, 32), (3, 32, 32)])
@pytest.mark.parametrize('family', families())
def test_an_image_of_another_shape_is_refused(family, shape):
    with pytest.raises(ValueError, match=r'takes images \(B, 3, H, W\)'):
        tiny(family)(torch.zeros(shape))


@pytest.mark.parametrize('frozen_stages', [-1, 0, 2, 4])
@pytest.mark.parametrize('family', families())
def test_channels_last_images_train_at_every_freeze_level(family, frozen_stages):
    model = tiny(family, frozen_stages=frozen_stages).to(memory_format=torch.channels_last)
    x = image(2, 3, 64, 64, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    weighted_sum(model(x)).backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize('family', families())
def test_other_image_channels(family):
    model = tiny(family, in_channels=6).eval()
    assert model(torch.zeros(1, 6, 32, 32))[0].shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='s13'), "has no arch 's13'; choose one of "),
        (dict(arch=dict(TINY, depth=1)), 'arch dict has unknown depth; its keys are '),
        (dict(arch=dict(depths=(1, 1, 1, 1))), 'arch dict lacks embed_dims'),
        (dict(arch=dict(TINY, depths=(1, 1))), r'depths takes one value a stage \(4\)'),
        (dict(arch=TINY, out_indices=(0, 4)), 'out_indices are stage numbers 0 to 3'),
        (dict(arch=TINY, out_indices=(-5,)), 'out_indices are stage numbers 0 to 3'),
        (dict(arch=None), 'has no arch None; choose one of '),
        (dict(arch=dict(TINY, depths=(1, -1, 1, 1))), 'depths are positive whole numbers'),
        (dict(arch=dict(TINY, depths=(1, 1, 1, '2'))), 'depths are positive whole numbers'),
        (dict(arch=dict(TINY, embed_dims=(8, 16, 24, 0))), 'embed_dims are positive whole'),
        (dict(arch=TINY, out_indices=None), 'out_indices are stage numbers 0 to 3'),
        (dict(arch=TINY, out_indices='0123'), 'out_indices are stage numbers 0 to 3'),
        (dict(arch=TINY, drop_path_rate=None), r'drop_path_rate must be in \[0, 1\)'),
        (dict(arch=TINY, out_indices=()), 'out_indices are stage numbers 0 to 3'),
        (dict(arch=TINY, out_indices=(3, -1)), 'names a stage twice'),
        (dict(arch=TINY, frozen_stages=5), 'frozen_stages must be -1'),
        (dict(arch=TINY, frozen_stages=-2), 'frozen_stages must be -1'),
        (dict(arch=TINY, drop_path_rate=1.0), r'drop_path_rate must be in \[0, 1\)'),
    ],
)
@pytest.mark.parametrize('family', families())
def test_wrong_arguments_are_named(family, settings, message):
    with pytest.raises(ValueError, match=message):
        ROOT.build(dict(type=f'mmplugin.{family}', **settings))


@pytest.mark.parametrize('family', families())
def test_unknown_arguments_are_not_swallowed(family):
    with pytest.raises(TypeError, match='norm_cg'):
        families()[family](arch=TINY, norm_cg=dict(type='BN'))


@pytest.mark.parametrize('family', families())
def test_out_indices_argument_is_not_changed(family):
    out_indices = [-1, 0]
    tiny(family, out_indices=out_indices)
    assert out_indices == [-1, 0]


@pytest.mark.parametrize('family', families())
def test_layer_depth_rises_from_stem_to_outputs(family):
    model = tiny(family)
    depths = {
        n: model.get_layer_depth(f'backbone.{n}', 'backbone.') for n, _ in model.named_parameters()
    }
    assert {total for _, total in depths.values()} == {7}
    by_part = {}
    for name, (depth, _) in depths.items():
        part = '.'.join(name.split('.')[: 4 if 'blocks' in name else 3 if 'stages' in name else 1])
        by_part.setdefault(part, set()).add(depth)
    assert by_part == {
        'stem': {0},
        'stages.0.blocks.0': {1},
        'stages.1.downsample': {2},
        'stages.1.blocks.0': {2},
        'stages.1.blocks.1': {3},
        'stages.2.downsample': {4},
        'stages.2.blocks.0': {4},
        'stages.3.downsample': {5},
        'stages.3.blocks.0': {5},
        'norms': {6},
    }
    assert model.get_layer_depth('neck.convs.0.weight', 'backbone.') == (6, 7)


@pytest.mark.parametrize('frozen_stages', [-1, 0, 1, 2, 3, 4])
@pytest.mark.parametrize('family', families())
def test_frozen_stages_freeze_the_stem_and_the_first_k(family, frozen_stages):
    model = tiny(family, frozen_stages=frozen_stages)
    free = {n for n, p in tiny(family).named_parameters() if p.requires_grad}
    parts = ['stem.', *(f'stages.{i}.' for i in range(4))][: frozen_stages + 1]
    expected = {n for n in free if not n.startswith(tuple(parts))} if parts else free
    assert {n for n, p in model.named_parameters() if p.requires_grad} == expected
    assert model.train() is model
    frozen = {n for n, m in model.named_modules() if n and not m.training}
    assert all((f'{n}.').startswith(tuple(parts)) for n in frozen) and bool(frozen) == bool(parts)
    assert model.norms.training
    weighted_sum(model(image(1, 3, 64, 64, dtype=torch.float32))).backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == expected


@pytest.mark.parametrize('family', families())
def test_compiles_in_one_graph(family):
    model = tiny(family).eval()
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    x = image(1, 3, 45, 64, dtype=torch.float32)
    with torch.no_grad():
        for mine, plain in zip(compiled(x), model(x)):
            torch.testing.assert_close(mine, plain)
