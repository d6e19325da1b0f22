import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmplugin.datasets.coco import segmentation, write_coco
from mmplugin.datasets.scene import draw_scene, kind_of
from mmplugin.datasets.shapes import SHAPES, coverage


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp('coco') / 'set'
    assert write_coco(out, seed=3, train=24, val=6)
    return out


def load(made, split):
    return COCO(str(made / 'annotations' / f'instances_{split}.json'))


@pytest.mark.parametrize(('split', 'count'), [('train', 24), ('val', 6)])
def test_files_and_json_agree(made, split, count):
    coco = load(made, split)
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == list(SHAPES)
    images = coco.loadImgs(coco.getImgIds())
    assert {image['file_name'] for image in images} == {f.name for f in (made / split).iterdir()}
    assert len(images) == count
    for image in images:
        picture = cv2.imread(str(made / split / image['file_name']), cv2.IMREAD_UNCHANGED)
        assert picture.shape[:2] == (image['height'], image['width'])
    assert len({(image['height'], image['width']) for image in images}) > 2


@pytest.mark.parametrize('split', ['train', 'val'])
def test_annotations_are_the_drawn_masks(made, split):
    coco = load(made, split)
    for index in coco.getImgIds():
        rng = np.random.default_rng([3, ['train', 'val'].index(split), index])
        things = draw_scene(rng, kind_of(index)).things
        annotations = coco.loadAnns(coco.getAnnIds([index]))
        assert len(annotations) == len(things)
        for annotation, thing in zip(annotations, things):
            assert np.array_equal(coco.annToMask(annotation).astype(bool), thing.mask)
            assert annotation['category_id'] == thing.label + 1
            assert annotation['area'] == thing.mask.sum()
            x, y, width, height = annotation['bbox']
            inside = np.zeros_like(thing.mask)
            inside[y : y + height, x : x + width] = True
            assert not (thing.mask & ~inside).any()
            assert width == thing.mask.any(axis=0).sum() or thing.crowd or width > 0
            rows = np.flatnonzero(thing.mask.any(axis=1))
            assert (y, y + height - 1) == (rows[0], rows[-1])


def test_special_pictures_occur_in_both_splits(made):
    for split in ('train', 'val'):
        coco = load(made, split)
        annotations = coco.dataset['annotations']
        crowds = [a for a in annotations if a['iscrowd']]
        assert crowds and all('counts' in a['segmentation'] for a in crowds)
        assert any(isinstance(a['segmentation'], list) for a in annotations)
        assert min(a['area'] for a in annotations) <= 40
        assert any(not coco.getAnnIds([index]) for index in coco.getImgIds())
        channels = {
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ndim for path in (made / split).iterdir()
        }
        assert channels == {2, 3}


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_truth_given_as_prediction_is_perfect(made, kind):
    coco = load(made, 'val')
    found = [
        {
            'image_id': a['image_id'],
            'category_id': a['category_id'],
            'bbox': a['bbox'],
            'segmentation': rle.encode(np.asfortranarray(coco.annToMask(a))),
            'score': 1.0,
        }
        for a in coco.dataset['annotations']
        if not a['iscrowd']
    ]
    evaluation = COCOeval(coco, coco.loadRes(found), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_splits_and_seeds_differ_and_more_pictures_keep_the_first(made, tmp_path):
    write_coco(tmp_path / 'more', seed=3, train=26, val=6)
    write_coco(tmp_path / 'other', seed=4, train=5, val=5)
    one = (made / 'train' / '000003.png').read_bytes()
    assert one == (tmp_path / 'more' / 'train' / '000003.png').read_bytes()
    assert one != (made / 'val' / '000003.png').read_bytes()
    assert one != (tmp_path / 'other' / 'train' / '000003.png').read_bytes()


def test_segmentation_of_awkward_masks():
    rng = np.random.default_rng(0)
    corner = np.zeros((9, 11), bool)
    corner[0, 0] = corner[8, 10] = corner[1, 1] = True  # border pixels and a diagonal touch
    masks = [corner, np.ones((5, 7), bool), rng.random((20, 30)) < 0.4]
    masks += [rng.random((12, 12)) < share for share in (0.1, 0.5, 0.9)]
    for mask in masks:
        for crowd in (False, True):
            given = segmentation(mask, crowd)
            size = mask.shape
            coded = rle.frPyObjects(given, *size)
            assert np.array_equal(
                rle.decode(rle.merge(coded) if isinstance(coded, list) else coded), mask
            )
            json.dumps(given)
    ring = coverage('ring', (40, 40), (20, 20), 15) >= 0.5
    disc = coverage('disc', (40, 40), (20, 20), 15) >= 0.5
    assert isinstance(segmentation(ring), dict) and isinstance(segmentation(disc), list)


@pytest.mark.parametrize(
    ('request_', 'words'), [({'seed': -1}, 'seed'), ({'train': 4}, 'train'), ({'val': 0}, 'val')]
)
def test_bad_requests_are_refused_before_anything_is_made(tmp_path, request_, words):
    with pytest.raises(ValueError, match=words):
        write_coco(tmp_path / 'set', **request_)
    assert not (tmp_path / 'set').exists()
