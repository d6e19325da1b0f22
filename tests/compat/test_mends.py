"""The mends of mmengine that concern packages and imports."""

import importlib
import importlib.metadata
import os
import pkgutil
import shutil
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.utils import get_installed_path, is_installed
from mmengine.utils.dl_utils import mmcv_full_available
from mmengine.utils.package_utils import package2module

import mmplugin  # noqa: F401  (activates the mends)
from mmplugin.compat import mends

from .environments import ROOT, run_python, site_packages


@pytest.fixture(autouse=True)
def no_pkg_resources(monkeypatch):
    """As with setuptools 82, which dropped the module."""
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)


def test_every_mend_has_met_its_module():
    for module, _, _ in mends.MENDS:
        importlib.import_module(module)
    assert set(mends.applied) == {module for module, _, _ in mends.MENDS}


@pytest.mark.parametrize('name', ['mmdet', 'mmseg', 'mmsegmentation', 'mmengine', 'mmcv-lite'])
def test_installed_packages_are_found_by_either_name(name):
    module = {'mmsegmentation': 'mmseg', 'mmcv-lite': 'mmcv'}.get(name, name)
    assert is_installed(name)
    assert get_installed_path(name) == str(site_packages() / module)


def test_absent_package():
    assert not is_installed('mmnothing')
    with pytest.raises(importlib.metadata.PackageNotFoundError, match='mmnothing'):
        get_installed_path('mmnothing')
    with pytest.raises(importlib.metadata.PackageNotFoundError, match='mmnothing'):
        package2module('mmnothing')


def test_package_on_the_path_only(tmp_path, monkeypatch):
    (tmp_path / 'mmonpath').mkdir()
    (tmp_path / 'mmonpath' / '__init__.py').touch()
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    assert is_installed('mmonpath')
    assert get_installed_path('mmonpath') == str(tmp_path / 'mmonpath')


def test_editable_package_is_found_where_its_source_is(tmp_path, monkeypatch):
    source, site = tmp_path / 'source', tmp_path / 'site'
    (source / 'mmeditable').mkdir(parents=True)
    (source / 'mmeditable' / '__init__.py').touch()
    info = site / 'mm_editable_dist-1.0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mm-editable-dist\nVersion: 1.0\n')
    (info / 'top_level.txt').write_text('mmeditable\n')
    monkeypatch.setattr(sys, 'path', [str(source), str(site), *sys.path])
    assert package2module('mm-editable-dist') == 'mmeditable'
    assert get_installed_path('mm-editable-dist') == str(source / 'mmeditable')


def test_namespace_package_has_no_folder(tmp_path, monkeypatch):
    (tmp_path / 'mmnamespace').mkdir()
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    assert not is_installed('mmnamespace')
    with pytest.raises(RuntimeError, match='namespace package'):
        get_installed_path('mmnamespace')


@pytest.mark.parametrize(
    ('path', 'model'),
    [
        ('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', 'RetinaNet'),
        ('mmseg::sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py', 'EncoderDecoder'),
    ],
)
def test_configs_of_the_frameworks_resolve(path, model, tmp_path):
    assert get_config(path).model.type == model
    (tmp_path / 'leaf.py').write_text(f'_base_ = {path!r}\n')
    assert Config.fromfile(tmp_path / 'leaf.py').model.type == model


def test_read_base_resolves(tmp_path, monkeypatch):
    (tmp_path / 'mmpython' / 'configs').mkdir(parents=True)
    (tmp_path / 'mmpython' / '__init__.py').touch()
    (tmp_path / 'mmpython' / 'configs' / 'base.py').write_text('epochs = 12\n')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from mmpython.configs.base import *\n'
    )
    assert Config.fromfile(leaf).epochs == 12


@pytest.mark.parametrize('form', ['copied', 'linked'])
def test_own_configs_resolve_from_a_wheel_and_from_an_editable_install(form, tmp_path):
    """A wheel carries copies of the configs in ``.mim``, an editable install links to them."""
    shutil.copytree(
        ROOT / 'mmplugin',
        tmp_path / 'mmplugin',
        ignore=shutil.ignore_patterns('__pycache__', '.mim'),
    )
    mim = tmp_path / 'mmplugin' / '.mim'
    mim.mkdir()
    for name in ('configs', 'model-index.yml'):
        if form == 'linked':
            (mim / name).symlink_to(ROOT / name)
        elif name == 'configs':
            shutil.copytree(ROOT / name, mim / name)
        else:
            shutil.copy(ROOT / name, mim / name)
    leaf = tmp_path / 'leaf.py'
    leaf.write_text("_base_ = 'mmplugin::poolformer/retinanet_poolformer-s12_fpn_1x_coco.py'\n")
    code = (
        'import mmplugin\n'
        'from mmengine.config import Config\n'
        f"print(Config.fromfile('{leaf}').model.backbone.type)\n"
    )
    found = run_python('-c', code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert found.stdout == 'mmplugin.PoolFormer\n', found.stderr


def test_paramwise_config_without_find_loader(monkeypatch):
    """As with Python 3.14, which dropped ``pkgutil.find_loader``."""
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    assert mmcv_full_available()
    wrapper = build_optim_wrapper(
        torch.nn.Linear(2, 2),
        dict(
            optimizer=dict(type='SGD', lr=0.1),
            paramwise_cfg=dict(bias_lr_mult=2.0),
        ),
    )
    assert {group['lr'] for group in wrapper.param_groups} == {0.1, 0.2}


def test_mends_reach_a_mmengine_that_was_imported_first():
    """As with ``custom_imports``: the tool has imported mmengine before it reads the config."""
    code = """
import pkgutil, sys
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import utils as model_utils
from mmengine.optim.optimizer import default_constructor
from mmengine.runner import checkpoint
import torch
urls_of_torch = torch.hub.load_state_dict_from_url
import mmplugin
sys.modules['pkg_resources'] = None
vars(pkgutil).pop('find_loader', None)
assert model_utils.mmcv_full_available() and default_constructor.mmcv_full_available()
assert get_config('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py').model.type == 'RetinaNet'
assert checkpoint.load_url.__module__ == 'mmplugin.compat.safe_load'
assert checkpoint.torch.load.__module__ == 'mmplugin.compat.checkpoint'
assert torch.hub.load_state_dict_from_url is urls_of_torch
print('mended')
"""
    found = run_python('-c', code, PYTHONPATH=os.fspath(ROOT))
    assert found.stdout.endswith('mended\n'), found.stderr
