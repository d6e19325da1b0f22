"""tools/test.py --detections and the files a test leaves: COCO's figures, by their names."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmplugin.cli.coco import use_coco_figures
from mmplugin.cli.data import metrics_of
from mmplugin.datasets.coco import write_coco
from mmplugin.datasets.shapes import SHAPES
from tests.tools.conftest import error_line, options
from tools import test as tool

FIGURES = (
    *('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'),
    *('AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100'),
)
PUBLISHED = {
    'bbox': (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564),
    'segm': (0.320, 0.562, 0.299, 0.387, 0.310, 0.327, 0.268, 0.415, 0.417, 0.469, 0.377, 0.381),
}
EXACT = {
    'bbox': {'mAP': 0.5045806987249628, 'mAP_50': 0.6969727247299577},
    'segm': {'mAP': 0.3195452758576433, 'mAP_50': 0.5622883972521636},
}

CONFIG = """
default_scope = 'mmdet'
test_dataloader = dict(dataset=dict(type='CocoDataset', metainfo=dict(classes=%(classes)r)))
test_evaluator = dict(
    type='CocoMetric', ann_file=%(ann_file)r, metric=['bbox', 'segm'], proposal_nums=%(nums)r
)
"""
"""A detector's config as far as ``--detections`` reads it."""


def write_config(folder, ann_file, classes=SHAPES, nums=(1, 10, 100)):
    path = folder / 'config.py'
    path.write_text(CONFIG % dict(ann_file=str(ann_file), classes=tuple(classes), nums=nums))
    return path


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    """Ground truth of generated pictures, as a file and as COCO reads it."""
    folder = tmp_path_factory.mktemp('shapes')
    write_coco(folder / 'data', train=5, val=8)
    path = folder / 'data' / 'annotations' / 'instances_val.json'
    return path, COCO(path)


@pytest.fixture
def config(shapes, tmp_path):
    return write_config(tmp_path, shapes[0])


def evaluate(config, file, work_dir, *words):
    command = [str(config), '--detections', str(file), '--work-dir', str(work_dir)]
    return tool.main([*command, *options(), *words])


def written(work_dir):
    """The metrics of a test, and the folder of its detections."""
    (path,) = work_dir.glob('*/*.json')
    assert path.stem == path.parent.name
    return json.loads(path.read_text()), path.parent / 'detections'


def write(path, records):
    path.write_text(json.dumps(records))
    return path


def fed_back(truth, *keys):
    """The ground truth as detections."""
    notes = [note for note in truth.dataset['annotations'] if not note['iscrowd']]
    keys = ('image_id', 'category_id', *keys)
    return [{key: note[key] for key in keys} | {'score': 1.0} for note in notes]


@pytest.mark.parametrize('keys', [('bbox',), ('segmentation',), ('bbox', 'segmentation')])
def test_ground_truth_fed_back(keys, shapes, config, tmp_path):
    file = write(tmp_path / 'found.json', fed_back(shapes[1], *keys))
    assert evaluate(config, file, tmp_path / 'run') == 0
    figures, folder = written(tmp_path / 'run')
    kinds = [{'bbox': 'bbox', 'segmentation': 'segm'}[key] for key in keys]
    assert list(figures) == [f'coco/{kind}_{name}' for kind in kinds for name in FIGURES]
    for name, value in figures.items():
        # one detection an image does not find all, and there may be no object of a size
        assert 0 < value < 1 if name.endswith('AR@1') else value in (1, -1), name
    classes = json.loads((folder / 'coco.classes.json').read_text())
    assert list(classes) == kinds
    assert list(classes[kinds[0]]) == list(SHAPES)
    assert {figures['mAP'] for figures in classes[kinds[0]].values()} == {1.0}
    assert [path.name for path in folder.iterdir()] == ['coco.classes.json']


def noisy(truth):
    """Detections that are right to every degree: shifted boxes, missed and invented objects."""
    rng = np.random.default_rng(0)
    records = fed_back(truth, 'bbox')[::2] * 2
    for record in records:
        record['bbox'] = (np.array(record['bbox']) + rng.uniform(-6, 6, 4)).tolist()
        record['score'] = rng.uniform()
        if rng.uniform() < 0.1:
            record['category_id'] = 1
    return records


def test_classes_keep_their_figures_in_any_order_of_the_file(shapes, tmp_path):
    """COCO sorts categories by id; the order of the file is another here."""
    truth = json.loads(shapes[0].read_text())
    truth['categories'].reverse()
    config = write_config(tmp_path, write(tmp_path / 'truth.json', truth), SHAPES[::-1])
    file = write(tmp_path / 'found.json', noisy(shapes[1]))
    assert evaluate(config, file, tmp_path / 'run') == 0
    figures, folder = written(tmp_path / 'run')
    classes = json.loads((folder / 'coco.classes.json').read_text())['bbox']
    for number, name in enumerate(SHAPES, start=1):
        alone = COCOeval(shapes[1], shapes[1].loadRes(noisy(shapes[1])), 'bbox')
        alone.params.catIds = [number]
        alone.evaluate()
        alone.accumulate()
        alone.summarize()
        assert list(classes[name].values()) == alone.stats.tolist()
    mean = np.mean([values['mAP'] for values in classes.values()])
    assert mean == pytest.approx(figures['coco/bbox_mAP'], abs=1e-12)


def test_recall_is_named_by_what_was_computed(shapes, tmp_path):
    config = write_config(tmp_path, shapes[0], nums=(2, 100, 300))
    file = write(tmp_path / 'found.json', noisy(shapes[1]))
    assert evaluate(config, file, tmp_path / 'run') == 0
    figures, _ = written(tmp_path / 'run')
    recall = [name.removeprefix('coco/bbox_') for name in figures if 'AR' in name]
    assert recall == ['AR@2', 'AR@100', 'AR@300', 'AR_s@300', 'AR_m@300', 'AR_l@300']
    assert figures['coco/bbox_AR@2'] < figures['coco/bbox_AR@100']


def test_a_file_without_detections(config, tmp_path):
    assert evaluate(config, write(tmp_path / 'found.json', []), tmp_path / 'run') == 0
    figures, _ = written(tmp_path / 'run')
    assert figures['coco/bbox_mAP'] == figures['coco/segm_AR@100'] == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'image_id': 4711}, 'has image_id 4711, which is not in the ground truth'),
        ({'image_id': '0'}, "has image_id '0', which is not in the ground truth"),
        ({'image_id': [0]}, 'has image_id [0], which is not in the ground truth'),
        ({'category_id': 99}, 'has category_id 99, which is not in the ground truth'),
        ({'category_id': True}, 'has category_id True, which is not in the ground truth'),
        ({'score': True}, 'has score True; it takes a number'),
        ({'score': None}, 'has no score'),
        ({'score': 'high'}, "has score 'high'; it takes a number"),
        ({'score': float('nan')}, 'has score nan; it takes a number'),
        ({'image_id': None}, 'has no image_id'),
        ({'bbox': None, 'segmentation': None}, 'has neither bbox nor segmentation'),
        ({'segmentation': None}, 'has bbox, the first bbox and segmentation'),
        ({'bbox': [1, 2, 3]}, 'has bbox [1, 2, 3]; it takes x, y, width, height'),
        ({'segmentation': 'mask'}, 'has a segmentation that is neither RLE nor polygons'),
        ({'segmentation': {'size': [2, 2], 'counts': [4]}}, 'has a mask of 2x2 pixels'),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_a_record_that_cannot_be_evaluated(change, message, shapes, config, tmp_path, capsys):
    first = fed_back(shapes[1], 'bbox', 'segmentation')[0]
    second = {key: value for key, value in (first | change).items() if value is not None}
    file = write(tmp_path / 'found.json', [first, second])
    assert evaluate(config, file, tmp_path / 'run') == 1
    line = error_line(capsys)
    assert line.startswith(f'error: --detections {file}: detection 1 (from 0) {message}')
    assert 'traceback' not in line
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[{"image_id": 1, ', 'is no json file: '),
        ('{"annotations": []}', 'takes a list of detections'),
        ('[1]', 'detection 0 (from 0) is no object'),
        (None, 'No such file'),
    ],
)
def test_a_file_that_cannot_be_read(content, message, config, tmp_path, capsys):
    file = tmp_path / 'found.json'
    if content is not None:
        file.write_text(content)
    assert evaluate(config, file, tmp_path / 'run') == 1
    line = error_line(capsys)
    assert str(file) in line
    assert message in line
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['model.pth'], 'give a CHECKPOINT or --detections FILE.json, got both'),
        (['--tta'], '--tta goes with a model'),
        (['--no-strict'], '--no-strict goes with a model'),
        (['--out', 'found.pkl'], '--out goes with a model'),
        (['--launcher', 'pytorch'], '--launcher goes with a model'),
        (['--cfg-options', 'test_evaluator.ann_file=none.json'], 'none.json does not exist'),
        (['--cfg-options', 'test_evaluator.ann_file='], '--detections needs the annotation file'),
        (['--cfg-options', 'test_evaluator.type=VOCMetric'], 'this one has 0'),
        (['--cfg-options', 'test_evaluator.metric=proposal'], 'this one has 0'),
        (['--cfg-options', 'test_evaluator.proposal_nums=(1,10,50)'], 'with 100 among them'),
        (['--cfg-options', 'test_evaluator.metric_items=[AR@300]'], "got 'AR@300'"),
        (
            ['--cfg-options', "test_dataloader.dataset.metainfo.classes=('cat',)"],
            'none of the classes cat, ... is a category of the ground truth, which has',
        ),
    ],
)
def test_words_that_do_not_serve(words, message, shapes, config, tmp_path, capsys):
    file = write(tmp_path / 'found.json', fed_back(shapes[1], 'bbox'))
    command = [str(config), *words, '--work-dir', str(tmp_path / 'run')]
    assert tool.main([*command, '--detections', str(file)]) == 1
    assert message in error_line(capsys)


def test_neither_a_checkpoint_nor_detections(config, tmp_path, capsys):
    assert tool.main([str(config)]) == 1
    assert 'got neither' in error_line(capsys)


def test_detections_for_a_segmentor(segmentor, tmp_path, capsys):
    assert evaluate(segmentor.config, 'found.json', tmp_path / 'run') == 1
    assert '--detections is for detectors (mmdet)' in error_line(capsys)


def test_faults_of_the_ground_truth_are_said(shapes, tmp_path):
    truth = json.loads(shapes[0].read_text())
    truth['annotations'][0]['id'] = 0
    ann_file = write(tmp_path / 'truth.json', truth)
    metric = METRICS.build(dict(type='mmplugin.CocoMetric', ann_file=str(ann_file)))
    metric.dataset_meta = dict(classes=SHAPES[1:])
    MMLogger.get_instance(f'faults of {tmp_path}', log_file=tmp_path / 'log')
    metric.settle_classes()
    log = (tmp_path / 'log').read_text()
    assert f'not evaluated, as no class of the data set: {SHAPES[0]}' in log
    assert 'annotation ids begin at 0' in log


def test_classes_that_the_config_leaves_out(shapes, config, tmp_path):
    file = write(tmp_path / 'found.json', [])
    pair = f"test_dataloader.dataset.metainfo.classes=('{SHAPES[1]}',)"
    command = [str(config), '--detections', str(file), '--work-dir', str(tmp_path / 'run')]
    assert tool.main([*command, *options(pair)]) == 0
    _, folder = written(tmp_path / 'run')
    assert list(json.loads((folder / 'coco.classes.json').read_text())['bbox']) == [SHAPES[1]]


@pytest.mark.parametrize(
    ('settings', 'kinds', 'classwise'),
    [
        (dict(type='CocoMetric'), ['mmplugin.CocoMetric'], True),
        (dict(type='mmdet.CocoMetric', classwise=False), ['mmplugin.CocoMetric'], False),
        (
            [dict(type='CocoMetric', metric=['bbox', 'segm']), dict(type='VOCMetric')],
            ['mmplugin.CocoMetric', 'VOCMetric'],
            True,
        ),
        (dict(type='CocoMetric', metric=['bbox', 'proposal']), ['CocoMetric'], None),
    ],
)
def test_metrics_of_a_config(settings, kinds, classwise):
    cfg = Config(dict(test_evaluator=settings))
    use_coco_figures(cfg)
    metrics = metrics_of(cfg.test_evaluator)
    assert [metric['type'] for metric in metrics] == kinds
    assert metrics[0].get('classwise') == classwise


@pytest.fixture(scope='module')
def tested(detector, tmp_path_factory):
    """What the test of a model leaves."""
    work_dir = tmp_path_factory.mktemp('tested')
    # the checkpoint may come after options, too
    words = ['--work-dir', str(work_dir), str(detector.checkpoint), *options()]
    assert tool.main([str(detector.config), *words]) == 0
    return written(work_dir)


def test_submission_of_a_model(tested, detector):
    figures, folder = tested
    assert sorted(path.name for path in folder.iterdir()) == [
        'coco.bbox.json',
        'coco.classes.json',
        'coco.segm.json',
    ]
    assert {f'coco/{kind}_{name}' for kind in ('bbox', 'segm') for name in FIGURES} <= set(figures)
    truth = COCO(detector.data / 'annotations' / 'instances_val.json')
    for kind, key in (('bbox', 'bbox'), ('segm', 'segmentation')):
        records = json.loads((folder / f'coco.{kind}.json').read_text())
        keys = {'image_id', 'category_id', 'score', key}
        assert records
        assert all(record.keys() == keys for record in records)
        assert {record['image_id'] for record in records} <= set(truth.getImgIds())
        assert {record['category_id'] for record in records} <= set(truth.getCatIds())


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_submission_evaluated_again(kind, tested, detector, tmp_path):
    figures, folder = tested
    assert evaluate(detector.config, folder / f'coco.{kind}.json', tmp_path) == 0
    again, _ = written(tmp_path)
    assert again == {name: figures[name] for name in again}
    assert len(again) == len(FIGURES)


def test_files_where_the_config_wants_them(detector, tmp_path):
    """For images without ground truth, as of COCO's server, nothing is evaluated."""
    pairs = [f'test_evaluator.outfile_prefix={tmp_path}/mine', 'test_evaluator.format_only=True']
    command = [str(detector.config), str(detector.checkpoint), '--work-dir', str(tmp_path / 'run')]
    assert tool.main([*command, *options(*pairs)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'mine.bbox.json',
        'mine.segm.json',
        'run',
    ]
    assert not list((tmp_path / 'run').glob('*/detections'))


def real(name):
    if 'MMPLUGIN_REAL_DATA' not in os.environ:
        pytest.skip(f'MMPLUGIN_REAL_DATA is unset: the folder that holds {name}')
    path = Path(os.environ['MMPLUGIN_REAL_DATA'], name)
    if not path.exists():
        pytest.skip(f'MMPLUGIN_REAL_DATA has no {name}')
    return path


@pytest.mark.real_data
@pytest.mark.parametrize('nums', [(1, 10, 100), (100, 300, 1000)], ids=['coco', 'mmdet'])
@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_published_figures_of_coco(kind, nums, tmp_path):
    folder = real('eval_reference')
    ann_file = folder / 'instances_val2014_100.json'
    classes = [category['name'] for category in json.loads(ann_file.read_text())['categories']]
    config = write_config(tmp_path, ann_file, classes, nums)
    file = folder / f'instances_val2014_fake{kind}100_results.json'
    assert evaluate(config, file, tmp_path / 'run') == 0
    figures, _ = written(tmp_path / 'run')
    published = dict(zip(FIGURES, PUBLISHED[kind]))
    if nums[0] == 100:  # no image has more than 100 detections
        recall = [published.pop(name) for name in FIGURES if 'AR' in name][2:]
        names = ('AR@100', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
        published |= dict(zip(names, recall)) | {'AR@300': recall[0], 'AR@1000': recall[0]}
    rounded = {name: round(value, 3) for name, value in figures.items()}
    assert rounded == {f'coco/{kind}_{name}': value for name, value in published.items()}
    for name, value in EXACT[kind].items():
        assert figures[f'coco/{kind}_{name}'] == pytest.approx(value, abs=1e-15)


@pytest.mark.real_data
def test_second_pair_published(tmp_path):
    folder = real('eval_reference/faster_coco_eval_extra')
    classes = ('cloud', 'heart', 'arrow', 'star')
    config = write_config(tmp_path, folder / 'gt_dataset.json', classes)
    assert evaluate(config, folder / 'dt_dataset.json', tmp_path / 'run') == 0
    figures, _ = written(tmp_path / 'run')
    found = [figures[f'coco/segm_{name}'] for name in ('mAP', 'mAP_m', 'AR@100')]
    assert found == pytest.approx([0.6947194719471946, 0.7367986798679867, 0.75], abs=1e-15)


@pytest.mark.real_data
def test_sample_of_ade():
    """mmseg's mIoU is over the 15 of the 150 classes that occur."""
    from mmseg.evaluation import IoUMetric
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    folder = real('eval_reference/ade_sampleData')
    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=[str(number) for number in range(1, 151)])
    pairs = []
    for annotated in sorted((folder / 'annotations').iterdir()):
        labels, found = (
            torch.from_numpy(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64) - 1)
            for path in (annotated, folder / 'predictions' / annotated.name)
        )
        labels[labels < 0] = 255
        pairs.append((labels, found))
    samples = [
        dict(pred_sem_seg=dict(data=found[None]), gt_sem_seg=dict(data=labels[None]))
        for labels, found in pairs
    ]
    metric.process({}, samples)
    figures = metric.evaluate(len(samples))
    assert (figures['aAcc'], figures['mIoU']) == (100.0, 100.0)
    present = set(torch.cat([labels.flatten() for labels, _ in pairs]).tolist()) - {255}
    assert len(present) == 15
