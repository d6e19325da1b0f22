"""tools/weights.py: what it says of files, and what it makes of them."""

import json
import re

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS
from safetensors.torch import save_file

from mmplugin.weights.writing import sha256_of
from tests.families import TINY, variants
from tests.tools.conftest import error_line, options
from tests.weights.golden import cases, shapes_of
from tests.weights.test_container import released, training_file
from tests.weights.test_loading import mmpretrain_classifier, official
from tools import train
from tools.weights import main


def zeros(shapes):
    """Tensors of these shapes in a few bytes."""
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def inspected(path, capsys, *words):
    assert main(['inspect', str(path), '--json', *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(('family', 'layout', 'form', 'variant'), cases())
def test_inspect_knows_every_published_file(tmp_path, capsys, family, layout, form, variant):
    shapes = shapes_of(family, layout, form, variant)
    torch.save(zeros(shapes), tmp_path / 'file.pth')
    found = inspected(tmp_path / 'file.pth', capsys)
    assert (found['family'], found['variant']) == (family, variant)
    if (layout, form) != ('mmpretrain', 'dense'):  # official with a prefix
        expected = 'timm' if family == 'PoolFormer' and layout == 'mmplugin' else layout
        assert found['layout'] in (expected, layout)
    assert found['task'] == ('classifier' if form == 'classifier' else 'backbone')
    assert found['tensors'] == len(shapes) and found['dtypes'] == {'float32': len(shapes)}
    assert found['parameters'] == sum(found['parts'].values())
    assert list(found['parts'])[:5] == ['stem', 'stage 1', 'stage 2', 'stage 3', 'stage 4']
    assert ('classifier' in found['parts']) == (form == 'classifier')
    assert found['sha256'] == sha256_of(tmp_path / 'file.pth')


@pytest.mark.parametrize(('family', 'variant'), variants())
def test_inspect_names_every_variant_of_ours(tmp_path, capsys, family, variant):
    with torch.device('meta'):
        state = MODELS.build(dict(type=f'mmplugin.{family}', arch=variant)).state_dict()
    torch.save(zeros({key: value.shape for key, value in state.items()}), tmp_path / 'file.pth')
    found = inspected(tmp_path / 'file.pth', capsys)
    assert (found['family'], found['layout'], found['variant']) == (family, 'mmplugin', variant)


def test_inspect_shows_published_counts_for_people(tmp_path, capsys):
    torch.save(zeros(shapes_of('PoolFormer', 'timm', 'classifier', 's12')), tmp_path / 'file.pth')
    assert main(['inspect', str(tmp_path / 'file.pth')]) == 0
    out = capsys.readouterr().out
    assert re.search(r'^parameters +11,915,176$', out, re.M)
    assert re.search(r'^variant +s12$', out, re.M) and re.search(r'^layout +timm$', out, re.M)


def test_inspect_looks_into_training_files(tmp_path, capsys):
    file = training_file(released().state_dict())
    file['model_ema'] = {f'module.{k}': v for k, v in released().state_dict().items()}
    torch.save(file, tmp_path / 'file.pth.tar')
    found = inspected(tmp_path / 'file.pth.tar', capsys)
    assert (found['wrapper'], found['other_weights']) == ('model', ['model_ema'])
    assert 'optimizer' in found['beside'] and found['layout'] == 'official'
    assert found['variant'] is None  # a tiny one
    ema = inspected(tmp_path / 'file.pth.tar', capsys, '--wrapper', 'model_ema')
    assert (ema['wrapper'], ema['prefix']) == ('model_ema', 'module.')
    assert ema['parts'] == found['parts']


def test_inspect_looks_into_mm_checkpoints_and_foreign_networks(tmp_path, capsys):
    state = {f'backbone.{k}': v for k, v in official().state_dict().items()}
    state |= {'neck.lateral_convs.0.conv.weight': torch.zeros(4, 8, 1, 1)}
    state |= {'decode_head.conv_seg.weight': torch.zeros(3, 4, 1, 1).half()}
    torch.save({'state_dict': state, 'meta': {'CLASSES': ('a',)}}, tmp_path / 'seg.pth')
    found = inspected(tmp_path / 'seg.pth', capsys)
    assert (found['task'], found['layout']) == ('segmentor', 'official')
    assert found['parts']['neck'] == 32 and found['parts']['decode_head'] == 12
    assert found['dtypes'] == {'float32': len(state) - 1, 'float16': 1}
    assert found['meta'] == ['CLASSES'] and found['prefix'] == 'backbone.'
    detector = {('bbox_head.x' if 'decode' in k else k): v for k, v in state.items()}
    torch.save(detector, tmp_path / 'det.pth')
    assert inspected(tmp_path / 'det.pth', capsys)['task'] == 'detector'
    torch.save(mmpretrain_classifier(), tmp_path / 'cls.pth')
    assert inspected(tmp_path / 'cls.pth', capsys)['layout'] == 'mmpretrain'

    save_file({'layer1.0.conv1.weight': torch.zeros(2, 2)}, tmp_path / 'resnet.safetensors')
    found = inspected(tmp_path / 'resnet.safetensors', capsys)
    assert found['family'] is None and found['parts'] == {'layer1': 4}
    assert found['format'] == 'safetensors'


def test_diff_compares_across_layouts(tmp_path, capsys):
    state = official(num_classes=5).state_dict()
    a, b, c = (tmp_path / name for name in ('a.pth', 'b.safetensors', 'c.pth'))
    torch.save(state, a)
    assert main(['convert', str(a), str(b), '--to', 'transformers']) == 0
    assert main(['diff', str(a), str(b)]) == 0
    assert f'{len(state)} tensors are bit by bit the same' in capsys.readouterr().out
    changed = dict(state)
    changed['norm.weight'] = state['norm.weight'] + 0.5
    changed['norm.bias'] = state['norm.bias'].double()
    changed['head.bias'] = torch.zeros(3)
    changed['network.0.0.norm1.weight'] = state['network.0.0.norm1.weight'] * float('nan')
    changed['extra.x'] = changed.pop('network.0.0.norm1.bias')
    torch.save(changed, c)
    with pytest.raises(SystemExit) as left:
        main(['diff', str(b), str(c)])
    assert left.value.code == 1
    out = capsys.readouterr().out
    for line in (
        'only in the first: stages.0.blocks.0.norm1.bias',
        'only in the second: extra.x',
        'head.fc.bias: shape (5,) and (3,)',
        'head.norm.bias: type torch.float32 and torch.float64',
        'head.norm.weight: differ by up to 0.5',
        'stages.0.blocks.0.norm1.weight: differ by up to inf',
        f'{len(state) - 5} tensors are bit by bit the same',
    ):
        assert line in out, out
    with pytest.raises(SystemExit):
        main(['diff', str(b), str(c), '--json'])
    assert json.loads(capsys.readouterr().out)['only_b'] == ['extra.x']


def test_diff_tells_zeros_and_infinities_apart(tmp_path, capsys):
    largest = torch.finfo(torch.float32).max
    torch.save({'a.b': torch.tensor([0.0, float('inf')])}, tmp_path / 'a.pth')
    torch.save({'a.b': torch.tensor([0.0, largest])}, tmp_path / 'b.pth')
    with pytest.raises(SystemExit):
        main(['diff', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')])
    assert 'differ by up to inf' in capsys.readouterr().out
    assert main(['diff', str(tmp_path / 'a.pth'), str(tmp_path / 'a.pth')]) == 0
    torch.save({'a.b': torch.tensor([0.25, float('inf')])}, tmp_path / 'b.pth')
    with pytest.raises(SystemExit):
        main(['diff', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')])
    assert 'differ by up to 0.25' in capsys.readouterr().out


def checkpoint():
    """As mmengine's runner writes it."""
    model = MODELS.build(dict(type='mmplugin.PoolFormer', arch=TINY))
    return {
        'state_dict': {f'backbone.{k}': v for k, v in model.state_dict().items()},
        'meta': {
            'cfg': 'model = dict()',
            'dataset_meta': {'classes': ('cat',)},
            'epoch': 12,
            'hook_msgs': {'last_ckpt': '/home/me/run/epoch_12.pth'},
        },
        'optimizer': {'state': {0: {'exp_avg': torch.zeros(2)}}, 'param_groups': []},
        'param_schedulers': [{'last_step': 3}],
        'message_hub': {'log_scalars': {'loss': HistoryBuffer([1.0], [1])}},
        'rng': torch.zeros(8, dtype=torch.uint8),
    }


def test_publish_keeps_weights_and_metadata_and_puts_the_hash_in_the_name(tmp_path, capsys):
    torch.save(checkpoint(), tmp_path / 'epoch_12.pth')
    out = tmp_path / 'retinanet.pth'
    assert main(['publish', str(tmp_path / 'epoch_12.pth'), str(out)]) == 0
    (path,) = tmp_path.glob('retinanet*')
    assert capsys.readouterr().out.strip() == str(path)
    assert path.name == f'retinanet-{sha256_of(path)[:8]}.pth'
    found = torch.load(path, weights_only=True)
    assert found.keys() == {'state_dict', 'meta'}
    assert found['meta'].keys() == {'cfg', 'dataset_meta', 'epoch'}
    state = checkpoint()['state_dict']
    assert found['state_dict'].keys() == state.keys()
    assert b'/home/me' not in path.read_bytes()
    model = MODELS.build(
        dict(
            type='mmplugin.PoolFormer',
            arch=TINY,
            init_cfg=dict(type='Pretrained', checkpoint=str(path)),
        )
    )
    model.init_weights()


def test_publish_overwrites_and_guesses_nothing(tmp_path, capsys):
    torch.save(checkpoint(), tmp_path / 'a.pth')
    torch.save(official().state_dict(), tmp_path / 'bare.pth')
    words = ['publish', str(tmp_path / 'a.pth'), str(tmp_path / 'out.pth')]
    assert main(words) == 0 and main(words) == 1
    assert 'is there already; --force' in capsys.readouterr().err
    assert main([*words, '--force']) == 0
    for ckpt, out, message in (
        ('bare.pth', 'b.pth', 'is no checkpoint of an MM framework'),
        ('none.pth', 'b.pth', 'no such file'),
        ('a.pth', 'b.zip', 'ends in .pth'),
        ('a.pth', 'nowhere/b.pth', 'does not exist'),
    ):
        assert main(['publish', str(tmp_path / ckpt), str(tmp_path / out)]) == 1
        assert message in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 3


def test_convert_says_what_it_did(tmp_path, capsys):
    torch.save(official().state_dict(), tmp_path / 'a.pth')
    source, target = str(tmp_path / 'a.pth'), str(tmp_path / 'b.safetensors')
    assert main(['convert', source, target, '--to', 'timm']) == 1
    assert capsys.readouterr().err.startswith('error: ')
    assert main(['convert', source, target, '--to', 'timm', '--drop']) == 0
    out = capsys.readouterr().out
    assert 'official to timm' in out and 'left out: norms.0.weight' in out
    assert inspected(target, capsys)['provenance']['source'] == 'a.pth'


@pytest.mark.parametrize(
    ('pairs', 'parts'),
    [
        (
            [
                'model.backbone.init_cfg.type=Pretrained',
                'model.backbone.init_cfg.checkpoint=mmplugin://container-light_in1k',
            ],
            ['download it by hand from https://github.com/allenai/container', 'and put it at'],
        ),
        (['load_from=mmplugin://poolformer-s12-in1k'], ['did you mean poolformer-s12_in1k']),
        (
            ['load_from=mmplugin://poolformer-s12_in1k'],
            ['offline mode is on', 'sail-sg'],
        ),
    ],
)
def test_training_says_where_weights_are_to_be_had(
    pairs, parts, detector, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch_home'))
    monkeypatch.setenv('MMPLUGIN_OFFLINE', '1')
    work_dir = ['--work-dir', str(tmp_path / 'run')]
    assert train.main([str(detector.config), *work_dir, *options(*pairs)]) == 1
    line = error_line(capsys)
    assert all(part in line for part in parts), line


def test_fetch_without_a_name_shows_the_table(capsys):
    assert main(['fetch']) == 0
    out = capsys.readouterr().out
    assert 'poolformer-s12_in1k' in out and 'by hand' in out


@pytest.mark.parametrize('words', [[], ['inspect'], ['convert', 'a'], ['melt', 'a']])
def test_wrong_usage_leaves_with_2(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
