"""Damaged and foreign files: one clear line, whatever is wrong with them; never anything else."""

import random
import struct
import zipfile

import pytest
import torch

from mmplugin.weights.contents import read
from mmplugin.weights.scheme import load_any
from tests.weights.test_loading import saved
from tools.weights import main

STATE = {
    'stem.conv.weight': torch.arange(12.0).reshape(3, 4),
    'head.fc.bias': torch.ones(5, dtype=torch.float16),
    'norm.num_batches_tracked': torch.tensor(7),
}


def write(folder, kind):
    path = folder / f'file{".safetensors" if kind == "safetensors" else ".pth"}'
    if kind == 'safetensors':
        from safetensors.torch import save_file

        save_file(STATE, path, {'format': 'pt'})
    else:
        content = {'state_dict': STATE, 'meta': {'epoch': 3}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == 'zip')
    return path


def boundaries(path, kind):
    """Where the parts of a file begin and end."""
    size = path.stat().st_size
    if kind == 'zip':
        with zipfile.ZipFile(path) as archive:
            starts = [info.header_offset for info in archive.infolist()]
            marks = [*starts, archive.start_dir]
    elif kind == 'safetensors':
        head = 8 + struct.unpack('<Q', path.read_bytes()[:8])[0]
        marks = [8, head, head + 48, head + 58]
    else:
        marks = list(range(0, size, 16))
    near = {mark + step for mark in [0, *marks, size] for step in (-1, 0, 1)}
    return sorted(at for at in near if 0 <= at < size)


KINDS = ('zip', 'legacy', 'safetensors')


def outcome(path):
    """None where the file is read, else the one line of its refusal."""
    try:
        read(str(path))
    except ValueError as error:
        line = str(error)
        assert str(path) in line and '\n' not in line and len(line) < 1000
        return line
    return None


@pytest.mark.parametrize('kind', KINDS)
def test_cut_off_at_every_boundary(tmp_path, kind):
    path = write(tmp_path, kind)
    whole = path.read_bytes()
    assert outcome(path) is None
    for at in boundaries(path, kind):
        path.write_bytes(whole[:at])
        assert outcome(path) is not None, at


@pytest.mark.parametrize('kind', KINDS)
def test_flipped_bits(tmp_path, kind):
    """Every refusal is of one line; what is read all the same has tensors by name."""
    path = write(tmp_path, kind)
    whole = path.read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        bad = bytearray(whole)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        refused += outcome(path) is not None
    assert refused


@pytest.mark.parametrize('kind', KINDS)
def test_bytes_written_over(tmp_path, kind):
    path = write(tmp_path, kind)
    whole = path.read_bytes()
    chance = random.Random(1)
    for _ in range(150):
        at = chance.randrange(len(whole))
        bad = bytearray(whole)
        bad[at : at + 9] = chance.choice(
            [b'\x00' * 9, b'\xff' * 9, chance.randbytes(9), b'{}{}[],"a']
        )
        path.write_bytes(bad)
        outcome(path)


FOREIGN = {
    'empty': b'',
    'one byte': b'\x80',
    'text': b'mask AP 37.3\n',
    'html': b'<!doctype html><html>Sign in</html>',
    'json': b'{"weights": [1, 2, 3]}',
    'zip without a checkpoint': b'PK\x05\x06' + bytes(18),
    'png': b'\x89PNG\r\n\x1a\n' + bytes(40),
    'huge safetensors header': struct.pack('<Q', 1 << 62) + b'{}',
    'nothing': bytes(64),
}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('content', FOREIGN.values(), ids=FOREIGN)
def test_foreign_files(tmp_path, content, suffix, capsys):
    path = tmp_path / f'file{suffix}'
    path.write_bytes(content)
    assert 'not a readable' in outcome(path)
    for words in (
        ['inspect', path],
        ['convert', path, tmp_path / 'out.pth'],
        ['diff', path, path],
        ['publish', path, tmp_path / 'out.pth'],
    ):
        assert main([str(word) for word in words]) == 1
        error = capsys.readouterr().err
        assert error.startswith('error: ') and error.count('\n') == 1 and str(path) in error
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(
    'content',
    [[torch.zeros(1)], torch.zeros(2), 3, 'text', None, {}, {'epoch': 3}, {'state_dict': [1]},
     {'state_dict': {'a': torch.zeros(1)}}, {3: {'a.b': torch.zeros(1)}}, {'model': None},
     {'a.b': 'text', 'c.d': 3}],
)  # fmt: skip
def test_wrong_types(tmp_path, content):
    assert 'holds' in outcome(saved(tmp_path, content))


def test_folders_and_missing_files_are_named(tmp_path):
    (tmp_path / 'folder.safetensors').mkdir()
    for folder in (tmp_path, tmp_path / 'folder.safetensors'):
        assert 'is a folder' in outcome(folder)
    for missing in ('none.pth', 'none.safetensors'):
        with pytest.raises(FileNotFoundError, match=missing):
            read(str(tmp_path / missing))
        with pytest.raises(FileNotFoundError, match=missing):
            load_any(str(tmp_path / missing))
    with pytest.raises(ValueError, match='folder'):
        load_any(str(tmp_path / 'folder.safetensors'))


class Payload:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), 'w')


@pytest.mark.parametrize('command', ['inspect', 'convert', 'diff', 'publish'])
@pytest.mark.parametrize('legacy', [False, True])
def test_code_in_a_file_is_refused_and_never_run(tmp_path, command, legacy, capsys):
    path = tmp_path / 'bad.pth'
    content = {'state_dict': STATE, 'meta': {'hook': Payload(tmp_path / 'ran')}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    more = {'inspect': [], 'diff': [path]}.get(command, [tmp_path / 'out.pth'])
    assert main([command, str(path), *map(str, more)]) == 1
    assert 'refused' in capsys.readouterr().err
    assert not (tmp_path / 'ran').exists() and not (tmp_path / 'out.pth').exists()
