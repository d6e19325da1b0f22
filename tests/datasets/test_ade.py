import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmplugin.datasets.ade import write_ade
from mmplugin.datasets.landscape import CLASSES, draw_landscape


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp('ade') / 'set'
    assert write_ade(out, seed=3, train=12, val=5)
    return out


@pytest.mark.parametrize(('split', 'stream'), [('training', 2), ('validation', 3)])
def test_layout_and_labels(made, split, stream):
    images = sorted((made / 'images' / split).iterdir())
    maps = sorted((made / 'annotations' / split).iterdir())
    assert [path.stem for path in images] == [path.stem for path in maps]
    assert {path.suffix for path in images} == {'.jpg'}
    assert {path.suffix for path in maps} == {'.png'}
    for index, (image, label) in enumerate(zip(images, maps)):
        picture, labels = draw_landscape(np.random.default_rng([3, stream, index]))
        stored = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
        assert stored.ndim == 2 and stored.dtype == np.uint8
        assert np.array_equal(stored, labels)
        jpeg = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
        assert jpeg.shape == picture.shape
        # JPEG takes the noise away, and keeps the colours
        assert np.abs(jpeg.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() < 2


def test_mmseg_reads_it_with_zero_ignored(made):
    from mmseg.datasets import BaseSegDataset

    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = BaseSegDataset(
            data_root=str(made),
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            metainfo=dict(classes=CLASSES),
            reduce_zero_label=True,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
        )
    assert len(dataset) == 12
    seen = set()
    for item in dataset:
        seen |= set(np.unique(item['gt_seg_map']).tolist())
    assert seen == {255, *range(len(CLASSES))}


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(ValueError, match='validation'):
        write_ade(tmp_path / 'set', val=1)
    assert not (tmp_path / 'set').exists()
