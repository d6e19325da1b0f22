"""A file takes its place when it is whole and on the disk."""

import os

import pytest

from mmplugin.files import PARTIAL, draft_of, move_into_place, write_whole


@pytest.fixture
def flushed(monkeypatch):
    """Inodes given to fsync, in their order."""
    order, fsync = [], os.fsync

    def noting(handle):
        order.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, 'fsync', noting)
    return order


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_another(tmp_path, flushed):
    (tmp_path / 'a').write_text('old')
    (tmp_path / f'a{PARTIAL}').write_text('new')
    move_into_place(tmp_path / f'a{PARTIAL}', tmp_path / 'a')
    assert names(tmp_path) == ['a'] and (tmp_path / 'a').read_text() == 'new'
    folder = [] if os.name == 'nt' else [tmp_path.stat().st_ino]
    assert flushed == [(tmp_path / 'a').stat().st_ino, *folder]


def test_text_is_written_whole(tmp_path):
    write_whole(tmp_path / 'a', 'ä')
    write_whole(tmp_path / 'a', 'ö')
    assert names(tmp_path) == ['a'] and (tmp_path / 'a').read_text(encoding='utf-8') == 'ö'


def test_a_draft_is_gone_whatever_happens(tmp_path):
    (tmp_path / 'a').write_text('old')
    with pytest.raises(OSError, match='disk full'), draft_of(tmp_path / 'a') as draft:
        draft.write_text('ne')
        assert draft.parent == tmp_path and not draft.match('*.pth')
        raise OSError('disk full')
    assert names(tmp_path) == ['a'] and (tmp_path / 'a').read_text() == 'old'
    with draft_of(tmp_path / 'a') as draft:
        draft.write_text('new')
        move_into_place(draft, tmp_path / 'a')
    assert names(tmp_path) == ['a'] and (tmp_path / 'a').read_text() == 'new'
