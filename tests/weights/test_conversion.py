"""Conversion between layouts: there and back bit for bit, and refused where there is no way."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from mmplugin.weights.comparing import diff
from mmplugin.weights.contents import Contents, read
from mmplugin.weights.conversion import convert, translate
from mmplugin.weights.families import FAMILIES
from mmplugin.weights.writing import sha256_of
from tests.families import TINY, variants
from tests.tensors import randomise
from tests.weights.golden import GOLDEN, cases, shapes_of
from tests.weights.test_container import released
from tests.weights.test_loading import mmpretrain_classifier, official, saved

TOOL = 'mmplugin test'
BY_FAMILY = {family: list(golden['layouts']) for family, golden in GOLDEN.items()}


def numbered(names):
    """A tensor of its own for every name; names are all that conversion looks at."""
    return {name: torch.tensor([float(n)]) for n, name in enumerate(names)}


def contents(tensors, meta=None):
    return Contents('FILE', Path('FILE'), tensors, '', meta or {})


def same(a, b):
    return a.keys() == b.keys() and all(a[key] is b[key] for key in a)


@pytest.mark.parametrize(('family', 'layout', 'form', 'variant'), cases())
def test_round_trip_of_every_variant_and_layout(family, layout, form, variant):
    theirs = numbered(shapes_of(family, layout, form, variant))
    for to in BY_FAMILY[family]:
        if form == 'dense' and family == 'PoolFormer' and to in ('timm', 'transformers'):
            with pytest.raises(ValueError, match=r'8 tensors have no place in the .* layout'):
                translate(contents(theirs), to)
            continue
        source, there, dropped = translate(contents(theirs), to)
        assert not dropped and set(there) == set(shapes_of(family, to, form, variant))
        back_name, back, dropped = translate(contents(there), layout)
        assert same(back, theirs) and not dropped
        # a dense mmpretrain file is an official one with a prefix; timm's names are ours
        assert source in (layout, 'timm', 'official') and back_name in (to, 'timm', 'official')


@pytest.mark.parametrize(('family', 'variant'), variants())
def test_every_network_of_ours_goes_through_our_own_layout(family, variant):
    with torch.device('meta'):
        state = MODELS.build(dict(type=f'mmplugin.{family}', arch=variant)).state_dict()
    _, there, dropped = translate(contents(state), 'mmplugin')
    assert same(there, state) and not dropped


def test_the_size_of_the_paper_goes_through_the_official_layout():
    with torch.device('meta'):
        config = dict(type='mmplugin.Container', arch='light-paper', out_indices=(3,))
        state = MODELS.build(config).state_dict()
    _, there, dropped = translate(contents(state), 'official')
    assert not dropped and 'patch_embed1.proj.weight' in there
    _, back, dropped = translate(contents(there), 'mmplugin')
    assert same(back, state) and not dropped


@pytest.mark.parametrize('variant', ['full', 'pam', 'mh-mlp', 'dw'])
def test_forms_that_were_never_released_have_no_official_names(variant):
    with torch.device('meta'):
        state = MODELS.build(dict(type='mmplugin.Container', arch=variant)).state_dict()
    with pytest.raises(ValueError, match=r'no place in the official layout|no names of its own'):
        translate(contents(state), 'official')


def test_a_deploy_form_is_no_official_network():
    model = MODELS.build(dict(type='mmplugin.Container', arch=TINY)).eval().deploy()
    with pytest.raises(ValueError, match='no names of its own'):
        translate(contents(model.state_dict()), 'official')


@pytest.mark.parametrize('to', ['official', 'mmpretrain'])
def test_a_lone_last_norm_would_be_read_as_a_classifiers(to):
    model = MODELS.build(dict(type='mmplugin.PoolFormer', arch=TINY, out_indices=(3,)))
    with pytest.raises(ValueError, match=r'no names of its own for norms\.3\.weight'):
        translate(contents(model.state_dict()), to)


def test_a_norm_of_both_kinds_has_one_name_in_mmpretrain():
    names = {**shapes_of('PoolFormer', 'mmplugin', 'classifier', 's12')}
    names |= shapes_of('PoolFormer', 'mmplugin', 'dense', 's12')
    with pytest.raises(ValueError, match='no names of its own'):
        translate(contents(numbered(names)), 'mmpretrain')
    assert len(translate(contents(numbered(names)), 'official')[1]) == 140


def files():
    """(family, layout, tensors) of tiny networks with random values."""
    classifier = official(num_classes=5).state_dict()
    yield 'PoolFormer', 'official', classifier
    yield 'PoolFormer', 'mmpretrain', mmpretrain_classifier()
    for layout in ('timm', 'transformers', 'mmplugin'):
        yield 'PoolFormer', layout, translate(contents(classifier), layout)[1]
    yield 'Container', 'official', released().state_dict()
    yield 'Container', 'mmplugin', translate(contents(released().state_dict()), 'mmplugin')[1]


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
@pytest.mark.parametrize(('family', 'layout', 'tensors'), list(files()))
def test_files_keep_every_bit_and_load_into_the_network(tmp_path, family, layout, tensors, suffix):
    """Through a file in each target, back to the first layout, and into the backbone."""
    source = saved(tmp_path, tensors)
    model = MODELS.build(dict(type=f'mmplugin.{family}', arch=TINY))
    for to in BY_FAMILY[family]:
        there, back = tmp_path / f'{to}{suffix}', tmp_path / f'{to}-back{suffix}'
        done = convert(source, there, to, TOOL)
        convert(str(there), back, layout, TOOL)
        found = read(str(back))
        assert found.tensors.keys() == tensors.keys()
        for key, value in found.tensors.items():
            assert value.dtype == tensors[key].dtype and torch.equal(value, tensors[key])
        assert found.meta['provenance']['source'] == there.name
        assert read(str(there)).meta['provenance'] == done['provenance']
        assert done['provenance']['sha256'] == sha256_of(Path(source))
        assert done['provenance']['tool'] == TOOL and done['provenance']['to'] == to
        model = MODELS.build(
            dict(
                type=f'mmplugin.{family}',
                arch=TINY,
                init_cfg=dict(type='Pretrained', checkpoint=str(there)),
            )
        )
        model.init_weights()
        ours = translate(contents(tensors), 'mmplugin')[1]
        for key, value in model.state_dict().items():
            if key in ours:
                assert torch.equal(value, ours[key])
        assert len(model.state_dict().keys() & ours.keys()) > 40
        assert diff(source, str(there))['equal'] == len(tensors)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_other_types_and_views_are_kept(tmp_path, suffix):
    """Half precision stays, and a view does not bring its whole storage along."""
    state = {k: v.bfloat16() for k, v in official(num_classes=5).state_dict().items()}
    big = torch.zeros(3_000_000)
    state['norm.bias'] = big[: state['norm.bias'].numel()]
    target = tmp_path / f'half{suffix}'
    convert(saved(tmp_path, state), target, 'timm', TOOL)
    tensors = read(str(target)).tensors
    assert {v.dtype for k, v in tensors.items() if k != 'head.norm.bias'} == {torch.bfloat16}
    assert tensors['head.norm.bias'].dtype == torch.float32
    assert target.stat().st_size < 1_000_000


def test_a_bare_file_is_bare(tmp_path):
    """Plain PyTorch reads what we write, without any class of ours."""
    target = tmp_path / 'bare.pth'
    convert(saved(tmp_path, official(num_classes=5).state_dict()), target, 'official', TOOL)
    state = torch.load(target, weights_only=True)
    official(num_classes=5).load_state_dict(state)
    assert state.provenance['from'] == 'official'


def test_refuses_to_overwrite_without_force(tmp_path):
    source = saved(tmp_path, official(num_classes=5).state_dict())
    target = tmp_path / 'there.pth'
    target.write_text('mine')
    with pytest.raises(ValueError, match=r'there\.pth: is there already; --force'):
        convert(source, target, 'timm', TOOL)
    assert target.read_text() == 'mine'
    convert(source, target, 'timm', TOOL, force=True)
    assert len(read(str(target)).tensors) == len(torch.load(source))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    source = saved(tmp_path, official(num_classes=5).state_dict())
    target = tmp_path / 'there.pth'
    target.write_text('mine')

    def full_disk(content, file):
        Path(file).write_bytes(b'half')
        raise OSError(28, 'No space left on device', str(file))

    monkeypatch.setattr(torch, 'save', full_disk)
    with pytest.raises(OSError, match='No space left'):
        convert(source, target, 'timm', TOOL, force=True)
    assert target.read_text() == 'mine'
    assert sorted(os.listdir(tmp_path)) == ['there.pth', 'weights.pth']


def test_a_file_may_be_converted_onto_itself(tmp_path):
    source = saved(tmp_path, official(num_classes=5).state_dict())
    convert(source, source, 'timm', TOOL, force=True)
    assert 'stem.conv.weight' in read(source).tensors


@pytest.mark.parametrize(
    ('target', 'to', 'message'),
    [
        ('a.onnx', 'timm', r'ends in \.safetensors or \.pth'),
        ('nowhere/a.pth', 'timm', 'does not exist'),
        ('.', 'timm', 'name a file'),
        ('a.pth', 'keras', "no layout 'keras'; there are official, timm"),
        ('a.pth', 'transformers', 'Container has no layout .transformers.; it has official, mmpl'),
    ],
)
def test_wrong_targets_are_named(tmp_path, target, to, message):
    source = saved(tmp_path, released().state_dict())
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / target, to, TOOL)
    assert os.listdir(tmp_path) == ['weights.pth']


def test_a_foreign_network_is_refused_with_its_first_names(tmp_path):
    source = saved(tmp_path, {'layer1.0.conv1.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'no layout known here.*layer1\.0\.conv1\.weight'):
        convert(source, tmp_path / 'a.pth', 'timm', TOOL)


def test_what_has_no_place_is_left_out_on_request_only(tmp_path):
    state = official().state_dict()
    state['network.0.0.extra.weight'] = torch.zeros(1)
    source = saved(tmp_path, state)
    with pytest.raises(ValueError, match=r'9 tensors have no place in the timm.*; --drop leaves'):
        convert(source, tmp_path / 'a.pth', 'timm', TOOL)
    done = convert(source, tmp_path / 'a.pth', 'timm', TOOL, drop=True)
    assert len(done['dropped']) == 9 and 'norms.0.weight' in done['dropped']
    assert not any('extra' in key for key in read(str(tmp_path / 'a.pth')).tensors)


@pytest.mark.parametrize('wrapper', ['model', 'model_ema', 'teacher', 'student', 'net'])
@pytest.mark.parametrize('prefix', ['', 'module.', 'backbone.', 'module.backbone.', '_orig_mod.'])
def test_weights_are_found_in_training_files(tmp_path, wrapper, prefix):
    state = official().state_dict()
    inside = {f'{prefix}{key}': value for key, value in state.items()}
    optimizer = {'state': {0: {'exp_avg': torch.zeros(2)}}, 'param_groups': []}
    source = saved(tmp_path, {wrapper: inside, 'optimizer': optimizer, 'epoch': 3})
    convert(source, tmp_path / 'a.pth', 'official', TOOL)
    found = read(str(tmp_path / 'a.pth'))
    assert found.tensors.keys() == state.keys()
    assert found.meta['provenance']['wrapper'] == wrapper


def test_the_users_choice_of_weights_comes_first(tmp_path):
    """A DINO file: student and teacher, heads beside the backbones."""
    student, teacher = official().state_dict(), randomise(official(), seed=5).state_dict()
    heads = {'module.head.mlp.0.weight': torch.zeros(3, 3)}
    content = {
        'student': {f'module.backbone.{k}': v for k, v in student.items()} | heads,
        'teacher': {f'backbone.{k}': v for k, v in teacher.items()},
    }
    source = saved(tmp_path, content)
    convert(source, tmp_path / 't.pth', 'official', TOOL)
    assert torch.equal(read(str(tmp_path / 't.pth')).tensors['norm0.bias'], teacher['norm0.bias'])
    with pytest.raises(ValueError, match=r'1 tensors have no place .*head\.mlp'):
        convert(source, tmp_path / 's.pth', 'official', TOOL, wrapper='student')
    convert(source, tmp_path / 's.pth', 'official', TOOL, wrapper='student', drop=True)
    assert torch.equal(read(str(tmp_path / 's.pth')).tensors['norm0.bias'], student['norm0.bias'])
    with pytest.raises(ValueError, match="no weights under 'ema'; it has student, teacher"):
        convert(source, tmp_path / 'e.pth', 'official', TOOL, wrapper='ema')


def test_families_share_no_marker():
    for family, layout, form, variant in cases():
        names = [key.removeprefix('backbone.') for key in shapes_of(family, layout, form, variant)]
        known = [f.name for f in FAMILIES for i in f.layouts if i.matches(names)]
        assert known == [family]
