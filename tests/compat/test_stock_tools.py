"""The unmodified ``train.py`` and ``test.py`` that mmdet and mmseg install, on tiny data."""

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from .environments import ROOT, Environment, run_python, site_packages

BACKBONE = """
backbone = dict(
    _delete_=True,
    type='mmplugin.PoolFormer',
    arch=dict(depths=(1, 1, 1, 1), embed_dims=(8, 8, 16, 16)),
)
neck = dict(in_channels=[8, 8, 16, 16], out_channels=8)
"""
RUN = """
param_scheduler = []
val_cfg = val_dataloader = val_evaluator = None
default_hooks = dict(logger=dict(interval=1))
auto_scale_lr = None
"""

DETECTOR = (
    """
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
"""
    + BACKBONE
    + """
model = dict(
    backbone=backbone,
    neck=neck,
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=8, num_classes=1),
    ),
)
dataset = dict(
    data_root='', ann_file='boxes.json', data_prefix=dict(img='images/'),
    metainfo=dict(classes=('square',)),
)
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64)), dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 64)),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                                          'scale_factor')),
]
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=train_pipeline))
test_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
test_evaluator = dict(ann_file='boxes.json')
train_cfg = dict(max_epochs=1)
"""
    + RUN
)

SEGMENTOR = (
    """
_base_ = [
    'mmseg::_base_/models/fpn_r50.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/schedules/schedule_40k.py',
    'mmseg::_base_/default_runtime.py',
]
"""
    + BACKBONE
    + """
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    pretrained=None,
    backbone=backbone,
    neck=neck,
    decode_head=dict(
        in_channels=[8, 8, 8, 8], channels=8, num_classes=2, norm_cfg=dict(type='BN')
    ),
)
pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs'),
]
dataset = dict(
    _delete_=True, type='BaseSegDataset', img_suffix='.png', pipeline=pipeline,
    data_prefix=dict(img_path='images', seg_map_path='masks'),
    metainfo=dict(classes=('ground', 'square'), palette=[(0, 0, 0), (255, 255, 255)]),
)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, batch_size=2, dataset=dataset)
test_dataloader = dict(**loader, dataset=dataset)
train_cfg = dict(max_iters=1)
"""
    + RUN
)

CONFIGS = {'mmdet': DETECTOR, 'mmseg': SEGMENTOR}
CHECKPOINTS = {'mmdet': 'epoch_1.pth', 'mmseg': 'iter_1.pth'}
LOSSES = {'mmdet': 'loss_rpn_bbox: ', 'mmseg': 'decode.loss_ce: '}
RESULTS = {'mmdet': 'coco/bbox_mAP:', 'mmseg': 'mIoU:'}


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A virtual environment whose Python is prepared by ``compat install``."""
    environment = Environment(tmp_path_factory.mktemp('venv') / 'venv', [site_packages(), ROOT])
    environment.run('-m', 'mmplugin', 'compat', 'install').check_returncode()
    return environment


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A folder with two pictures of a square, their boxes and masks, and the configs."""
    folder = tmp_path_factory.mktemp('work')
    for name in ('images', 'masks'):
        (folder / name).mkdir()
    boxes = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'square'}]}
    for number, corner in enumerate([8, 24]):
        mask = np.zeros((64, 64), np.uint8)
        mask[corner : corner + 24, corner : corner + 24] = 1
        cv2.imwrite(str(folder / 'images' / f'{number}.png'), np.stack([mask * 200] * 3, axis=-1))
        cv2.imwrite(str(folder / 'masks' / f'{number}.png'), mask)
        boxes['images'].append(
            {'id': number, 'file_name': f'{number}.png', 'width': 64, 'height': 64}
        )
        boxes['annotations'].append(
            {
                'id': number + 1,
                'image_id': number,
                'category_id': 1,
                'bbox': [corner, corner, 24, 24],
                'area': 24 * 24,
                'iscrowd': 0,
            }
        )
    (folder / 'boxes.json').write_text(json.dumps(boxes))
    for name, text in CONFIGS.items():
        (folder / f'{name}.py').write_text(text)
        (folder / f'{name}_imports.py').write_text(
            f"_base_ = '{name}.py'\ncustom_imports = dict(imports=['mmplugin'])\n"
        )
    return folder


def run_tool(run, framework: str, tool: str, *words) -> str:
    """Run a tool inside an installed package; return its log, as it has to end well."""
    path = Path(find_spec(framework).origin).parent / '.mim' / 'tools' / tool
    done = run(path, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def in_prepared(prepared, work):
    """Runs Python in the prepared environment."""
    return partial(prepared.run, cwd=work)


@pytest.fixture(scope='module')
def in_plain(work):
    """Runs the Python of the tests, with mmplugin on the path and no line in site-packages."""
    return partial(run_python, cwd=work, PYTHONPATH=str(ROOT))


@pytest.fixture(scope='module')
def trained(in_prepared, in_plain, work):
    """Log and checkpoint of one training run each; the detector's relies on its config alone."""
    found = {}
    for framework, run, config in [
        ('mmdet', in_plain, 'mmdet_imports.py'),
        ('mmseg', in_prepared, 'mmseg.py'),
    ]:
        log = run_tool(run, framework, 'train.py', config, '--work-dir', f'{framework}_out')
        found[framework] = log, work / f'{framework}_out' / CHECKPOINTS[framework]
    return found


@pytest.mark.parametrize('framework', CONFIGS)
def test_train_and_test(framework, trained, in_prepared):
    log, checkpoint = trained[framework]
    assert LOSSES[framework] in log
    log = run_tool(in_prepared, framework, 'test.py', f'{framework}.py', checkpoint)
    assert RESULTS[framework] in log


@pytest.mark.slow
def test_detector_trains_and_resumes_in_a_prepared_environment(in_prepared):
    words = ['mmdet.py', '--work-dir', 'mmdet_resumed']
    assert LOSSES['mmdet'] in run_tool(in_prepared, 'mmdet', 'train.py', *words)
    more = ['--resume', '--cfg-options', 'train_cfg.max_epochs=2']
    log = run_tool(in_prepared, 'mmdet', 'train.py', *words, *more)
    assert 'resumed epoch: 1, iter: 1' in log


@pytest.mark.slow
def test_segmentor_trains_where_its_config_alone_brings_mmplugin_in(in_plain):
    assert LOSSES['mmseg'] in run_tool(in_plain, 'mmseg', 'train.py', 'mmseg_imports.py')
