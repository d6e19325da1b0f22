import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmplugin.cli import UserError
from mmplugin.cli.config import import_framework
from mmplugin.cli.data import check_data
from mmplugin.datasets.landscape import CLASSES
from mmplugin.datasets.shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs/demo').glob('*.py'))
GENERATED = {
    path.stem: CLASSES if path.stem.startswith('fpn') else SHAPES
    for path in CONFIGS
    if path.stem.endswith('_demo')
}
BACKBONES = {'poolformer': 'PoolFormer', 'container': 'Container', 'r50': 'ResNet'}
REAL = [path for path in CONFIGS if path.stem not in GENERATED]


def stem(path):
    return path.stem


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_loads_dumps_reloads_and_builds_from_scratch(path, tmp_path):
    cfg = Config.fromfile(path)
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()
    assert 'Pretrained' not in str(cfg.model.to_dict())
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
    family = re.split('[-_]', path.stem.removeprefix('mask-rcnn_').removeprefix('fpn_'))[0]
    assert type(model.backbone).__name__ == BACKBONES[family]
    assert type(model).__name__ in ('MaskRCNN', 'EncoderDecoder')


@pytest.mark.parametrize('name', GENERATED)
def test_classes_are_those_of_the_generator(name):
    cfg = Config.fromfile(ROOT / 'configs/demo' / f'{name}.py')
    classes = GENERATED[name]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert tuple(loader.dataset.metainfo.classes) == classes
        assert len(loader.dataset.metainfo.palette) == len(classes)
    heads = [v for k, v in find(cfg.model.to_dict(), 'num_classes')]
    assert heads and set(heads) == {len(classes)}


def find(node, key):
    for name, value in node.items():
        if name == key:
            yield name, value
        elif isinstance(value, dict):
            yield from find(value, key)


@pytest.mark.parametrize('path', REAL, ids=stem)
def test_without_real_data_the_error_names_the_variable(path, monkeypatch):
    monkeypatch.delenv('MMPLUGIN_REAL_DATA', raising=False)
    with pytest.raises(UserError, match='MMPLUGIN_REAL_DATA_is_not_set'):
        check_data(Config.fromfile(path), 'train', 'val', 'test')


@pytest.mark.real_data
@pytest.mark.parametrize('path', REAL, ids=stem)
def test_real_data_are_found_and_read(path):
    if 'MMPLUGIN_REAL_DATA' not in os.environ:
        pytest.skip(
            'MMPLUGIN_REAL_DATA is unset: the folder that holds coco_tiny80 and ade20k_mini'
        )
    cfg = Config.fromfile(path)
    import_framework(cfg.default_scope, str(path))
    check_data(cfg, 'train', 'val', 'test')
    for split in ('train', 'test'):
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
        sample = dataset[0]['data_samples']
        assert (len(dataset), len(dataset.metainfo['classes'])) in ((80, 80), (33, 150), (18, 3))
        assert 'gt_instances' in sample or 'gt_sem_seg' in sample
