"""What README.md and docs/ say can be followed."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

import mmplugin  # noqa: F401  (mends the frameworks)

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md'))]
CODE = re.findall(r'```python\n(.*?)```', PAGES[0].read_text(), re.DOTALL)
CONFIGS = [code for code in CODE if '_base_' in code]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('code', CONFIGS, ids=lambda code: code.split("'")[1])
def test_config_of_the_readme_builds(code, tmp_path):
    (tmp_path / 'config.py').write_text(code)
    config = Config.fromfile(tmp_path / 'config.py')
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'):
        model = MODELS.build(config.model)
        levels = model.neck(model.backbone(torch.zeros(1, 3, 64, 96)))
    assert model.backbone.out_strides == (4, 8, 16, 32)
    assert levels[0].shape == (1, 256, 16, 24)


def test_readme_has_a_config_for_each_framework():
    assert [re.match(r"_base_ = '(\w+)::", code)[1] for code in CONFIGS] == ['mmdet', 'mmseg']


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\(([^)#]+)\)', page.read_text())
    missing = [link for link in links if '://' not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_files_named_exist(page):
    named = re.findall(r'\b(?:tools|configs|docs|requirements)/[\w./-]*\w', page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
