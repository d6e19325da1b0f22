"""Downloading one file from a server on this machine, through every way it can fail."""

import hashlib
import re

import pytest

from mmplugin.weights.download import DownloadError, download
from tests.weights.server import Answer

BODY = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


def get(server, target, path='/file', **settings):
    download(f'{server.url}{path}', target, progress=False, pause=0.0, **settings)


def test_a_file_comes_whole_and_alone(server, tmp_path):
    server.files['/file'] = Answer(BODY, ['redirect'])
    target = tmp_path / 'new' / 'file.pth'
    get(server, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ['file.pth']


@pytest.mark.parametrize('fault', ['truncate', 'reset'])
def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path, fault):
    server.files['/file'] = Answer(BODY, [fault])
    get(server, tmp_path / 'file.pth', sha256=SHA256)
    assert (tmp_path / 'file.pth').read_bytes() == BODY
    assert len(server.requests) == 2 and server.requests[0][1] is None
    start = re.fullmatch(r'bytes=(\d+)-', server.requests[1][1])
    assert 0 < int(start[1]) <= len(BODY) // 2


def test_a_later_call_goes_on_too(server, tmp_path):
    server.files['/file'] = Answer(BODY, ['truncate'])
    with pytest.raises(DownloadError, match=r'ended after 512000 of 1024000 bytes \(1 attempts\)'):
        get(server, tmp_path / 'file.pth', attempts=1)
    assert not (tmp_path / 'file.pth').exists()
    get(server, tmp_path / 'file.pth', attempts=1, sha256=SHA256)
    assert (tmp_path / 'file.pth').read_bytes() == BODY
    assert server.requests[1] == ('/file', 'bytes=512000-')


def test_a_file_that_changed_meanwhile_is_not_pieced_together(server, tmp_path):
    server.files['/file'] = Answer(BODY[::-1], ['truncate'])
    with pytest.raises(DownloadError):
        get(server, tmp_path / 'file.pth', attempts=1)
    server.files['/file'] = Answer(BODY, etag='"2"')
    get(server, tmp_path / 'file.pth', sha256=SHA256, attempts=1)
    assert (tmp_path / 'file.pth').read_bytes() == BODY


@pytest.mark.parametrize('etag', [None, 'W/"1"'])
def test_without_a_promise_of_the_server_it_begins_anew(server, tmp_path, etag):
    server.files['/file'] = Answer(BODY, ['truncate'], etag=etag)
    get(server, tmp_path / 'file.pth', sha256=SHA256)
    assert (tmp_path / 'file.pth').read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, None]


def test_two_urls_are_not_pieced_together(server, tmp_path):
    """Even where both call their version the same."""
    server.files = {'/old': Answer(BODY[::-1], ['truncate']), '/file': Answer(BODY)}
    with pytest.raises(DownloadError):
        get(server, tmp_path / 'file.pth', path='/old', attempts=1)
    get(server, tmp_path / 'file.pth', sha256=SHA256)
    assert (tmp_path / 'file.pth').read_bytes() == BODY
    assert server.requests[-1] == ('/file', None)


def test_more_here_than_there_begins_anew(server, tmp_path):
    server.files['/file'] = Answer(BODY, ['truncate'])
    with pytest.raises(DownloadError):
        get(server, tmp_path / 'file.pth', attempts=1)
    server.files['/file'] = Answer(BODY[:1000])
    get(server, tmp_path / 'file.pth')
    assert (tmp_path / 'file.pth').read_bytes() == BODY[:1000]


def test_another_part_than_asked_for_is_not_pieced_together(server, tmp_path):
    server.files['/file'] = Answer(BODY, ['truncate', 'shift'])
    get(server, tmp_path / 'file.pth', sha256=SHA256)
    assert (tmp_path / 'file.pth').read_bytes() == BODY


def test_a_damaged_note_begins_anew(server, tmp_path):
    (tmp_path / 'file.pth.partial').write_bytes(b'junk')
    (tmp_path / 'file.pth.partial.json').write_text('{"url": 3')
    server.files['/file'] = Answer(BODY)
    get(server, tmp_path / 'file.pth', sha256=SHA256)
    assert (tmp_path / 'file.pth').read_bytes() == BODY


@pytest.mark.parametrize('fault', ['truncate', 'reset', 503])
def test_a_connection_that_always_fails_is_an_error(server, tmp_path, fault):
    server.files['/file'] = Answer(BODY, [fault] * 9, etag=None)
    with pytest.raises(DownloadError, match=r'/file: .*\(3 attempts\)'):
        get(server, tmp_path / 'file.pth')
    assert not (tmp_path / 'file.pth').exists() and len(server.requests) == 3


def test_a_wrong_hash_is_an_error_and_leaves_nothing(server, tmp_path):
    server.files['/file'] = Answer(BODY[:-1] + b'x')
    with pytest.raises(DownloadError, match=f'has SHA-256 .*, expected {SHA256}'):
        get(server, tmp_path / 'file.pth', sha256=SHA256)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('code', [401, 403, 404, 410])
def test_a_refusal_is_not_repeated(server, tmp_path, code):
    server.files['/file'] = Answer(BODY, [code] * 9)
    with pytest.raises(DownloadError, match=str(code)):
        get(server, tmp_path / 'file.pth')
    assert len(server.requests) == 1


def test_a_web_page_is_no_file(server, tmp_path):
    server.files['/file'] = Answer(b'<html>Sign in</html>', kind='text/html; charset=utf-8')
    with pytest.raises(DownloadError, match='answers with a web page'):
        get(server, tmp_path / 'file.pth')


def test_no_server_and_no_address(tmp_path):
    with pytest.raises(DownloadError, match='ConnectionRefusedError'):
        download('http://127.0.0.1:9/file', tmp_path / 'a', progress=False, pause=0.0)
    with pytest.raises(DownloadError, match='not a http or https address'):
        download('file:///etc/hostname', tmp_path / 'a')


def test_the_bar_shows_on_stderr(server, tmp_path, capsys):
    server.files['/file'] = Answer(BODY)
    download(f'{server.url}/file', tmp_path / 'file.pth')
    assert '1.02M/1.02M' in capsys.readouterr().err
