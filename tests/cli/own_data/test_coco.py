"""--coco-data: files found in every documented layout, faults of the data named, the config set."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmplugin.cli import UserError
from mmplugin.cli.own_data.coco import use_coco_data
from tests.configs.test_configs import LEAVES, ROOT, build, read

MASKS = ROOT / 'configs/poolformer/mask-rcnn_poolformer-s12_fpn_1x_coco.py'
BOXES = ROOT / 'configs/poolformer/retinanet_poolformer-s12_fpn_1x_coco.py'


def content(names=('nut', 'fig'), images=('a.png', 'b.png'), **change):
    """An annotation file: one object on each image, the first two classes in turn."""
    square = [[2, 2, 10, 2, 10, 10, 2, 10]]
    notes = [
        dict(
            id=i + 1,
            image_id=i,
            category_id=7 - i % 2,
            bbox=[2, 2, 8, 8],
            area=64,
            iscrowd=0,
            segmentation=square,
        )
        for i in range(len(images))
    ]
    return {
        'images': [dict(id=i, file_name=n, width=32, height=24) for i, n in enumerate(images)],
        'annotations': notes,
        'categories': [dict(id=7 - i, name=name) for i, name in enumerate(names)],
        **change,
    }


def write(root, annotations, folder, made=None):
    made = made or content()
    path = root / annotations
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made))
    (root / folder).mkdir(parents=True, exist_ok=True)
    for image in made['images']:
        picture = Image.fromarray(np.zeros((24, 32, 3), np.uint8))
        picture.save(root / folder / image['file_name'])


def applied(root, config=MASKS, splits=('train', 'val')):
    cfg = Config(read(config)._cfg_dict.to_dict())
    return cfg, '\n'.join(use_coco_data(cfg, str(root), splits))


def paths(cfg, split):
    dataset = cfg[f'{split}_dataloader'].dataset
    return dataset.ann_file, dataset.data_prefix.img


@pytest.mark.parametrize(
    ('train', 'val'),
    [
        (
            ('annotations/instances_train2017.json', 'train2017'),
            ('annotations/instances_val2017.json', 'val2017'),
        ),
        (('annotations/instances_train.json', 'images/train'), ('annotations/val.json', 'val')),
        (('annotations/train.json', 'images'), ('annotations/valid.json', 'images')),
        (('train.json', 'train'), ('val.json', '.')),
        (('train/_annotations.coco.json', 'train'), ('valid/_annotations.coco.json', 'valid')),
    ],
)
def test_layouts(train, val, tmp_path):
    write(tmp_path, *train)
    write(tmp_path, *val, content(images=('c.png',)))
    cfg, text = applied(tmp_path)
    assert (paths(cfg, 'train'), paths(cfg, 'val'), paths(cfg, 'test')) == (train, val, val)
    assert cfg.train_dataloader.dataset.data_root == str(tmp_path)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == str(tmp_path / val[0])
    assert 'the same images' not in text


def test_a_test_split_of_its_own(tmp_path):
    for split in ('train', 'valid', 'test'):
        write(tmp_path, f'{split}/_annotations.coco.json', split)
    cfg, _ = applied(tmp_path)
    assert paths(cfg, 'test') == ('test/_annotations.coco.json', 'test')


def test_a_test_split_without_annotations_is_not_evaluated(tmp_path):
    for split, made in (('train', content()), ('val', content()), ('test', content())):
        write(tmp_path, f'annotations/{split}.json', split, made)
    unlabelled = content()
    del unlabelled['annotations']
    (tmp_path / 'annotations/test.json').write_text(json.dumps(unlabelled))
    cfg, _ = applied(tmp_path)
    assert paths(cfg, 'test') == ('annotations/val.json', 'val')


@pytest.mark.parametrize(
    'place', [('trainval.json', 'images'), ('annotations/all.json', 'all'), ('train.json', '.')]
)
def test_one_file_trains_and_evaluates_on_itself_and_says_so(place, tmp_path):
    write(tmp_path, *place)
    (tmp_path / 'settings.json').write_text('{}')
    cfg, text = applied(tmp_path)
    assert paths(cfg, 'train') == paths(cfg, 'val') == paths(cfg, 'test') == place
    assert 'training and evaluation see the same images' in text
    assert 'train = val: ' in text


def test_testing_needs_the_evaluated_part_alone(tmp_path):
    write(tmp_path, 'annotations/instances_train2017.json', 'train2017')
    write(tmp_path, 'annotations/instances_val2017.json', 'val2017')
    shutil.rmtree(tmp_path / 'train2017')
    cfg, text = applied(tmp_path, splits=('test',))
    assert 'test: annotations/instances_val2017.json' in text
    assert cfg.test_dataloader.dataset.metainfo.classes == ('nut', 'fig')
    train = tmp_path / 'annotations/instances_train2017.json'
    nameless = json.dumps(content(names=(None, 'fig')))
    for text in (nameless, train.read_text()[:-200], ''):
        train.write_text(text)
        applied(tmp_path, splits=('test',))
    with pytest.raises(UserError, match=r'train2017.json is no json file'):
        applied(tmp_path)


@pytest.mark.parametrize('fault', ['a missing image', 'half a file'])
def test_training_does_without_the_test_part(fault, tmp_path):
    for split in ('train', 'val', 'test'):
        write(tmp_path, f'{split}.json', f'images/{split}')
    if fault == 'a missing image':
        (tmp_path / 'images/test/b.png').unlink()
    else:
        (tmp_path / 'test.json').write_text((tmp_path / 'test.json').read_text()[:300])
    cfg, text = applied(tmp_path)
    assert paths(cfg, 'test') == ('test.json', 'images/test')
    assert 'test' not in text.splitlines()[1]
    with pytest.raises(UserError, match=r'b.png|test.json is no json file'):
        applied(tmp_path, splits=('test',))


def test_what_a_run_does_not_need_is_set_too(tmp_path):
    write(tmp_path, 'train.json', 'images')
    write(tmp_path, 'val.json', 'val')
    (tmp_path / 'train').mkdir()
    cfg, _ = applied(tmp_path, splits=('test',))
    assert paths(cfg, 'train') == ('train.json', 'images')
    assert cfg.train_dataloader.dataset.metainfo.classes == ('nut', 'fig')


def test_classes_of_what_a_run_does_not_need_agree(tmp_path):
    write(tmp_path, 'train.json', 'images')
    write(tmp_path, 'val.json', 'images')
    write(tmp_path, 'test.json', 'images', content(names=('fig', 'nut')))
    with pytest.raises(UserError, match=r'test.json .* the order differs'):
        applied(tmp_path)


def test_classes_and_heads(tmp_path):
    write(tmp_path, 'train.json', 'images')
    cfg, _ = applied(tmp_path)
    assert cfg.train_dataloader.dataset.metainfo.classes == ('nut', 'fig')
    assert len({tuple(c) for c in cfg.train_dataloader.dataset.metainfo.palette}) == 2
    assert cfg.model.roi_head.bbox_head.num_classes == cfg.model.roi_head.mask_head.num_classes == 2
    untouched = {key: value for key, value in cfg.items() if not_data(key)}
    assert untouched == {key: value for key, value in read(MASKS).items() if not_data(key)}


def not_data(key):
    return key != 'model' and not key.endswith(('dataloader', 'evaluator'))


def counts_of(node):
    if isinstance(node, dict):
        own = [node['num_classes']] if 'num_classes' in node else []
        return own + [n for value in node.values() for n in counts_of(value)]
    return [n for item in node for n in counts_of(item)] if isinstance(node, (list, tuple)) else []


@pytest.mark.parametrize(
    'path',
    [path for path in LEAVES if path.name.startswith(('cascade', 'd', 'conditional', 'smca', 'r'))],
    ids=lambda path: path.stem,
)
def test_every_head_of_every_detector(path, tmp_path):
    write(tmp_path, 'train.json', 'images')
    cfg, _ = applied(tmp_path, path)
    assert set(counts_of(cfg.model)) == {2}


def test_the_model_is_built_for_the_classes(tmp_path):
    write(tmp_path, 'train.json', 'images')
    cfg, _ = applied(
        tmp_path, ROOT / 'configs/poolformer/dino-4scale_poolformer-s24_8xb2-12e_coco.py'
    )
    model = build(cfg)
    assert model.bbox_head.cls_branches[0].out_features == 2
    assert model.dn_query_generator.num_classes == 2


def test_description(tmp_path):
    made = content(images=('a.png', 'b.png', 'c.png', 'd.png'), names=('nut', 'fig', 'date'))
    notes = made['annotations']
    notes[0].update(bbox=[-5, 2, 8, 8], id=0)
    notes[1].update(bbox=[40, 2, 8, 8])
    notes[2].update(iscrowd=1)
    del notes[3]
    made['images'][3].update(width=64, height=48)
    write(tmp_path, 'annotations/train.json', 'images', made)
    write(tmp_path, 'annotations/val.json', 'images', content(names=('nut', 'fig', 'date')))
    _, text = applied(tmp_path)
    assert '4 images of 32x24 to 64x48, 2 boxes, 1 crowd, 1 image without objects' in text
    assert 'train: 1 box reach' in text
    assert 'train: 1 box outside the image' in text
    assert "train: no box of 1 class, such as 'date'" in text
    assert 'train: annotation ids begin at 0' in text
    rows = [line.split() for line in text.splitlines()]
    assert ['nut', '1', '1'] in rows
    assert ['boxes', 'train', 'val'] in rows


def changed(kind, **change):
    made = content()
    made[kind][1].update(change)
    return made


def broken(**change):
    return changed('annotations', **change)


def lacking(kind, key):
    made = content()
    del made[kind][1][key]
    return made


@pytest.mark.parametrize(
    ('made', 'message'),
    [
        (broken(id=1), 'annotations have the id 1 more than once'),
        (broken(image_id=9), 'annotation 2 has image_id 9, which is not among its images'),
        (broken(category_id=9), 'annotation 2 has category_id 9'),
        (broken(bbox=[1, 2, 3]), 'annotation 2 has bbox'),
        (broken(bbox=None), 'annotation 2 has bbox None; it takes x, y, width, height'),
        (broken(bbox=['1', '2', '3', '4']), 'annotation 2 has bbox'),
        (broken(bbox=[float('nan')] * 4), 'annotation 2 has bbox'),
        (broken(category_id=[7]), 'annotation 2 has category_id'),
        (broken(category_id=True), 'annotation 2 has category_id True'),
        (broken(category_id='6'), "annotation 2 has category_id '6', which is not among"),
        (broken(area=None), 'annotation 2 has area None; it takes a number from 0 on'),
        (broken(iscrowd=None), 'annotation 2 has iscrowd None; it takes 0 or 1'),
        (broken(id=None), r'annotation number 1 \(from 0\) has id None'),
        (content(annotations=[7]), r'annotations are objects, and number 0 \(from 0\) is 7'),
        (changed('images', width=None), 'image 1 has width None; it takes a whole number'),
        (changed('images', height=0), 'image 1 has height 0'),
        (changed('images', file_name=None), 'image 1 has file_name None'),
        (changed('categories', name=None), 'category 6 has name None; it takes a text'),
        (content(names=('nut', 'nut')), "two categories are named 'nut'"),
        (content(annotations=[]), 'has no images or no annotations'),
        (lacking('annotations', 'iscrowd'), 'annotation 2 has no iscrowd'),
        (lacking('images', 'width'), 'image 1 has no width'),
        (lacking('images', 'id'), r'image number 1 \(from 0\) has no id'),
        ({'images': []}, "no list 'annotations'"),
        ([], "no list 'images'"),
    ],
    ids=str,
)
def test_faults_of_the_file(made, message, tmp_path):
    write(tmp_path, 'annotations/train.json', 'images')
    (tmp_path / 'annotations/train.json').write_text(json.dumps(made))
    with pytest.raises(UserError, match=f'train.json.* {message}'):
        applied(tmp_path, BOXES)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is no json file: Expecting value'),
        (json.dumps(content())[:-200], 'is no json file: '),
        (json.dumps(content(annotations=[])), 'has no images or no annotations'),
        ('{}', "is not in COCO's format: it has no list 'images'"),
        (json.dumps(content(categories=[])), 'has no categories'),
    ],
)
def test_faults_of_the_only_file(text, message, tmp_path):
    write(tmp_path, 'nuts.json', 'images')
    (tmp_path / 'nuts.json').write_text(text)
    with pytest.raises(UserError, match=f'nuts.json {message}'):
        applied(tmp_path)


def test_images_that_are_missing(tmp_path):
    write(tmp_path, 'train.json', 'images')
    (tmp_path / 'images/b.png').unlink()
    with pytest.raises(UserError, match=r'1 of 2 images of .*train.json are missing .*: b.png'):
        applied(tmp_path)
    (tmp_path / 'images/a.png').unlink()
    with pytest.raises(UserError, match=r'such as a.png, are in none of the folders .*/images'):
        applied(tmp_path)


def test_folders_without_images_are_named_once(tmp_path):
    write(tmp_path, 'nuts.json', 'elsewhere')
    with pytest.raises(UserError, match='are in none of the folders') as caught:
        applied(tmp_path)
    folders = str(caught.value).rpartition('folders ')[2].split(', ')
    assert folders == [str(tmp_path / name) for name in ('images', 'nuts', '')]


@pytest.mark.parametrize('config', [MASKS, BOXES], ids=['masks', 'boxes'])
def test_boxes_alone_are_for_box_detectors(config, tmp_path):
    made = content()
    for note in made['annotations']:
        note['segmentation'] = []
    write(tmp_path, 'train.json', 'images', made)
    if config is BOXES:
        cfg, _ = applied(tmp_path, config)
        assert cfg.model.bbox_head.num_classes == 2
    else:
        with pytest.raises(UserError, match='has boxes only'):
            applied(tmp_path, config)


def test_one_object_without_a_mask(tmp_path):
    write(tmp_path, 'train.json', 'images', broken(segmentation=[]))
    with pytest.raises(UserError, match=r'1 of 2 objects without a mask .*annotation 2'):
        applied(tmp_path)


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        ('abc', "segmentation 'abc'; it takes a list of polygons"),
        ([2, 2, 10, 2, 10, 10], 'it takes a list of polygons'),
        ([[1, 2]], r'segmentation \[\[1, 2\]\]; .* three points'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'three points'),
        ([[1, 2, 3, 4, 5, None]], 'it takes a list of polygons'),
        (dict(counts=[6]), r'takes counts and the size \[24, 32\]'),
        (dict(counts=[6], size=[3, 2]), r'takes counts and the size \[24, 32\]'),
    ],
    ids=str,
)
def test_masks_that_cannot_be_read(mask, message, tmp_path):
    write(tmp_path, 'train.json', 'images', broken(segmentation=mask))
    with pytest.raises(UserError, match=f'train.json: annotation 2 has .*{message}'):
        applied(tmp_path)
    applied(tmp_path, BOXES)  # which reads no masks


@pytest.mark.parametrize(
    'mask', [dict(counts=[24 * 32], size=[24, 32]), [[2, 2, 10, 2, 10, 10], [1, 2]]], ids=str
)
def test_masks_that_mmdet_reads(mask, tmp_path):
    write(tmp_path, 'train.json', 'images', broken(segmentation=mask))
    applied(tmp_path)


@pytest.mark.parametrize(
    ('names', 'how'), [(('fig', 'nut'), 'the order differs'), (('nut', 'date'), "only one has 'd")]
)
def test_splits_must_agree_on_classes(names, how, tmp_path):
    write(tmp_path, 'annotations/train.json', 'images')
    write(tmp_path, 'annotations/val.json', 'images', content(names=names))
    with pytest.raises(UserError, match=how):
        applied(tmp_path)


def test_two_files_for_a_split(tmp_path):
    write(tmp_path, 'annotations/instances_train2014.json', 'train2014')
    write(tmp_path, 'annotations/instances_train2017.json', 'train2017')
    with pytest.raises(UserError, match=r'_train2014.json and .*_train2017.json could each be'):
        applied(tmp_path)


def test_two_files_without_a_split(tmp_path):
    write(tmp_path, 'annotations/nuts.json', 'images')
    write(tmp_path, 'annotations/figs.json', 'images')
    with pytest.raises(UserError, match=r'annotations/figs.json, annotations/nuts.json could'):
        applied(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match='is no folder'):
        applied(tmp_path / 'absent')
    with pytest.raises(UserError, match='holds no annotation file; it may be'):
        applied(tmp_path)
    write(tmp_path, 'data/trainval.json', 'data/images')
    with pytest.raises(UserError, match=r'try --coco-data .*/data;'):
        applied(tmp_path)


def test_only_for_detectors(tmp_path):
    write(tmp_path, 'train.json', 'images')
    with pytest.raises(UserError, match='a segmentor takes --ade-data'):
        applied(tmp_path, ROOT / 'configs/poolformer/fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py')


@pytest.mark.real_data
@pytest.mark.parametrize(
    ('name', 'parts'),
    [
        (
            'coco_tiny80',
            [
                'train: annotations/instances_train2017.json, images in train2017/: 80 images',
                '699 boxes, 6 crowds, 0 images without objects',
                'val: annotations/instances_val2017.json, images in val2017/: 80 images',
                '804 boxes, 11 crowds, 0 images without objects',
            ],
        ),
        (
            'coco_sg6',
            [
                'train = val: annotations/instances_val2017.json, images in images/val2017/',
                '6 images of',
                '135 boxes, 1 crowd,',
                'no box of 64 classes',
            ],
        ),
        ('fruits_nuts/data', ['train = val: trainval.json', '18 images of 800x600, 165 boxes']),
    ],
)
def test_real_sets(name, parts):
    if 'MMPLUGIN_REAL_DATA' not in os.environ:
        pytest.skip(f'MMPLUGIN_REAL_DATA is unset: the folder that holds {name}')
    _, text = applied(Path(os.environ['MMPLUGIN_REAL_DATA'], name))
    assert all(part in text for part in parts), text
