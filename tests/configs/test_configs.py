"""Every config loads, is named by the grammar, dumps and reloads, builds, and trains a step."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData

ROOT = Path(__file__).parent.parent.parent
LEAVES = sorted(
    p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name not in ('_base_', 'demo')
)
TEMPLATES = sorted((ROOT / 'configs/_base_').glob('*.py'))
GRAMMAR = re.compile(
    r'(?P<algorithm>[a-z0-9-]+)_(?P<family>[a-z0-9]+)-(?P<size>[a-z0-9-]+?)'
    r'(_(?P<neck>fpn))?_(?P<schedule>\d+x|\d+xb\d+-\d+[ke])_(?P<dataset>coco|ade20k-512x512)'
)


def models_of_metafiles():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    files = [yaml.safe_load((ROOT / path).read_text()) for path in index['Import']]
    return {model['Config']: model for file in files for model in file['Models']}


MODELS_BY_CONFIG = models_of_metafiles()


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def build(config, device='meta'):
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device(device):
        return MODELS.build(config.model)


def one_batch(config, size=64):
    """A batch as the framework's own pipelines pack it: two boxes with masks, or a label map."""
    if config.default_scope == 'mmdet':
        from mmdet.structures import DetDataSample as Sample
        from mmdet.structures.mask import BitmapMasks
    else:
        from mmseg.structures import SegDataSample as Sample
    sample = Sample(
        metainfo=dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1, 1))
    )
    if config.default_scope == 'mmdet':
        boxes = torch.tensor([[4.0, 6.0, 40.0, 50.0], [20.0, 10.0, 60.0, 30.0]])
        masks = torch.zeros(2, size, size, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1:y2, x1:x2] = 1
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor([1, 5]), masks=BitmapMasks(masks.numpy(), size, size)
        )
    else:
        labels = torch.arange(size * size).reshape(1, size, size) % 150
        sample.gt_sem_seg = PixelData(data=labels)
    image = torch.randint(0, 255, (3, size, size), dtype=torch.uint8)
    return dict(inputs=[image, image.flip(-1)], data_samples=[sample, sample.clone()])


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_name_follows_the_grammar(path):
    match = GRAMMAR.fullmatch(path.stem)
    assert match and match['family'] == path.parent.name


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_head_comment_gives_the_command_and_the_figure(path):
    lines = path.read_text().splitlines()
    assert name_of(path) in ' '.join(lines[:2])
    metrics = MODELS_BY_CONFIG[name_of(path)]['Results'][0]['Metrics']
    assert lines[2].startswith('# ') and str(next(iter(metrics.values()))) in lines[2]


@pytest.mark.parametrize('path', [*LEAVES, *TEMPLATES], ids=name_of)
def test_dumps_and_reloads(path, tmp_path):
    config = Config.fromfile(path)
    config.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert again.to_dict() == config.to_dict()
    assert config.custom_imports == dict(imports=['mmplugin'], allow_failed_imports=False)


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_parameters_are_the_published_ones(path):
    count = sum(p.numel() for p in build(Config.fromfile(path)).parameters())
    published = MODELS_BY_CONFIG[name_of(path)]['Metadata']['Parameters (M)']
    assert f'{count / 1e6:.1f}' == f'{published:.1f}'


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_only_the_recipe_differs_from_the_control(path):
    """A leaf inherits nothing of the ResNet it replaces, and names released weights."""
    backbone = Config.fromfile(path).model.backbone
    assert set(backbone) <= {'type', 'arch', 'out_indices', 'init_cfg'}
    assert backbone.init_cfg.type == 'Pretrained'
    weights = MODELS_BY_CONFIG[name_of(path)]['Metadata']['Pretrained Weights']
    assert backbone.init_cfg.checkpoint == weights


@pytest.mark.parametrize(
    ('pattern', 'lr'),
    [('retinanet_pool*', 1e-4), ('mask-rcnn_pool*', 2e-4), ('fpn_pool*', 2e-4)],
)
def test_optimizer_is_the_authors(pattern, lr):
    paths = sorted((ROOT / 'configs/poolformer').glob(f'{pattern}.py'))
    assert paths
    for path in paths:
        config = Config.fromfile(path)
        assert config.optim_wrapper.type == 'OptimWrapper'  # fp32: no shipped config enables AMP
        assert config.optim_wrapper.optimizer == dict(type='AdamW', lr=lr, weight_decay=1e-4)


def test_semantic_fpn_is_tested_on_multiples_of_32():
    config = Config.fromfile(LEAVES[0].parent / 'fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py')
    for loader in (config.val_dataloader, config.test_dataloader):
        steps = [step.type for step in loader.dataset.pipeline]
        assert steps.index('ResizeToMultiple') == steps.index('Resize') + 1
    augmented = [group[0].type for group in config.tta_pipeline[-1].transforms]
    assert augmented.index('ResizeToMultiple') == augmented.index('Resize') + 1


@pytest.mark.parametrize('path', [*LEAVES, *TEMPLATES], ids=name_of)
def test_one_training_step_reaches_every_parameter(path):
    config = Config.fromfile(path)
    backbone = config.model.backbone
    backbone.init_cfg = None
    if 'size' in config.model.data_preprocessor:
        config.model.data_preprocessor.size = (64, 64)
    if 'arch' in backbone:  # one block a stage: the depth of each variant is tested with its family
        table = sys.modules[MODELS.get(backbone.type).__module__].VARIANTS
        backbone.arch = {**table[backbone.arch], 'depths': (1, 1, 1, 1)}
    if 'norm_cfg' in config.model.get('decode_head', {}):
        config.model.decode_head.norm_cfg.type = 'BN'  # SyncBN runs on GPUs only
    if 'norm_cfg' in backbone:
        backbone.norm_cfg.type = 'BN'
    model = build(config, device='cpu').train()
    batch = model.data_preprocessor(one_batch(config), training=True)
    losses = model(**batch, mode='loss')
    loss, values = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite() and len(values) >= 2
    unreached = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unreached
    assert any(p.grad.abs().sum() > 0 for p in model.backbone.parameters() if p.grad is not None)


def test_every_leaf_is_in_a_metafile_and_the_other_way_round():
    assert {name_of(path) for path in LEAVES} == set(MODELS_BY_CONFIG)
