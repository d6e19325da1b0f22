"""tools/padding_effect.py: a local network is changed near the padding alone; the tool runs."""

import cv2
import numpy as np
import torch
from torch import nn

from mmplugin.analysis.padding import padding_effect
from tests.tools.conftest import error_line
from tools import padding_effect as tool

CONFIG = """
default_scope = 'mmdet'
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3),
    backbone=dict(
        type='mmplugin.Container',
        arch=dict(depths=(1, 1, 1, 1), embed_dims=(8, 16, 24, 32), num_heads=(1, 1, 1, 1)),
        out_indices=(1, 3),
    ),
    neck=dict(type='FPN', in_channels=[16, 32], out_channels=16, num_outs=2),
    bbox_head=dict(
        type='RetinaHead', num_classes=2, in_channels=16, feat_channels=16,
        anchor_generator=dict(
            type='AnchorGenerator', octave_base_scale=4, scales_per_octave=1, ratios=[1.0],
            strides=[8, 32],
        ),
    ),
)
"""


class Local(nn.Module):
    """Each cell sees itself and its neighbours."""

    out_strides = (32,)

    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(3, 4, 32, stride=32), nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x):
        return (self.convs(x),)


class Whole(Local):
    """Each cell is normed by the whole map."""

    def forward(self, x):
        return (nn.functional.group_norm(self.convs(x), 1),)


def test_a_local_network_is_changed_near_the_padding_alone():
    image = torch.rand(1, 3, 192, 256)
    (row,) = padding_effect(Local(), image, (192, 320))
    assert row['stride'] == 32
    assert row['far'] < 1e-6 < 1e-4 < row['whole']
    (row,) = padding_effect(Whole(), image, (192, 320))
    assert row['far'] > 0.01
    (row,) = padding_effect(Whole(), image, (192, 256))
    assert row['whole'] == row['far'] == 0
    assert padding_effect(Local(), image[..., :128], (192, 320))[0]['far'] is None


def test_the_tool_runs(tmp_path, capsys):
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    (tmp_path / 'config.py').write_text(CONFIG)
    photo = np.random.default_rng(0).integers(0, 255, (170, 230, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(tmp_path / 'config.py').model)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    files = [f'{tmp_path}/config.py', '--checkpoint', f'{tmp_path}/weights.pth', '--images']
    assert tool.main([*files, f'{tmp_path}/photo.png', '--side', '160']) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.rsplit(maxsplit=3) for line in lines[-6:]]
    names = [f'{name} {stride}' for name, stride, *_ in rows]
    assert [name.strip() for name, *_ in rows[::2]] == ['32 pixels', 'quarter', 'square'], names
    assert [int(row[1]) for row in rows] == [8, 32] * 3
    assert all(0 < float(row[2]) < 10 for row in rows)


def test_errors_are_one_line(tmp_path, capsys):
    (tmp_path / 'config.py').write_text(CONFIG)
    config = f'{tmp_path}/config.py'
    assert tool.main([config, '--checkpoint', 'none.pth', '--images', config]) == 1
    assert error_line(capsys) == 'error: none.pth does not exist'
    words = [config, '--checkpoint', config, '--images', config, '--side', '100']
    assert tool.main(words) == 1
    assert '--side must be 160 or more, got 100' in error_line(capsys)
