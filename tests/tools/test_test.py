"""tools/test.py: metrics, kept predictions, pictures, augmentation."""

import json

import cv2
import mmengine
import numpy as np
import pytest
from mmengine.config import Config

from mmplugin.datasets.landscape import CLASSES
from tests.tools.conftest import error_line, options
from tools import test as tool
from tools import train


def run(project, work_dir, *words, pairs=()):
    command = [str(project.config), str(project.checkpoint), '--work-dir', str(work_dir)]
    return tool.main([*command, *words, *options(*pairs)])


def metrics(work_dir):
    """The json file a test leaves beside its log."""
    (log,) = work_dir.glob('*/*.json')
    return json.loads(log.read_text())


@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_metrics_are_those_of_training(kind, request, tmp_path):
    project = request.getfixturevalue(kind)
    assert run(project, tmp_path) == 0
    found = metrics(tmp_path)
    scalars = max(project.work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    validation = json.loads(scalars[-1])
    names = [name for name in found if name in ('mIoU', 'aAcc') or 'mAP' in name]
    assert names
    # mmdet rounds to three digits
    assert {name: found[name] for name in names} == pytest.approx(
        {name: validation[name] for name in names}, abs=5.1e-4
    )


def test_detections_and_pictures(detector, tmp_path):
    out, pictures = tmp_path / 'kept' / 'found.pkl', tmp_path / 'drawn'
    words = ['--out', str(out), '--show-dir', str(pictures)]
    assert run(detector, tmp_path / 'run', *words) == 0
    found = mmengine.load(out)
    assert len(found) == len(list((detector.data / 'val').iterdir()))
    assert {'bboxes', 'scores', 'labels', 'masks'} <= found[0]['pred_instances'].keys()
    assert 'counts' in found[0]['pred_instances']['masks'][0]
    assert len(list(pictures.glob('*.png'))) == len(found)
    assert list(out.parent.iterdir()) == [out]
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert f'The predictions are in {out}.' in log.read_text().splitlines()[-1]


def test_label_maps_and_pictures(segmentor, tmp_path):
    out, pictures = tmp_path / 'kept' / 'maps', tmp_path / 'drawn'
    out.mkdir(parents=True)
    (out / 'notes.txt').write_text('mine')
    words = ['--out', str(out), '--show-dir', str(pictures)]
    assert run(segmentor, tmp_path / 'run', *words) == 0
    images = sorted((segmentor.data / 'images' / 'validation').glob('*.jpg'))
    assert sorted(p.stem for p in out.glob('*.png')) == [p.stem for p in images]
    labels = cv2.imread(str(out / f'{images[0].stem}.png'), cv2.IMREAD_UNCHANGED)
    assert labels.shape == cv2.imread(str(images[0])).shape[:2]
    assert set(np.unique(labels)) <= set(range(1, len(CLASSES) + 1))  # as annotated: 0 is "other"
    assert len(list(pictures.glob('vis_data/vis_image/*.png'))) == len(images)
    assert (out / 'notes.txt').read_text() == 'mine'
    assert list(out.parent.iterdir()) == [out]


def test_augmentation_of_a_detector(detector, tmp_path):
    boxes_only = ['model.roi_head.mask_head=None', 'test_evaluator.metric=bbox']
    assert run(detector, tmp_path, '--tta', '--no-strict', pairs=boxes_only) == 0
    assert 'coco/bbox_mAP' in metrics(tmp_path)
    log = max(tmp_path.glob('*/*.log')).read_text()
    assert 'no tta_model in the config' in log
    assert 'no tta_pipeline in the config' in log


def test_masks_cannot_be_augmented(detector, tmp_path, capsys):
    assert run(detector, tmp_path, '--tta') == 1
    assert 'merges boxes only' in error_line(capsys)


def test_augmentation_of_a_segmentor(segmentor, tmp_path):
    assert run(segmentor, tmp_path, '--tta') == 0
    assert 'mIoU' in metrics(tmp_path)


def test_augmentation_of_a_segmentor_is_the_configs(segmentor, tmp_path, capsys):
    cfg = Config.fromfile(segmentor.config)
    cfg.pop('tta_pipeline')
    bare = tmp_path / 'bare.py'
    cfg.dump(bare)
    command = [str(bare), str(segmentor.checkpoint), '--work-dir', str(tmp_path), '--tta']
    assert tool.main(command) == 1
    assert 'no tta_pipeline' in error_line(capsys)


@pytest.mark.parametrize(
    ('kind', 'out'), [('detector', 'folder'), ('segmentor', 'file.pkl')], ids=['det', 'seg']
)
def test_out_of_the_wrong_kind(kind, out, request, tmp_path, capsys):
    project = request.getfixturevalue(kind)
    assert run(project, tmp_path / 'run', '--out', str(tmp_path / out)) == 1
    assert 'writes its predictions to a F' in error_line(capsys)
    assert not (tmp_path / out).exists()


def test_show_needs_a_display(segmentor, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setattr('sys.platform', 'linux')
    assert run(segmentor, tmp_path, '--show') == 1
    assert '--show-dir' in error_line(capsys)


def test_a_failing_test_leaves_what_was_kept_before(detector, tmp_path, capsys):
    out = tmp_path / 'found.pkl'
    out.write_bytes(b'earlier')
    late = ['test_evaluator.iou_thrs=high']  # noticed when all pictures have been seen
    assert run(detector, tmp_path / 'run', '--out', str(out), pairs=late) == 1
    error_line(capsys)
    assert out.read_bytes() == b'earlier'
    assert {path.name for path in tmp_path.iterdir()} == {'found.pkl', 'run'}


HEADS = {'Container': dict(num_heads=(2, 2, 2, 2)), 'PoolFormer': {}}


@pytest.fixture(scope='module', params=HEADS)
def family(request, segmentor, tmp_path_factory):
    """A backbone with an inference form, and the segmentor with it after two training steps."""
    root = tmp_path_factory.mktemp(request.param)
    cfg = Config.fromfile(segmentor.config)
    arch = dict(depths=(1, 1, 1, 1), embed_dims=(8, 16, 24, 32), **HEADS[request.param])
    cfg.model.backbone = dict(type=f'mmplugin.{request.param}', arch=arch)
    cfg.work_dir = str(root / 'run')
    cfg.dump(root / 'tiny.py')
    assert train.main([str(root / 'tiny.py'), *options()]) == 0
    trained = segmentor._replace(config=root / 'tiny.py', checkpoint=root / 'run' / 'iter_2.pth')
    return request.param, trained


@pytest.mark.parametrize('words', [[], ['--tta']], ids=['plain', 'tta'])
def test_inference_form_predicts_the_same(family, words, tmp_path):
    name_of_family, trained = family
    for name, more in (('trained', []), ('deployed', ['--deploy'])):
        assert (
            run(trained, tmp_path / name, '--out', str(tmp_path / f'{name}_maps'), *words, *more)
            == 0
        )
    logs = {path.parts[-3]: path.read_text() for path in tmp_path.glob('*/*/*.log')}
    assert f'testing the inference form of {name_of_family}' in logs['deployed']
    assert 'inference form' not in logs['trained']
    one, two = metrics(tmp_path / 'trained'), metrics(tmp_path / 'deployed')
    assert one['mIoU'] == pytest.approx(two['mIoU'], abs=0.05)
    maps = sorted((tmp_path / 'trained_maps').glob('*.png'))
    assert maps
    for path in maps:
        other = tmp_path / 'deployed_maps' / path.name
        assert np.mean(cv2.imread(str(path)) == cv2.imread(str(other))) > 0.999


def test_inference_form_of_a_backbone_without_one(segmentor, tmp_path, capsys):
    resnet = ['model.backbone._delete_=True', 'model.backbone.type=mmseg.ResNetV1c']
    words = [*resnet, 'model.backbone.depth=18', 'model.neck.in_channels=[64,128,256,512]']
    command = ['--deploy', '--no-strict']
    assert run(segmentor, tmp_path, *command, pairs=words) == 1
    assert '--deploy: ResNetV1c has no inference form' in error_line(capsys)


def test_compiled_backbone_and_neck_predict_the_same(segmentor, tmp_path, capsys):
    for name, more in (('eager', []), ('compiled', ['--compile', 'eager'])):
        assert run(segmentor, tmp_path / name, *more) == 0
    logs = {path.parts[-3]: path.read_text() for path in tmp_path.glob('*/*/*.log')}
    assert '--compile: PoolFormer runs through eager' in logs['compiled']
    assert '--compile: FPN runs through eager' in logs['compiled']
    scores = [metrics(tmp_path / name)['mIoU'] for name in ('eager', 'compiled')]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
    assert run(segmentor, tmp_path / 'wrong', '--compile', 'gcc') == 1
    assert "--compile: 'gcc' is no backend of torch.compile" in error_line(capsys)
