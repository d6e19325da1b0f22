"""tools/analyze.py: counts against formulas and against published figures."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.utils import get_installed_path
from torch import nn

from mmplugin.analysis.macs import count
from mmplugin.backbones import PoolFormer
from tests.tools.conftest import REPOSITORY, error_line
from tools import analyze, make_readme


def report(capsys, *words):
    assert analyze.main([*map(str, words), '--json']) == 0
    return json.loads(capsys.readouterr().out)


def installed(path):
    return f'{get_installed_path("mmdet")}/.mim/configs/{path}'


class Attention(nn.Module):
    """A convolution, and two forms of attention that PyTorch runs as one fused op."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, stride=2, padding=1, groups=1)
        self.layer = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = self.layer(x, x, x, need_weights=False)[0]
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_counts_equal_formulas():
    model = Attention().eval()
    costs, whole = count(model, lambda: model(torch.randn(1, 3, 32, 32)))
    tokens = 16 * 16
    conv = tokens * 16 * 27
    matmuls = 2 * tokens * tokens * 16
    layer = tokens * 16 * 16 * 4 + matmuls
    assert {cost.name: cost.macs for cost in costs} == {'conv': conv, 'layer': layer}
    assert whole.macs == conv + layer + matmuls
    assert whole.params == 16 * 27 + 16 + 4 * (16 * 16 + 16)
    assert 'forward' not in vars(model.conv)


def test_frozen_parameters_are_told_apart():
    model = Attention().eval()
    model.conv.requires_grad_(False)
    costs, whole = count(model, lambda: model(torch.randn(1, 3, 8, 8)))
    assert (costs[0].params, costs[0].trainable) == (16 * 27 + 16, 0)
    assert whole.trainable == whole.params - costs[0].params


@pytest.mark.parametrize(
    ('arch', 'macs'),
    [('s12', 1.812), ('s24', 3.392), ('s36', 4.972), ('m36', 8.759), ('m48', 11.533)],
)
def test_poolformer_at_224(arch, macs):
    """Convolutions and the classifier's 1000 outputs, as PoolFormer's authors count."""
    with torch.device('meta'):
        model = PoolFormer(arch, out_indices=(3,)).eval()
        _, whole = count(model, lambda: model(torch.randn(1, 3, 224, 224)))
    classifier = model.out_channels[0] * 1000
    assert (whole.macs + classifier) / 1e9 == pytest.approx(macs, abs=6e-4)


def test_detector_at_its_default_shape(detector, capsys):
    found = report(capsys, detector.config)
    assert found['shape'] == [800, 1280]
    parts = {part['name']: part for part in found['parts']}
    assert list(parts) == [
        'backbone',
        'neck',
        'rpn_head',
        'roi_head.bbox_head',
        'roi_head.mask_head',
    ]
    assert sum(part['params'] for part in parts.values()) == found['params']
    assert sum(part['macs'] for part in parts.values()) == found['macs']
    # 1000 proposals: 16 channels on 7 x 7 to 16, 16 to 16, 16 to 7 classes and 4 x 6 box sides
    assert parts['roi_head.bbox_head']['macs'] == 1000 * (16 * 49 * 16 + 16 * 16 + 16 * 31)
    # 100 of them: a 3 x 3 convolution on 14 x 14, its doubling, 6 masks on 28 x 28
    mask = 14 * 14 * 16 * 16 * 9 + 14 * 14 * 16 * 16 * 4 + 28 * 28 * 16 * 6
    assert parts['roi_head.mask_head']['macs'] == 100 * mask


def test_segmentor_table(segmentor, capsys):
    assert analyze.main([str(segmentor.config)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == f'{segmentor.config} at 512 x 512'
    assert [line.split('  ')[0] for line in table[2:]] == [
        'backbone', 'neck', 'decode_head', 'whole model'
    ]  # fmt: skip


def test_shape_is_free_and_cost_grows_with_it(segmentor, capsys):
    small = report(capsys, segmentor.config, '--shape', 128, 64)
    large = report(capsys, segmentor.config, '--shape', 256, 128)
    assert small['shape'] == [128, 64]
    assert small['params'] == large['params']
    assert large['macs'] == pytest.approx(4 * small['macs'], rel=1e-3)


def test_shape_must_be_positive(segmentor, capsys):
    assert analyze.main([str(segmentor.config), '--shape', '0', '64']) == 1
    assert '--shape' in error_line(capsys)


def test_detr(tmp_path, capsys):
    """Attention inside encoder and decoder is counted."""
    cfg = Config.fromfile(installed('detr/detr_r50_8xb2-150e_coco.py'))
    cfg.model.backbone.depth = 18
    cfg.model.neck.in_channels = [512]
    config = tmp_path / 'detr.py'
    cfg.dump(config)
    parts = {part['name']: part for part in report(capsys, config, '--shape', 64, 96)['parts']}
    tokens = 2 * 3
    layer = tokens * 256 * 256 * 4 + 2 * tokens * tokens * 256 + 2 * tokens * 256 * 2048
    assert parts['encoder']['macs'] == 6 * layer


def test_cascade(tmp_path, capsys):
    """Each of three stages: all regions in its box head, 100 of them in its mask head."""
    cfg = Config.fromfile(installed('cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py'))
    cfg.model.backbone.depth = 18
    cfg.model.neck.in_channels = [64, 128, 256, 512]
    for head in cfg.model.roi_head.bbox_head:
        head.fc_out_channels = 16
    config = tmp_path / 'cascade.py'
    cfg.dump(config)
    parts = {part['name']: part for part in report(capsys, config, '--shape', 64, 96)['parts']}
    box = 256 * 49 * 16 + 16 * 16 + 16 * (81 + 4)
    mask = 14 * 14 * 256 * 256 * (4 * 9 + 4) + 28 * 28 * 256 * 80
    assert parts['roi_head.bbox_head']['macs'] == 3 * 1000 * box
    assert parts['roi_head.mask_head']['macs'] == 3 * 100 * mask


@pytest.mark.parametrize(
    ('config', 'trainable', 'macs'),
    [
        ('retinanet/retinanet_r50_fpn_1x_coco.py', 37.74, 239.3),
        ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 44.18, 260.1),
    ],
)
@pytest.mark.slow
def test_published_figures_of_resnet_50(config, trainable, macs, capsys):
    """MACs at 800 x 1280 as in mmdet's documentation and in the tables of Swin."""
    found = report(capsys, installed(config))
    assert found['trainable'] / 1e6 == pytest.approx(trainable, abs=0.01)
    assert found['macs'] / 1e9 == pytest.approx(macs, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize('model', make_readme.load_models(), ids=lambda model: model['Name'])
def test_figures_of_the_zoo(model, capsys):
    stated = model['Metadata']
    found = report(capsys, REPOSITORY / model['Config'], '--shape', *stated['Shape'])
    assert found['params'] / 1e6 == pytest.approx(stated['Parameters (M)'], rel=1e-3)
    assert found['macs'] / 1e9 == pytest.approx(stated['MACs (G)'], rel=1e-3)


OUTSIDE_THE_ZOO = [p for d in ('_base_', 'demo') for p in (REPOSITORY / 'configs' / d).glob('*.py')]


@pytest.mark.slow
@pytest.mark.parametrize('config', sorted(OUTSIDE_THE_ZOO), ids=lambda path: path.stem)
def test_every_other_config_can_be_counted(config, capsys):
    side = 256 if config.stem.startswith('dino') else 64  # DINO picks 900 of its cells
    assert report(capsys, config, '--shape', side, side)['macs'] > 0
