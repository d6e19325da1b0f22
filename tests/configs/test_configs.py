"""Every config loads, is named by the grammar, dumps and reloads, builds, and trains a step."""

import ast
import copy
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData

from tools.make_readme import load_models

ROOT = Path(__file__).parent.parent.parent
LEAVES = sorted(
    p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name not in ('_base_', 'demo')
)
TEMPLATES = sorted((ROOT / 'configs/_base_').glob('*.py'))
GRAMMAR = re.compile(
    r'(?P<algorithm>[a-z0-9-]+)_(?P<family>[a-z0-9]+)-(?P<size>[a-z0-9-]+?)'
    r'(_(?P<neck>fpn))?_(?P<schedule>(ms-crop-)?\d+x|\d+xb\d+-\d+[ke])_(?P<dataset>coco|ade20k-512x512)'
)


MODELS_BY_CONFIG = {model['Config']: model for model in load_models()}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def build(config, device='meta'):
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device(device):
        return MODELS.build(config.model)


@cache
def read(path):
    """A config, read once; not to be changed."""
    return Config.fromfile(path)


@cache
def full_model(path):
    """Its model without memory, built once; not to be changed."""
    return build(copy.deepcopy(read(path)))


def listed(value):
    return value if isinstance(value, list) else [value]


def shrink(config):
    """One block a stage, few layers, narrow heads: what depth and width do is tested elsewhere."""
    model = config.model
    backbone = model.backbone
    backbone.init_cfg = None
    if 'arch' in backbone:
        table = sys.modules[MODELS.get(backbone.type).__module__].VARIANTS
        backbone.arch = {**table[backbone.arch], 'depths': (1, 1, 1, 1)}
    if 'norm_cfg' in backbone:
        backbone.norm_cfg.type = 'BN'  # SyncBN runs on GPUs only
    for head in (model.get('decode_head', {}), model.get('auxiliary_head', {})):
        if 'norm_cfg' in head:
            head.norm_cfg.type = 'BN'
        if head.get('type') == 'UPerHead':
            head.channels = 32
    if 'size' in model.data_preprocessor:
        model.data_preprocessor.size = (64, 64)
    if 'encoder' in model:
        model.num_queries = model.test_cfg.max_per_img = 20
        model.encoder.num_layers, model.decoder.num_layers = 1, 2
    if 'roi_head' in model:
        for head in listed(model.roi_head.bbox_head):
            head.fc_out_channels = 32
        for head in listed(model.roi_head.mask_head):
            head.num_convs = 1
        for stage in listed(model.train_cfg.rcnn):
            stage.sampler.num = 16
    kept = model.test_cfg.get('rcnn', model.test_cfg)
    if 'score_thr' in kept:  # what an untrained detector finds has low scores
        kept.score_thr, kept.max_per_img = 0.0, 5
    return config


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
    figure = str(next(iter(metrics.values()), 'No published figure'))
    assert lines[2].startswith('# ') and figure in lines[2]


@pytest.mark.parametrize('path', [*LEAVES, *TEMPLATES], ids=name_of)
def test_holds_plain_data_and_imports_the_package(path):
    config = read(path)
    plain = config.to_dict()
    assert ast.literal_eval(repr(plain)) == plain
    assert config.custom_imports == dict(imports=['mmplugin'], allow_failed_imports=False)


SLOW_LEAVES = [pytest.param(path, marks=pytest.mark.slow) for path in LEAVES]


@pytest.mark.parametrize('path', [*TEMPLATES, *SLOW_LEAVES], ids=name_of)
def test_dumps_and_reloads(path, tmp_path):
    read(path).dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == read(path).to_dict()


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_parameters_are_those_of_the_metafile_and_of_the_paper(path):
    count = sum(p.numel() for p in full_model(path).parameters()) / 1e6
    sizes = MODELS_BY_CONFIG[name_of(path)]['Metadata']
    assert f'{count:.3f}' == f'{sizes["Parameters (M)"]:.3f}'
    if 'Published Parameters (M)' in sizes:
        assert f'{count:.1f}' == f'{sizes["Published Parameters (M)"]:.1f}'


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_only_the_recipe_differs_from_the_control(path):
    """A leaf inherits nothing of the ResNet it replaces, and names released weights."""
    backbone = read(path).model.backbone
    recipe = {'norm_cfg', 'norm_eval', 'norm_frozen', 'drop_path_rate'}
    assert set(backbone) <= {'type', 'arch', 'out_indices', 'init_cfg'} | recipe
    assert backbone.init_cfg.type == 'Pretrained'
    weights = MODELS_BY_CONFIG[name_of(path)]['Metadata']['Pretrained Weights']
    assert backbone.init_cfg.checkpoint == weights


@pytest.mark.parametrize(
    ('pattern', 'lr'),
    [('retinanet_pool*', 1e-4), ('mask-rcnn_pool*_1x_*', 2e-4), ('fpn_pool*', 2e-4)],
)
def test_optimizer_is_the_authors(pattern, lr):
    paths = sorted((ROOT / 'configs/poolformer').glob(f'{pattern}.py'))
    assert paths
    for path in paths:
        config = read(path)
        assert config.optim_wrapper.type == 'OptimWrapper'  # fp32: no shipped config enables AMP
        assert config.optim_wrapper.optimizer == dict(type='AdamW', lr=lr, weight_decay=1e-4)


@pytest.mark.parametrize('path', LEAVES, ids=name_of)
def test_the_head_takes_what_the_backbone_gives(path):
    given = list(full_model(path).backbone.out_channels)
    model = read(path).model
    assert list(model.get('neck', model.get('decode_head')).in_channels) == given
    if 'auxiliary_head' in model:
        assert model.auxiliary_head.in_channels == given[model.auxiliary_head.in_index]


CONTAINERS = sorted((ROOT / 'configs/container').glob('*.py'))


@pytest.mark.parametrize(
    'path',
    [path for path in CONTAINERS if 'rcnn' in path.stem or 'retina' in path.stem],
    ids=name_of,
)
def test_container_detectors_train_as_the_paper_says(path):
    """At 1e-4 with batch norms frozen."""
    config = read(path)
    assert config.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-4, weight_decay=0.05)
    assert config.model.backbone.norm_eval and config.model.backbone.norm_frozen
    warm_up = config.param_scheduler[0]
    assert warm_up.end == (1000 if '3x' in path.stem else 500)


@pytest.mark.parametrize('path', CONTAINERS, ids=name_of)
def test_gates_never_decay(path):
    model = full_model(path)
    wrapper = build_optim_wrapper(model, copy.deepcopy(read(path).optim_wrapper))
    gates = {id(p) for name, p in model.named_parameters() if '.gate.' in name}
    assert gates
    for group in wrapper.optimizer.param_groups:
        if gates & {id(p) for p in group['params']}:
            assert group['weight_decay'] == 0


def test_semantic_fpn_is_tested_on_multiples_of_32():
    config = read(ROOT / 'configs/poolformer/fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py')
    for loader in (config.val_dataloader, config.test_dataloader):
        steps = [step.type for step in loader.dataset.pipeline]
        assert steps.index('ResizeToMultiple') == steps.index('Resize') + 1
    augmented = [group[0].type for group in config.tta_pipeline[-1].transforms]
    assert augmented.index('ResizeToMultiple') == augmented.index('Resize') + 1


@pytest.mark.parametrize('path', [*LEAVES, *TEMPLATES], ids=name_of)
def test_one_training_step_reaches_every_parameter(path):
    model = build(shrink(copy.deepcopy(read(path))), device='cpu').train()
    model.init_weights()
    batch = model.data_preprocessor(one_batch(read(path)), training=True)
    losses = model(**batch, mode='loss')
    loss, values = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite() and len(values) >= 2
    unreached = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unreached
    assert any(p.grad.abs().sum() > 0 for p in model.backbone.parameters() if p.grad is not None)


@pytest.mark.parametrize('path', [*TEMPLATES, *SLOW_LEAVES], ids=name_of)
def test_predicts(path):
    """Two images, through the head's own decoding, in the sizes of the original images."""
    config = read(path)
    model = build(shrink(copy.deepcopy(config)), device='cpu').eval()
    model.init_weights()
    batch = one_batch(config)
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(ori_shape=(32, 128), scale_factor=(0.5, 2.0)))
    results = model.test_step(batch)
    assert len(results) == 2
    for result in results:
        if config.default_scope == 'mmseg':
            assert result.pred_sem_seg.data.shape == (1, 32, 128)
            assert result.seg_logits.data.shape == (150, 32, 128)
            continue
        found = result.pred_instances
        assert len(found) > 0 and found.scores.isfinite().all() and found.labels.max() < 80
        assert (found.bboxes >= 0).all() and (found.bboxes <= torch.tensor([128, 32] * 2)).all()
        if 'rcnn' in path.stem:
            assert found.masks.shape == (len(found), 32, 128)
