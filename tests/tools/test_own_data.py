"""--coco-data and --ade-data: a run, and what it leaves works by itself."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from tests.tools.conftest import REPOSITORY, error_line, options
from tools import test, train


def trained(config, work_dir, *words, pairs=()):
    code = train.main([str(config), '--work-dir', str(work_dir), *words, *options(*pairs)])
    assert code == 0
    return Config.fromfile(work_dir / Path(config).name), max(work_dir.glob('*.pth'))


def log_of(work_dir):
    return max(work_dir.glob('*/*.log')).read_text()


def metrics(work_dir):
    (path,) = work_dir.glob('*/*.json')
    return json.loads(path.read_text())


@pytest.fixture(scope='module')
def boxes(detector, tmp_path_factory):
    """The generated pictures in Roboflow's layout, with two classes of other names."""
    root = tmp_path_factory.mktemp('boxes')
    for split, name in (('train', 'train'), ('val', 'valid')):
        path = detector.data / 'annotations' / f'instances_{split}.json'
        content = json.loads(path.read_text())
        content['categories'] = [dict(id=1, name='odd'), dict(id=0, name='even')]
        for note in content['annotations']:
            note['category_id'] %= 2
        (root / name).mkdir()
        (root / name / '_annotations.coco.json').write_text(json.dumps(content))
        for image in content['images']:
            (root / name / image['file_name']).symlink_to(
                detector.data / split / image['file_name']
            )
    return root


@pytest.fixture(scope='module')
def own_detector(detector, boxes, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('own_detector')
    cfg, checkpoint = trained(detector.config, work_dir, '--coco-data', str(boxes))
    return cfg, checkpoint, work_dir


@pytest.fixture(scope='module')
def own_segmentor(segmentor, tmp_path_factory):
    """A training on masks with a class fewer, and all of them counted from 0."""
    root = tmp_path_factory.mktemp('scenes')
    for split in ('training', 'validation'):
        for folder in ('images', 'annotations'):
            (root / folder / split).mkdir(parents=True)
        for path in (segmentor.data / 'images' / split).iterdir():
            (root / 'images' / split / path.name).symlink_to(path)
        for path in (segmentor.data / 'annotations' / split).iterdir():
            labels = np.asarray(Image.open(path))
            Image.fromarray(np.minimum(labels, 3)).save(root / 'annotations' / split / path.name)
    work_dir = tmp_path_factory.mktemp('own_segmentor')
    words = ('--ade-data', str(root), '--no-reduce-zero-label')
    cfg, checkpoint = trained(segmentor.config, work_dir, *words)
    return cfg, checkpoint, work_dir, root


def test_detector_is_described_before_it_trains(own_detector, boxes):
    log = log_of(own_detector[2])
    described = log.index('5 images of')
    assert described < log.index('Epoch(train)')
    assert log.index(f'data of {boxes}') < described
    assert own_detector[0].train_dataloader.dataset.metainfo.classes == ('odd', 'even')


def test_options_come_after_the_data(detector, boxes, tmp_path):
    pairs = [
        'train_dataloader.dataset.metainfo.palette=None',
        'train_dataloader.dataset.indices=2',
        'val_dataloader.dataset.indices=1',
    ]
    cfg, _ = trained(detector.config, tmp_path, '--coco-data', str(boxes), pairs=pairs)
    assert cfg.train_dataloader.dataset.metainfo.palette is None
    assert len(cfg.val_dataloader.dataset.metainfo.palette) == 2


@pytest.mark.parametrize('words', [[], ['--coco-data']], ids=['dumped', 'same word'])
def test_detector_is_tested(words, own_detector, detector, boxes, tmp_path):
    _, checkpoint, work_dir = own_detector
    config = detector.config if words else work_dir / detector.config.name
    words = [*words, str(boxes)] if words else []
    arguments = [str(config), str(checkpoint), '--work-dir', str(tmp_path), *words, *options()]
    assert test.main(arguments) == 0
    assert metrics(tmp_path)['coco/segm_mAP'] >= 0
    assert ('test: valid/_annotations.coco.json' in log_of(tmp_path)) == bool(words)
    assert 'other classes' not in log_of(tmp_path)


def test_detector_is_not_tested_on_classes_of_others(own_detector, detector, tmp_path, capsys):
    _, checkpoint, _ = own_detector
    arguments = [str(detector.config), str(checkpoint), '--work-dir', str(tmp_path)]
    assert test.main([*arguments, *options()]) == 1
    assert 'of another shape' in error_line(capsys)


def test_detector_is_told_of_classes_in_another_order(own_detector, detector, boxes, tmp_path):
    _, checkpoint, _ = own_detector
    turned = tmp_path / 'data'
    shutil.copytree(boxes, turned, symlinks=True)
    for path in turned.glob('*/*.json'):
        content = json.loads(path.read_text())
        content['categories'].reverse()
        path.write_text(json.dumps(content))
    run = tmp_path / 'run'
    arguments = [str(detector.config), str(checkpoint), '--work-dir', str(run)]
    assert test.main([*arguments, '--coco-data', str(turned), *options()]) == 0
    assert "class 0 is 'odd' there and 'even' here" in log_of(run)


def test_detector_in_the_inferencer(own_detector, detector, boxes, tmp_path):
    from mmdet.apis import DetInferencer

    _, checkpoint, work_dir = own_detector
    inferencer = DetInferencer(
        str(work_dir / detector.config.name), str(checkpoint), device='cpu', show_progress=False
    )
    assert inferencer.model.dataset_meta['classes'] == ('odd', 'even')
    picture = next((boxes / 'valid').glob('*.png'))
    inferencer(str(picture), out_dir=str(tmp_path), pred_score_thr=0.0)
    assert (tmp_path / 'vis' / picture.name).is_file()


def test_segmentor_is_described_before_it_trains(own_segmentor):
    log = log_of(own_segmentor[2])
    assert log.index('4 classes, counted in the masks') < log.index('Iter(train)')
    assert own_segmentor[0].model.decode_head.num_classes == 4


@pytest.mark.parametrize('tta', [[], ['--tta']], ids=['plain', 'tta'])
def test_segmentor_is_tested(tta, own_segmentor, segmentor, tmp_path):
    _, checkpoint, work_dir, _ = own_segmentor
    config = work_dir / segmentor.config.name
    arguments = [str(config), str(checkpoint), '--work-dir', str(tmp_path), *tta]
    assert test.main([*arguments, *options()]) == 0
    assert metrics(tmp_path)['mIoU'] >= 0


def test_segmentor_in_the_inferencer(own_segmentor, segmentor, tmp_path):
    from mmseg.apis import MMSegInferencer

    _, checkpoint, work_dir, root = own_segmentor
    inferencer = MMSegInferencer(
        str(work_dir / segmentor.config.name), str(checkpoint), device='cpu'
    )
    assert inferencer.model.dataset_meta['classes'][0] == 'label_0'
    picture = next((root / 'images/validation').glob('*.jpg'))
    labels = np.asarray(inferencer(str(picture), out_dir=str(tmp_path))['predictions'])
    assert labels.max() < 4


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--coco-data', '/absent'], '--coco-data /absent is no folder'),
        (['--no-reduce-zero-label'], '--no-reduce-zero-label goes with --ade-data'),
    ],
)
def test_one_line_for_what_does_not_serve(words, message, detector, tmp_path, capsys):
    arguments = [str(detector.config), '--work-dir', str(tmp_path), *words, *options()]
    assert train.main(arguments) == 1
    assert message in error_line(capsys)


def real(name):
    if 'MMPLUGIN_REAL_DATA' not in os.environ:
        pytest.skip(f'MMPLUGIN_REAL_DATA is unset: the folder that holds {name}')
    return str(Path(os.environ['MMPLUGIN_REAL_DATA'], name))


FEW = (
    'model.backbone.init_cfg=None',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
    'val_dataloader.dataset.indices=2',
    'test_dataloader.dataset.indices=2',
    'default_hooks.logger.interval=1',
)
SMALL_DETECTOR = (
    'train_dataloader.dataset.indices=4',
    'train_cfg.max_epochs=1',
    'train_dataloader.dataset.pipeline.2.scale=(256,192)',
    'val_dataloader.dataset.pipeline.1.scale=(256,192)',
    'test_dataloader.dataset.pipeline.1.scale=(256,192)',
)
SMALL_SEGMENTOR = (
    'train_dataloader.batch_size=2',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'model.data_preprocessor.size=(128,128)',
    'train_dataloader.dataset.pipeline.3.crop_size=(128,128)',
)


@pytest.mark.real_data
def test_fruits_and_nuts_on_the_tiny_detector(detector, tmp_path):
    data = real('fruits_nuts/data')
    cfg, _ = trained(
        detector.config,
        tmp_path,
        '--coco-data',
        data,
        pairs=['train_dataloader.dataset.indices=4', 'val_dataloader.dataset.indices=2'],
    )
    assert cfg.train_dataloader.dataset.metainfo.classes == ('date', 'fig', 'hazelnut')
    log = log_of(tmp_path)
    assert '18 images of 800x600, 165 boxes, 0 crowds, 0 images without objects' in log
    assert [line.split()[-1] for line in log.splitlines() if '  fig ' in line] == ['41']


@pytest.mark.real_data
def test_ade_on_the_tiny_segmentor(segmentor, tmp_path):
    words = ('--ade-data', real('ade20k_mini'))
    pairs = ['val_dataloader.dataset.indices=2']
    cfg, _ = trained(segmentor.config, tmp_path, *words, pairs=pairs)
    assert cfg.model.decode_head.num_classes == 150
    log = log_of(tmp_path)
    assert '33 images of 212x189 to 778x512, 2.1 % of the pixels ignored' in log
    assert 'no pixel of 63 classes' in log  # 87 of the 150 occur


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(
    ('name', 'words', 'pairs', 'metric'),
    [
        (
            'mask-rcnn_poolformer-s12_fpn_1x_coco',
            ('--coco-data', 'fruits_nuts/data'),
            SMALL_DETECTOR,
            'coco/segm_mAP',
        ),
        (
            'retinanet_poolformer-s12_fpn_1x_coco',
            ('--coco-data', 'fruits_nuts/data'),
            # untrained, it finds nothing that reaches the usual threshold
            (*SMALL_DETECTOR, 'model.test_cfg.score_thr=0.0'),
            'coco/bbox_mAP',
        ),
        (
            'fpn_poolformer-s12_8xb4-40k_ade20k-512x512',
            ('--ade-data', 'ade20k_mini'),
            SMALL_SEGMENTOR,
            'mIoU',
        ),
    ],
)
def test_zoo_configs_on_real_pictures(name, words, pairs, metric, tmp_path):
    option, folder = words
    config = REPOSITORY / f'configs/poolformer/{name}.py'
    run, result = tmp_path / 'run', tmp_path / 'result'
    cfg, checkpoint = trained(config, run, option, real(folder), pairs=(*FEW, *pairs))
    assert (
        test.main([str(run / config.name), str(checkpoint), '--work-dir', str(result), *options()])
        == 0
    )
    assert metrics(result)[metric] >= 0
    assert cfg.param_scheduler == Config.fromfile(config).param_scheduler
