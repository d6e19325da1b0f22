"""--ade-data: images and masks paired and counted, faults named, the config set."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmplugin.cli import UserError
from mmplugin.cli.own_data.ade import use_ade_data
from tests.configs.test_configs import ROOT, read

FPN = ROOT / 'configs/poolformer/fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py'
UPERNET = ROOT / 'configs/poolformer/upernet_poolformer-s12_8xb2-160k_ade20k-512x512.py'


def write(root, split='training', name='a', labels=((0, 1), (2, 3)), suffix='.jpg', size=None):
    mask = np.kron(np.array(labels, np.uint8), np.ones((4, 4), np.uint8))
    for folder in ('images', 'annotations'):
        (root / folder / split).mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(root / 'annotations' / split / f'{name}.png')
    picture = Image.new('RGB', size or mask.shape[::-1])
    picture.save(root / 'images' / split / f'{name}{suffix}')


def applied(root, config=FPN, splits=('train', 'val'), reduce_zero_label=True):
    cfg = Config(read(config)._cfg_dict.to_dict())
    return cfg, '\n'.join(use_ade_data(cfg, str(root), splits, reduce_zero_label))


@pytest.fixture
def data(tmp_path):
    write(tmp_path)
    write(tmp_path, 'validation', labels=((3, 3), (3, 3)), suffix='.png')
    return tmp_path


def test_counts_classes_and_sets_the_config(data):
    cfg, text = applied(data, UPERNET)
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 3
    for split, folder, suffix in (
        ('train', 'training', '.jpg'),
        ('val', 'validation', '.png'),
        ('test', 'validation', '.png'),
    ):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'BaseSegDataset'
        assert dataset.data_root == str(data)
        assert dataset.data_prefix == {
            'img_path': f'images/{folder}',
            'seg_map_path': f'annotations/{folder}',
        }
        assert dataset.img_suffix == suffix
        assert dataset.metainfo.classes == ('label_1', 'label_2', 'label_3')
        assert dataset.reduce_zero_label
    assert 'train: images/training: 1 image of 8x8, 25.0 % of the pixels ignored' in text
    assert ['label_1', '25.00', '0.00'] in [line.split() for line in text.splitlines()]
    assert "val: no pixel of 2 classes, such as 'label_1'" in text
    kept = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks')
    assert all(cfg[key] == read(UPERNET)[key] for key in kept)


def test_zero_as_a_class(data):
    cfg, text = applied(data, reduce_zero_label=False)
    assert cfg.model.decode_head.num_classes == 4
    assert cfg.train_dataloader.dataset.metainfo.classes[0] == 'label_0'
    assert '0.0 % of the pixels ignored (label 255)' in text
    steps = [
        *cfg.train_dataloader.dataset.pipeline,
        *cfg.test_dataloader.dataset.pipeline,
        *(step for steps in cfg.tta_pipeline[-1].transforms for step in steps),
    ]
    loads = [step for step in steps if step.type == 'LoadAnnotations']
    assert len(loads) == 3
    assert not any(step.reduce_zero_label for step in loads)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('classes.txt', 'sky\nsea\n\nland\nice\n'),
        (
            'objectInfo150.txt',
            'Idx\tRatio\tTrain\tVal\tName\n'
            + ''.join(
                f'{i}\t0.1\t1\t1\t{n}\n' for i, n in enumerate(('sky, air', 'sea', 'land', 'ice'))
            ),
        ),
    ],
)
def test_names(name, text, data):
    (data / name).write_text(text)
    cfg, told = applied(data)
    assert cfg.train_dataloader.dataset.metainfo.classes == ('sky', 'sea', 'land', 'ice')
    assert f'4 classes, named in {name}' in told


def test_names_beside_the_challenge_folder(tmp_path):
    write(tmp_path / 'ADEChallengeData2016', 'train')
    write(tmp_path / 'ADEChallengeData2016', 'val')
    (tmp_path / 'classes.txt').write_text('sky\nsea\nland\n')
    cfg, _ = applied(tmp_path)
    assert cfg.train_dataloader.dataset.data_root == str(tmp_path / 'ADEChallengeData2016')
    assert cfg.val_dataloader.dataset.data_prefix.img_path == 'images/val'
    assert cfg.model.decode_head.num_classes == 3


def test_one_split_trains_and_evaluates_on_itself_and_says_so(tmp_path):
    write(tmp_path, 'validation')
    cfg, text = applied(tmp_path)
    assert cfg.train_dataloader.dataset.data_prefix.img_path == 'images/validation'
    assert 'training and evaluation see the same' in text
    assert 'train = val: ' in text


def test_most_of_it_background(tmp_path):
    write(tmp_path, labels=((0, 0), (0, 1)))
    write(tmp_path, name='b', labels=((0, 0), (0, 2)))
    _, text = applied(tmp_path)
    assert 'label 0 has most pixels and is ignored' in text


def test_more_labels_than_names(data):
    (data / 'classes.txt').write_text('sky\nsea\n')
    with pytest.raises(UserError, match=r'a.png has label 3, but .*classes.txt names 2 classes'):
        applied(data)


def test_one_class_is_too_few(tmp_path):
    write(tmp_path, labels=((0, 1), (1, 1)))
    with pytest.raises(UserError, match='--no-reduce-zero-label makes label 0 one'):
        applied(tmp_path)
    cfg, _ = applied(tmp_path, reduce_zero_label=False)
    assert cfg.model.decode_head.num_classes == 2


@pytest.mark.parametrize(
    ('labels', 'reduce_zero_label', 'hints'),
    [
        (((0, 255),), True, 'write 1 instead; --no-reduce-zero-label'),
        (((0, 255),), False, 'write 1 instead$'),
        (((255, 255),), True, 'write 1 instead$'),
        (((1, 255),), True, 'write 2 instead$'),
        (((0, 0),), False, 'to tell apart$'),
    ],
)
def test_what_255_means_is_said_where_classes_lack(labels, reduce_zero_label, hints, tmp_path):
    write(tmp_path, labels=labels)
    with pytest.raises(UserError, match=hints) as caught:
        applied(tmp_path, reduce_zero_label=reduce_zero_label)
    assert (f'label 255, as in {tmp_path}' in str(caught.value)) == ('write' in hints)


@pytest.mark.parametrize('place', ['images/training/a.jpg', 'annotations/training/a.png'])
@pytest.mark.parametrize('size', [0, 40], ids=['empty', 'cut off'])
def test_pictures_that_cannot_be_read(place, size, data):
    path = data / place
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=f'{place} (is no picture|cannot be read as a picture)'):
        applied(data)


@pytest.mark.parametrize('text', ['\n', 'sky\nsea\nsky\n'])
def test_bad_names(text, data):
    (data / 'classes.txt').write_text(text)
    with pytest.raises(UserError, match=r"classes.txt names (no class|'sky' twice)"):
        applied(data)


def test_images_without_a_mask(data):
    Image.new('RGB', (8, 8)).save(data / 'images/training/b.jpg')
    with pytest.raises(UserError, match=r'1 of 2 images in .* have no mask in .*: b.png'):
        applied(data)


def test_images_of_two_suffixes(data):
    write(data, name='b', suffix='.png')
    with pytest.raises(UserError, match=r'one suffix, .*; it holds 1 .jpg, 1 .png'):
        applied(data)


def test_mask_of_another_size(data):
    write(data, name='b', size=(9, 8))
    with pytest.raises(UserError, match=r'b.png is 8x8 and its image b.jpg 9x8'):
        applied(data)


def test_image_turned_by_its_camera(data):
    write(data, name='b', labels=((0, 1, 2),))
    turned = Image.new('RGB', (4, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(data / 'images/training/b.jpg', exif=exif)
    _, text = applied(data)
    assert '2 images of 12x4 to 8x8' in text


def test_mask_of_colours(data):
    Image.new('RGB', (8, 8)).save(data / 'annotations/training/a.png')
    with pytest.raises(UserError, match=r'a.png is no mask of labels: .* mode RGB'):
        applied(data)


def test_no_data(tmp_path):
    with pytest.raises(UserError, match='has no images/ and annotations/'):
        applied(tmp_path)
    for folder in ('images', 'annotations'):
        (tmp_path / folder).mkdir()
    with pytest.raises(UserError, match='has no split below images/'):
        applied(tmp_path)


def test_only_for_segmentors(data):
    with pytest.raises(UserError, match='a detector takes --coco-data'):
        applied(data, ROOT / 'configs/poolformer/retinanet_poolformer-s12_fpn_1x_coco.py')
