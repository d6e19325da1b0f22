"""Published layouts load through init_cfg, strictly and with a report."""

import logging
from collections import OrderedDict

import pytest
import timm
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS

from mmplugin.backbones.poolformer import PoolFormer
from mmplugin.weights.poolformer import rename_official
from tests.families import TINY
from tests.reference.poolformer import OfficialPoolFormer
from tests.tensors import image, randomise, relative_error


def official(num_classes=None):
    settings = (TINY['depths'], TINY['embed_dims'], TINY['mlp_ratios'])
    return randomise(OfficialPoolFormer(*settings, num_classes=num_classes))


def mmpretrain_classifier():
    names = {'head.weight': 'head.fc.weight', 'head.bias': 'head.fc.bias'}
    names |= {f'norm.{part}': f'backbone.norm6.{part}' for part in ('weight', 'bias')}
    state = official(num_classes=5).state_dict()
    return {names.get(key, f'backbone.{key}'): value for key, value in state.items()}


def ours(**settings):
    return randomise(PoolFormer(TINY, **settings), seed=9)


def saved(tmp_path, content):
    path = str(tmp_path / 'weights.pth')
    torch.save(content, path)
    return path


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def load(path, prefix=None, **settings):
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix=prefix)
    config = dict(type='mmplugin.PoolFormer', arch=TINY, init_cfg=init_cfg, **settings)
    model = MODELS.build(config)
    model.init_weights()
    return model


def norms_are_at_start(model):
    return all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in model.norms.values())


def test_official_dense_file_loads_whole(tmp_path, log):
    reference = official().double().eval()
    model = load(saved(tmp_path, official().state_dict())).double().eval()
    for mine, theirs in zip(model(image(1, 3, 65, 40)), reference(image(1, 3, 65, 40))):
        assert relative_error(mine, theirs) < 1e-12
    total = len(model.state_dict())
    lines = [r.getMessage() for r in log.records if 'tensors loaded' in r.getMessage()]
    assert len(lines) == 1 and f'{total} of {total} tensors loaded' in lines[0]
    assert 'official layout' in lines[0] and 'ignored' not in lines[0]


@pytest.mark.parametrize('wrapper', [None, 'model', 'state_dict', 'model_ema'])
def test_classifier_never_lends_its_norm(tmp_path, log, wrapper):
    state = official(num_classes=5).state_dict()
    model = load(saved(tmp_path, {wrapper: state, 'epoch': 3} if wrapper else state))
    assert norms_are_at_start(model)
    assert torch.equal(model.stem.conv.weight, state['patch_embed.proj.weight'])
    assert '8 output norms not in the file, start at 1/0' in log.text
    assert "4 classifier's norm and head ignored" in log.text


def test_mmpretrain_norm6_is_the_classifiers(tmp_path, log):
    state = mmpretrain_classifier()
    model = load(saved(tmp_path, {'state_dict': state, 'meta': {}}))
    assert norms_are_at_start(model)
    assert torch.equal(
        model.stages[2].downsample.conv.weight, state['backbone.network.3.proj.weight']
    )
    assert "4 classifier's norm and head ignored" in log.text
    with_prefix = load(str(tmp_path / 'weights.pth'), prefix='backbone')
    for key, value in with_prefix.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def test_dense_norm6_of_a_segmentor_is_an_output_norm(tmp_path, log):
    state = {f'backbone.{k}': v for k, v in official().state_dict().items()}
    state['decode_head.conv_seg.weight'] = torch.zeros(3, 3)
    model = load(saved(tmp_path, {'state_dict': state}))
    assert torch.equal(model.norms['3'].weight, state['backbone.norm6.weight'])
    assert '1 tensors beside the backbone ignored' in log.text


def test_official_retinanet_file_lacks_norm0(tmp_path, log):
    state = {k: v for k, v in official().state_dict().items() if not k.startswith('norm0.')}
    model = load(saved(tmp_path, state), out_indices=(1, 2, 3))
    assert torch.equal(model.norms['1'].weight, state['norm2.weight'])
    every = load(saved(tmp_path, state))
    assert (every.norms['0'].weight == 1).all() and '2 output norms not in the file' in log.text


@pytest.mark.parametrize('features_only', [False, True])
def test_timm_file(tmp_path, features_only):
    theirs = randomise(timm.create_model('poolformer_s12', features_only=features_only))
    model = PoolFormer(
        's12', init_cfg=dict(type='Pretrained', checkpoint=saved(tmp_path, theirs.state_dict()))
    )
    model.init_weights()
    state = theirs.state_dict()
    assert torch.equal(model.stem.conv.weight, state['stem.conv.weight'])
    key = (
        'stages_3.blocks.1.mlp.fc2.weight' if features_only else 'stages.3.blocks.1.mlp.fc2.weight'
    )
    assert torch.equal(model.stages[3].blocks[1].mlp.fc2.weight, state[key])
    assert norms_are_at_start(model)


@pytest.mark.parametrize('prefix', ['', 'module.', 'backbone.', 'module.backbone.'])
def test_own_file_round_trip_is_bit_equal(tmp_path, prefix):
    state = ours().state_dict()
    path = saved(tmp_path, OrderedDict((prefix + k, v) for k, v in state.items()))
    loaded = load(path).state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_unrequested_stages_and_norms_are_expected(tmp_path, log):
    model = load(saved(tmp_path, official().state_dict()), out_indices=(2, 0))
    assert len(model.stages) == 3
    assert 'tensors of stages and outputs not requested ignored' in log.text


def test_detector_loads_its_backbone(tmp_path):
    """The way mmdet calls it: as a child of the model's own init_weights."""
    from mmengine.model import BaseModule

    class Model(BaseModule):
        def __init__(self):
            super().__init__()
            path = saved(tmp_path, official().state_dict())
            self.backbone = PoolFormer(TINY, init_cfg=dict(type='Pretrained', checkpoint=path))

    model = Model()
    model.init_weights()
    assert torch.equal(
        model.backbone.stem.conv.weight, official().state_dict()['patch_embed.proj.weight']
    )


def broken(kind):
    state = official().state_dict()
    if kind == 'missing':
        del state['network.2.0.mlp.fc1.bias']
    elif kind == 'unexpected':
        state['network.2.0.attn.weight'] = torch.zeros(1)
    elif kind == 'of another shape':
        state['network.2.0.mlp.fc1.bias'] = torch.zeros(3)
    return state


@pytest.mark.parametrize(
    ('kind', 'named'),
    [
        ('missing', r'stages\.1\.blocks\.0\.mlp\.fc1\.bias'),
        ('unexpected', r'stages\.1\.blocks\.0\.attn\.weight'),
        (
            'of another shape',
            r'stages\.1\.blocks\.0\.mlp\.fc1\.bias \(3,\) for \(32,\)',
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, log, kind, named):
    path = saved(tmp_path, broken(kind))
    with pytest.raises(ValueError, match=f'{path}.*does not fit: 1 {kind}: .*{named}'):
        load(path)
    model = load(path, strict_load=False)
    assert torch.equal(model.stem.conv.weight, official().state_dict()['patch_embed.proj.weight'])
    warning = next(r for r in log.records if r.levelno == logging.WARNING)
    assert f'1 {kind}' in warning.getMessage()


@pytest.mark.parametrize('strict_load', [True, False])
@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'conv1.weight': torch.zeros(1)}, 'of no layout this backbone knows.*conv1.weight'),
        ({'epoch': 3, 'weights': {'a': torch.zeros(1)}}, 'holds no weights; it has epoch, weights'),
        ({'epoch': 3, 'args': {'lr': 0.1}}, 'holds no weights; it has epoch, args'),
        ([torch.zeros(1)], 'holds a list, no tensors by name'),
        ({}, 'holds no weights; it has nothing at all'),
    ],
)
def test_a_file_in_which_nothing_matches_never_passes(tmp_path, content, message, strict_load):
    with pytest.raises(ValueError, match=message):
        load(saved(tmp_path, content), strict_load=strict_load)


def test_another_size_is_refused_even_without_strictness(tmp_path):
    state = {k: v.new_zeros([n + 1 for n in v.shape]) for k, v in official().state_dict().items()}
    with pytest.raises(ValueError, match='does not fit'):
        load(saved(tmp_path, state), strict_load=False)


def test_a_wrong_prefix_is_named(tmp_path):
    path = saved(tmp_path, official().state_dict())
    with pytest.raises(ValueError, match=r"has no key under 'student\.'"):
        load(path, prefix='student.')


@pytest.mark.parametrize('kind', ['Pretrained', 'mmengine.Pretrained'])
def test_a_name_with_scope_is_read_strictly_too(tmp_path, kind):
    path = saved(tmp_path, {'conv1.weight': torch.zeros(1)})
    model = PoolFormer(TINY, init_cfg=dict(type=kind, checkpoint=path))
    with pytest.raises(ValueError, match='of no layout this backbone knows'):
        model.init_weights()


@pytest.mark.parametrize('wrong', [dict(checkpoint='a.pth', prefx='backbone.'), dict()])
def test_keys_that_would_be_ignored_are_refused(wrong):
    model = PoolFormer(TINY, init_cfg=dict(type='Pretrained', **wrong))
    with pytest.raises(ValueError, match='init_cfg of type Pretrained takes checkpoint'):
        model.init_weights()


@pytest.mark.parametrize('wrapper', ['model', 'net'])
def test_a_tensor_beside_the_wrapper_does_not_hide_it(tmp_path, wrapper):
    state = official().state_dict()
    model = load(saved(tmp_path, {'epoch': torch.tensor(3), wrapper: state}))
    assert torch.equal(model.stem.conv.weight, state['patch_embed.proj.weight'])


@pytest.mark.parametrize('prefix', ['_orig_mod.', 'module._orig_mod.', '_orig_mod.backbone.'])
def test_what_stands_before_every_name_is_taken_off(tmp_path, prefix):
    state = official().state_dict()
    model = load(saved(tmp_path, {f'{prefix}{key}': value for key, value in state.items()}))
    assert torch.equal(model.stem.conv.weight, state['patch_embed.proj.weight'])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'absent\.pth'):
        load(str(tmp_path / 'absent.pth'))


def test_every_official_key_has_one_name_of_ours():
    for num_classes in (None, 5):
        keys = official(num_classes).state_dict()
        renamed = rename_official(keys)
        assert set(renamed) == set(keys) and len(set(renamed.values())) == len(keys)
