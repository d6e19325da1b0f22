import hashlib

import pytest

from mmplugin.datasets.ade import write_ade
from mmplugin.datasets.coco import write_coco
from mmplugin.datasets.folder import MANIFEST, write_folder


def digest(folder):
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def fill(folder):
    (folder / 'sub').mkdir()
    (folder / 'sub' / 'a.txt').write_text('a')


@pytest.mark.parametrize('write', [write_coco, write_ade])
def test_one_seed_gives_the_same_bytes(write, tmp_path):
    for name in ('first', 'second'):
        write(tmp_path / name, seed=1, train=6, val=5)
    assert digest(tmp_path / 'first') == digest(tmp_path / 'second')
    write(tmp_path / 'third', seed=2, train=6, val=5)
    assert digest(tmp_path / 'first') != digest(tmp_path / 'third')


def test_an_intact_folder_is_kept(tmp_path):
    out = tmp_path / 'deep' / 'set'
    assert write_folder(out, {'sizes': (1, 2)}, fill)
    stamp = (out / 'sub' / 'a.txt').stat().st_mtime_ns
    assert not write_folder(out, {'sizes': (1, 2)}, fill)
    assert (out / 'sub' / 'a.txt').stat().st_mtime_ns == stamp


@pytest.mark.parametrize('damage', ['change', 'remove', 'other spec'])
def test_own_folder_is_replaced_when_damaged_or_of_another_spec(tmp_path, damage):
    out = tmp_path / 'set'
    write_folder(out, {'seed': 0}, fill)
    if damage == 'change':
        (out / 'sub' / 'a.txt').write_text('b')
    if damage == 'remove':
        (out / 'sub' / 'a.txt').unlink()
    assert write_folder(out, {'seed': int(damage == 'other spec')}, fill)
    assert (out / 'sub' / 'a.txt').read_text() == 'a'
    assert [path.name for path in tmp_path.iterdir()] == ['set']


def test_an_interrupted_run_leaves_nothing_that_passes(tmp_path):
    def break_off(folder):
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / 'set', {}, break_off)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_the_old_folder(tmp_path):
    out = tmp_path / 'set'
    write_folder(out, {'seed': 0}, fill)
    before = digest(out)

    def break_off(folder):
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        write_folder(out, {'seed': 1}, break_off)
    assert digest(out) == before


@pytest.mark.parametrize('content', ['file', 'folder', 'broken manifest', 'added file'])
def test_what_is_not_ours_is_left_alone(tmp_path, content):
    out = tmp_path / 'set'
    if content == 'file':
        out.write_text('mine')
    elif content == 'added file':
        write_folder(out, {'seed': 0}, fill)
        (out / 'sub' / 'mine.txt').write_text('mine')
    else:
        out.mkdir()
        name = MANIFEST if content == 'broken manifest' else 'mine.txt'
        (out / name).write_text('{"spec": ')
    before = digest(out) if out.is_dir() else out.read_text()
    with pytest.raises(FileExistsError, match='nothing was changed'):
        write_folder(out, {'seed': 1}, fill)
    assert before == (digest(out) if out.is_dir() else out.read_text())


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / 'set').mkdir()
    assert write_folder(tmp_path / 'set', {}, fill)
