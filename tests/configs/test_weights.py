"""Every shipped config starts from weights of the table, and shows them images as they expect."""

from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from mmplugin.weights import zoo

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name not in ('_base_', 'demo')
)
SCHEME = 'mmplugin://'


@cache
def read(path):
    return Config.fromfile(path)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def checkpoint_of(config):
    return config.model.backbone.init_cfg.checkpoint


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_starts_from_weights_of_its_own_network(path):
    backbone = read(path).model.backbone
    checkpoint = backbone.init_cfg.checkpoint
    row = zoo.look_up(checkpoint.removeprefix(SCHEME))
    assert checkpoint.startswith(SCHEME) and row.task == 'classifier'
    assert (f'mmplugin.{row.family}', row.arch) == (backbone.type, backbone.arch)
    assert bool(row.page) != ('No weights of this size are published' in path.read_text())


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_images_are_normalised_as_the_weights_expect(path):
    config = read(path)
    row = zoo.look_up(checkpoint_of(config).removeprefix(SCHEME))
    seen = config.model.data_preprocessor
    assert tuple(seen.mean) == row.mean and tuple(seen.std) == row.std
    assert seen.bgr_to_rgb  # mean and std are in the order R, G, B; images are read as B, G, R


def test_every_classifier_of_the_table_is_used():
    used = {checkpoint_of(read(path)).removeprefix(SCHEME) for path in CONFIGS}
    assert {row.name for row in zoo.TABLE if row.task == 'classifier'} <= used
