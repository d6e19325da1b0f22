"""Output norms inside of laterals give the maps that they give in front of them."""

import copy

import pytest
import torch
from mmdet.registry import MODELS as DETECTION
from mmseg.registry import MODELS as SEGMENTATION
from torch import nn

from mmplugin.cli.deploy import fold_output_norms
from tests.families import TINY, families
from tests.tensors import image, randomise, relative_error

NECKS = {
    'Mask R-CNN': (DETECTION, dict(type='FPN', num_outs=5), 4),
    'RetinaNet': (DETECTION, dict(type='FPN', add_extra_convs='on_input', num_outs=5), 3),
    'from stage 2': (DETECTION, dict(type='FPN', start_level=1, num_outs=4), 3),
    'semantic FPN': (SEGMENTATION, dict(type='FPN', num_outs=4), 4),
    'DETR': (DETECTION, dict(type='ChannelMapper', kernel_size=1, num_outs=4), 0),
}


def is_left(norm):
    """Whether a norm still multiplies its map."""
    return getattr(norm, 'affine', False)


@pytest.mark.parametrize(('registry', 'cfg', 'folded'), NECKS.values(), ids=NECKS)
@pytest.mark.parametrize('family', families())
@torch.no_grad()
def test_the_pyramid_is_the_same(family, registry, cfg, folded):
    backbone = randomise(families()[family](arch=TINY)).double().eval()
    channels = list(backbone.out_channels)
    neck = registry.build(dict(cfg, in_channels=channels, out_channels=8)).double().eval()
    x = image(2, 3, 70, 97)
    expected = neck(backbone(x))
    before = sum(map(is_left, backbone.norms.values()))
    mine, pyramid = copy.deepcopy(backbone), copy.deepcopy(neck)
    fold_output_norms(mine, pyramid)
    for one, other in zip(pyramid(mine(x)), expected):
        assert relative_error(one, other) < 1e-12
    affine = [is_left(norm) for norm in backbone.norms.values()]
    reached = {4: affine, 3: affine[1:] if 'start_level' in cfg else affine[:3], 0: []}[folded]
    assert before - sum(map(is_left, mine.norms.values())) == sum(reached)


def test_batch_norms_go_as_a_whole():
    backbone = randomise(families()['Container'](arch=TINY)).eval()
    neck = DETECTION.build(
        dict(type='FPN', in_channels=list(backbone.out_channels), out_channels=8, num_outs=4)
    )
    fold_output_norms(backbone, neck)
    assert all(isinstance(norm, nn.Identity) for norm in backbone.norms.values())
