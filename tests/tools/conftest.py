"""Two tiny projects, one a framework: data, config, and a model that trains in seconds."""

import gc
import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config

from mmplugin.datasets.ade import write_ade
from mmplugin.datasets.coco import write_coco
from mmplugin.datasets.landscape import CLASSES
from mmplugin.datasets.shapes import SHAPES
from tools import train

REPOSITORY = Path(__file__).resolve().parents[2]

BACKBONE = """
    backbone=dict(
        _delete_=True,
        type='mmplugin.PoolFormer',
        arch=dict(depths=[1, 1, 1, 1], embed_dims=[8, 16, 24, 32], mlp_ratios=[2, 2, 2, 2]),
    ),
    neck=dict(in_channels=[8, 16, 24, 32], out_channels=16),
"""

DETECTOR = """
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(%(backbone)s
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=%(classes)d),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=%(classes)d),
    ),
    train_cfg=dict(rpn_proposal=dict(max_per_img=20), rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(max_per_img=20), rcnn=dict(score_thr=0.0, max_per_img=5)),
)
data_root = %(data)r
metainfo = dict(classes=%(names)r)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + '/annotations/instances_val.json')
test_evaluator = val_evaluator
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(logger=dict(interval=1))
randomness = dict(seed=0)
"""

SEGMENTOR = """
_base_ = [
    'mmseg::_base_/models/fpn_r50.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_40k.py',
]
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(64, 64)),%(backbone)s
    decode_head=dict(in_channels=[16] * 4, channels=16, num_classes=%(classes)d),
)
data_root = %(data)r
data = dict(
    _delete_=True,
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=%(names)r),
    reduce_zero_label=True,
    img_suffix='.jpg',
    seg_map_suffix='.png',
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        **data,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='Resize', scale=(64, 64), keep_ratio=False),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        **data,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64), keep_ratio=False),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=0.5, keep_ratio=True)],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations', reduce_zero_label=True)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3))
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=2), visualization=dict(draw=False)
)
randomness = dict(seed=0)
"""


NUMBERS = itertools.count()


class Project(NamedTuple):
    """A config, and after training the folder and the checkpoint it left."""

    config: Path
    data: Path
    work_dir: Path
    checkpoint: Path
    last: str
    """Where training stopped, as the name of the checkpoint says it."""

    @property
    def is_detector(self) -> bool:
        return self.last.startswith('epoch')


def options(*pairs: str) -> list[str]:
    """``--cfg-options`` for one run. mmengine keeps what it builds by name as long as the process
    lives, so that each run in it needs names of its own."""
    name = f'run{next(NUMBERS)}'
    return ['--cfg-options', f'experiment_name={name}', f'visualizer.name={name}', *pairs]


def error_line(capsys) -> str:
    """The one line that tells the user what is wrong."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error')]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope='session', autouse=True)
def quick_runs():
    """Spend no time on threads for tiny models, nor on pretty-printing configs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **style: (text, False))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def detector(tmp_path_factory) -> Project:
    root = tmp_path_factory.mktemp('detector')
    write_coco(root / 'data', train=5, val=5)
    return trained(root, 'tiny-mask-rcnn', DETECTOR, SHAPES, 'epoch_1')


@pytest.fixture(scope='session')
def segmentor(tmp_path_factory) -> Project:
    root = tmp_path_factory.mktemp('segmentor')
    write_ade(root / 'data', train=5, val=5)
    return trained(root, 'tiny-fpn', SEGMENTOR, CLASSES, 'iter_2')


def trained(root: Path, name: str, text: str, classes: tuple[str, ...], last: str) -> Project:
    fill = dict(backbone=BACKBONE, data=str(root / 'data'), names=classes, classes=len(classes))
    heir = root / 'heir.py'
    heir.write_text(text % fill)
    config = root / f'{name}.py'
    Config.fromfile(heir).dump(config)  # without bases, which take seconds to look up
    work_dir = root / 'run'
    assert train.main([str(config), '--work-dir', str(work_dir), *options()]) == 0
    gc.freeze()  # mmengine collects garbage for each data set it builds
    return Project(config, root / 'data', work_dir, work_dir / f'{last}.pth', last)
