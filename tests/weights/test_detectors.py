"""Checkpoints of the official detectors and segmentors (mmdet 2.x, mmseg 0.x) in current ones."""

from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint

from mmplugin.weights.contents import Contents, read
from mmplugin.weights.conversion import convert, translate
from tests.families import TINY
from tests.tensors import image, randomise, relative_error
from tests.weights.golden import GOLDEN, heads_of, shapes_of
from tests.weights.test_loading import official, saved

ROOT = Path(__file__).resolve().parents[2]
# of which the authors released checkpoints
RELEASED = ('retinanet_*_fpn_1x_coco.py', 'mask-rcnn_*_fpn_1x_coco.py', 'fpn_*_8xb4-40k_*.py')
CONFIGS = sorted(p for glob in RELEASED for p in (ROOT / 'configs/poolformer').glob(glob))
CLASSES = ('cat', 'dog')
PALETTE = [[220, 20, 60], [0, 0, 142]]
TOOL = 'mmplugin test'


def name_of(path):
    return path.stem


def algorithm_of(path):
    return path.stem.partition('_')[0]


def old_shapes(path):
    """Every name and shape of the official checkpoint that a config of ours reproduces."""
    arch = Config.fromfile(path).model.backbone.arch
    network = shapes_of('PoolFormer', 'official', 'dense', arch)
    if algorithm_of(path) == 'retinanet':  # trained with FORK_LAST3
        network = {k: shape for k, shape in network.items() if not k.startswith('norm0.')}
    inside = {f'backbone.{key}': shape for key, shape in network.items()}
    return inside | heads_of(algorithm_of(path), GOLDEN['PoolFormer']['variants'][arch]['dims'])


def build(config, device):
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device(device):
        config.model.backbone.init_cfg = None
        return MODELS.build(config.model)


def contents(tensors, meta=None):
    return Contents('FILE', Path('FILE'), tensors, '', meta or {})


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_has_every_tensor_of_the_model_of_our_config(path):
    """Names and shapes, to the last one: the model loads it strictly."""
    old = {key: torch.empty(shape, device='meta') for key, shape in old_shapes(path).items()}
    layout, new, dropped = translate(contents(old), 'mmplugin')
    assert layout == 'official' and not dropped
    model = build(Config.fromfile(path), 'meta')
    expected = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in new.items()} == expected
    layout, back, dropped = translate(contents(new), 'official')
    assert layout == 'mmplugin' and not dropped
    assert back.keys() == old.keys() and all(back[key] is old[key] for key in old)


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_head_counts_are_the_published_sizes(path):
    """Parameters of backbone, neck and heads against the table of the paper, as built."""
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    total = sum(
        torch.Size(shape).numel()
        for key, shape in old_shapes(path).items()
        if not key.endswith(buffers)
    )
    assert f'{total / 1e6:.1f}' == f'{published_size(path):.1f}'


def published_size(path):
    models = yaml.safe_load((ROOT / 'configs/poolformer/metafile.yml').read_text())['Models']
    (model,) = (m for m in models if m['Name'] == path.stem)
    sizes = model['Metadata']
    # of S24's semantic FPN the paper prints a count that does not fit its own architecture
    return sizes.get('Published Parameters (M)', sizes['Parameters (M)'])


def tiny_config(algorithm):
    """A shipped config with a tiny backbone."""
    (path,) = (p for p in CONFIGS if p.stem.startswith(f'{algorithm}_poolformer-s12'))
    config = Config.fromfile(path)
    config.model.backbone.arch = dict(TINY)
    dims = TINY['embed_dims']
    config.model.neck.in_channels = list(dims[1:] if algorithm == 'retinanet' else dims)
    if algorithm == 'fpn':
        config.model.decode_head.norm_cfg.type = 'BN'
    if algorithm == 'mask-rcnn':
        config.model.roi_head.bbox_head.fc_out_channels = 8
    return config


def old_file(tmp_path, algorithm, config):
    """As mmcv's runner wrote it, with random values."""
    state = {f'backbone.{key}': value for key, value in official().state_dict().items()}
    if algorithm == 'retinanet':
        state = {k: v for k, v in state.items() if not k.startswith('backbone.norm0.')}
    model = randomise(build(config, 'cpu'), seed=3)
    state |= {k: v for k, v in model.state_dict().items() if not k.startswith('backbone.')}
    meta = {'CLASSES': CLASSES, 'epoch': 12, 'mmdet_version': '2.19.0', 'config': 'model = 1'}
    if algorithm == 'fpn':
        meta = {'CLASSES': CLASSES, 'PALETTE': PALETTE, 'iter': 40000, 'mmseg_version': '0.19.0'}
    return saved(tmp_path, {'meta': meta, 'state_dict': state, 'optimizer': {}})


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('algorithm', ['retinanet', 'mask-rcnn', 'fpn'])
def test_runs_in_the_current_framework(tmp_path, algorithm, suffix):
    config = tiny_config(algorithm)
    source = old_file(tmp_path, algorithm, config)
    target = str(tmp_path / f'new{suffix}')
    convert(source, target, 'mmplugin', TOOL)

    model = build(config, 'cpu').eval()
    checkpoint = load_checkpoint(model, target, strict=True)
    found = checkpoint['meta']['dataset_meta']
    assert tuple(found['classes']) == CLASSES
    assert ('palette' in found) == (algorithm == 'fpn')
    assert checkpoint['meta']['provenance']['from'] == 'official'
    assert 'config' not in checkpoint['meta'] and 'optimizer' not in checkpoint

    x = image(1, 3, 64, 96).float()
    theirs = official().eval()(x)
    mine = model.backbone(x)
    for output, reference in zip(mine, theirs[-len(mine) :]):
        assert relative_error(output, reference) < 1e-5
    old = torch.load(source, weights_only=True)['state_dict']
    for key, value in model.state_dict().items():
        if not key.startswith('backbone.'):
            assert torch.equal(value, old[key])
    with torch.no_grad():
        outputs = model(x, mode='tensor') if algorithm != 'mask-rcnn' else model.extract_feat(x)
    assert len(outputs)


def test_the_backbone_alone(tmp_path):
    source = old_file(tmp_path, 'fpn', tiny_config('fpn'))
    with pytest.raises(ValueError, match=r'no place in the transformers layout .*norms'):
        convert(source, tmp_path / 'a.pth', 'transformers', TOOL)
    convert(source, tmp_path / 'a.pth', 'mmplugin', TOOL, backbone=True)
    found = read(str(tmp_path / 'a.pth'))
    assert found.task == 'backbone' and not found.outside and 'norms.0.weight' in found.tensors
    assert 'dataset_meta' not in found.meta


def rcnn():
    (path,) = (p for p in CONFIGS if p.stem.startswith('mask-rcnn_poolformer-s12'))
    return {key: torch.empty(shape, device='meta') for key, shape in old_shapes(path).items()}


@pytest.mark.parametrize('version', ['2.4.0', '1.2.0', '0.5.3'])
def test_versions_with_another_order_of_classes_are_refused(version):
    with pytest.raises(ValueError, match=f'mmdet {version}, which orders classes otherwise'):
        translate(contents(rcnn(), {'mmdet_version': version}), 'mmplugin')
    for later in ('2.5.0', '2.19.0', '2.28.2', '3.3.0'):
        translate(contents(rcnn(), {'mmdet_version': later}), 'mmplugin')


def test_heads_outside_roi_head_are_refused():
    old = {key.replace('roi_head.', ''): value for key, value in rcnn().items()}
    with pytest.raises(ValueError, match=r'is of mmdet 1\.x'):
        translate(contents(old), 'mmplugin')


def test_another_detector_is_refused_by_its_first_tensor():
    other = {**rcnn(), 'roi_head.semantic_head.conv_embedding.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'1 tensors belong to none of .*semantic_head'):
        translate(contents(other), 'mmplugin')
