"""The table of published weights: complete, without guesses, and shown as it is."""

import re
from pathlib import Path

import pytest
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg

from mmplugin.cli.weights import table
from mmplugin.registry import MODELS
from mmplugin.weights import zoo
from mmplugin.weights.fetch import fetch
from tests.families import variants

DOCS = Path(__file__).resolve().parents[2] / 'docs/weights.md'
ROWS = pytest.mark.parametrize('row', zoo.TABLE, ids=lambda row: row.name)
UNPUBLISHED = zoo.look_up('container-light-paper_in1k')


@ROWS
def test_a_row_is_whole(row):
    assert (row.family, row.arch) in variants()
    assert MODELS.get(f'mmplugin.{row.family}')
    assert row.task in ('classifier', 'detector', 'segmentor')
    assert row.file and '/' not in row.file
    if row is UNPUBLISHED:
        assert row.note and not (row.page or row.sources or row.licence)
        assert not (row.accuracy or row.accuracy_source)
        return
    assert row.page.startswith('https://') and row.licence and row.accuracy_source
    assert row.accuracy and all(0 < value < 100 for value in row.accuracy.values())
    for source in row.sources:
        assert source.url.startswith('https://') and '/' not in source.file
        assert source.sha256 is None or re.fullmatch(r'[0-9a-f]{8,64}', source.sha256)


def test_names_and_cached_files_are_unique():
    assert len({row.name for row in zoo.TABLE}) == len(zoo.TABLE)
    files = [{row.file, *(source.file for source in row.sources)} for row in zoo.TABLE]
    assert len(set.union(*files)) == sum(map(len, files))


@ROWS
def test_openmmlabs_hashes_are_those_in_its_names(row):
    """No other source gives any."""
    for source in row.sources:
        if source.url.startswith((zoo.MIRROR, zoo.OPENMMLAB)):
            assert source.sha256 == re.search(r'[-_]([0-9a-f]{8})\.pth$', source.url)[1]
        else:
            assert source.sha256 is None


@ROWS
def test_mean_and_std_are_those_of_imagenet_in_pixels(row):
    assert row.mean == pytest.approx([255 * value for value in IMAGENET_DEFAULT_MEAN])
    assert row.std == pytest.approx([255 * value for value in IMAGENET_DEFAULT_STD])


@pytest.mark.parametrize('arch', ['s12', 's24', 's36', 'm36', 'm48'])
def test_timm_says_the_same(arch):
    theirs = get_pretrained_cfg(f'poolformer_{arch}')
    row = zoo.look_up(f'poolformer-{arch}_in1k')
    assert any(f'/{theirs.hf_hub_id}/' in source.url for source in row.sources)
    assert row.mean == pytest.approx([255 * value for value in theirs.mean])
    assert theirs.license == row.licence.lower()


@ROWS
def test_rows_without_a_url_name_the_page_and_the_path(row, tmp_path):
    if row.sources:
        return
    expected = 'ever published; pretrain' if row is UNPUBLISHED else 'by hand from'
    with pytest.raises(ValueError, match=expected) as caught:
        fetch(row.name, folder=tmp_path)
    line = str(caught.value)
    assert row.page in line and f'put it at {tmp_path / row.file}' in line and '\n' not in line
    (tmp_path / row.file).write_bytes(b'put there by hand')
    assert fetch(row.name, folder=tmp_path) == tmp_path / row.file


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(ValueError, match=r'did you mean poolformer-s\d\d_in1k'):
        zoo.look_up('poolformer-s18_in1k')
    with pytest.raises(ValueError, match='there are poolformer-s12_in1k, '):
        zoo.look_up('qqqqqq')


def test_the_page_shows_the_table():
    """Made by `python tools/weights.py fetch`."""
    shown = re.search(r'<!-- table:start -->\n(.*)\n<!-- table:end -->', DOCS.read_text(), re.S)
    assert shown and shown[1] == table()
