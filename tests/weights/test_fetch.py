"""Published weights by name, from a server on this machine: mirrors, offline, by hand, the hub."""

import hashlib
import io
import multiprocessing
from dataclasses import replace

import pytest
import torch
from mmengine.registry import MODELS

from mmplugin.weights import zoo
from mmplugin.weights.contents import read
from mmplugin.weights.fetch import cache_folder, fetch, fetch_url
from tests.families import TINY
from tests.weights.server import Answer
from tests.weights.test_loading import official
from tools.weights import main

BODY = b'another file'
NAME = 'poolformer-s12_in1k'
pytestmark = pytest.mark.usefixtures('own_cache')


def state_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.fixture
def table(server, monkeypatch):
    """The row of S12 with two URLs of our server, the second a mirror of another name."""
    body = state_file(official(num_classes=5).state_dict())
    sha256 = hashlib.sha256(body).hexdigest()
    server.files = {'/first': Answer(body), '/mirror': Answer(body)}
    sources = (
        zoo.Source(f'{server.url}/first', 'first.pth', sha256[:8]),
        zoo.Source(f'{server.url}/mirror', 'mirror.pth', sha256),
    )
    row = replace(zoo.look_up(NAME), sources=sources, file='first.pth')
    monkeypatch.setattr(zoo, 'TABLE', (row, *(r for r in zoo.TABLE if r.name != NAME)))
    return row


def test_fetch_downloads_once(server, table):
    path = fetch(NAME, progress=False)
    assert path == cache_folder() / 'first.pth'
    assert fetch(NAME, offline=True) == path and len(server.requests) == 1


@pytest.mark.parametrize('fault', [404, 'wrong hash', 'truncate'])
def test_a_mirror_stands_in(server, table, fault):
    if fault == 'wrong hash':
        server.files['/first'].body = BODY
    else:
        server.files['/first'] = Answer(BODY, [fault] * 9, etag=None)
    path = fetch(NAME, progress=False, pause=0.0)
    assert path == cache_folder() / 'mirror.pth'
    assert server.requests[-1][0] == '/mirror'


def test_a_mirrors_file_is_found_again_when_the_first_url_lives_on(server, table):
    server.files['/first'] = Answer(BODY, [404])
    path = fetch(NAME, progress=False, pause=0.0)
    asked = len(server.requests)
    assert fetch(NAME, progress=False) == path and len(server.requests) == asked


def test_with_every_url_dead_the_message_says_what_to_do(server, table):
    server.files = {'/first': Answer(BODY)}
    with pytest.raises(ValueError, match=f'{NAME}: cannot be downloaded; download') as caught:
        fetch(NAME, progress=False, pause=0.0)
    line = str(caught.value)
    assert f'{server.url}/first by hand and put it at {cache_folder() / "first.pth"}' in line
    assert 'expected' in line and '404' in line and '\n' not in line


@pytest.mark.parametrize('how', ['argument', 'MMPLUGIN_OFFLINE', 'HF_HUB_OFFLINE'])
def test_offline_uses_no_network(server, table, monkeypatch, how):
    if how != 'argument':
        monkeypatch.setenv(how, '1')
    with pytest.raises(ValueError, match=r'offline mode is on; download .*/first by hand'):
        fetch(NAME, offline=how == 'argument')
    if how != 'argument':
        with pytest.raises(ValueError, match='offline mode is on'):
            fetch_url(f'{server.url}/first')
        with pytest.raises(ValueError, match='offline mode is on'):
            read('hf://sail/poolformer_s12')
    assert not server.requests


def test_a_file_put_there_by_hand_is_used_when_its_hash_is_right(server, table, tmp_path):
    (tmp_path / 'first.pth').write_bytes(server.files['/first'].body)
    assert fetch(NAME, folder=tmp_path) == tmp_path / 'first.pth'
    (tmp_path / 'first.pth').write_bytes(BODY)
    with pytest.raises(ValueError, match=r'has SHA-256 .* should have .*; delete it'):
        fetch(NAME, folder=tmp_path)
    assert not server.requests


def _fetch_in_a_process(row, folder):
    zoo.TABLE = (row,)
    fetch(row.name, folder=folder, progress=False)


def test_several_processes_download_once(server, table, tmp_path):
    context = multiprocessing.get_context('fork')
    workers = [
        context.Process(target=_fetch_in_a_process, args=(table, tmp_path)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(server.requests) == 1


def test_names_work_in_init_cfg_and_in_the_tool(server, table, capsys):
    init_cfg = dict(type='Pretrained', checkpoint=f'mmplugin://{NAME}')
    model = MODELS.build(dict(type='mmplugin.PoolFormer', arch=TINY, init_cfg=init_cfg))
    model.init_weights()
    state = official(num_classes=5).state_dict()
    assert torch.equal(model.stem.conv.weight, state['patch_embed.proj.weight'])
    capsys.readouterr()
    for name in (NAME, f'mmplugin://{NAME}'):
        assert main(['fetch', name]) == 0
        assert capsys.readouterr().out.strip() == str(cache_folder() / 'first.pth')
    assert main(['inspect', f'mmplugin://{NAME}']) == 0
    assert 'official' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('address', 'repository'),
    [
        ('timm://poolformer_s12.sail_in1k', 'timm/poolformer_s12.sail_in1k/resolve/main'),
        ('hf://sail/poolformer_s12', 'sail/poolformer_s12/resolve/main'),
        ('hf://sail/poolformer_s12@v1', 'sail/poolformer_s12/resolve/v1'),
    ],
)
@pytest.mark.parametrize('file', ['model.safetensors', 'pytorch_model.bin'])
def test_names_of_the_hub(server, monkeypatch, tmp_path, address, repository, file):
    monkeypatch.setenv('HF_ENDPOINT', server.url)
    if file == 'model.safetensors':
        from safetensors.torch import save

        body = save(official(num_classes=5).state_dict())
    else:
        body = state_file(official(num_classes=5).state_dict())
    server.files[f'/{repository}/{file}'] = Answer(body)
    found = read(address)
    assert len(found.tensors) == len(official(num_classes=5).state_dict())
    asked = len(server.requests)
    read(address)
    assert len(server.requests) == asked


def test_what_timm_or_transformers_fetched_before_is_used(server, monkeypatch, tmp_path):
    monkeypatch.setenv('HF_ENDPOINT', server.url)
    repository = tmp_path / 'hf/models--sail--poolformer_s12'
    (repository / 'refs').mkdir(parents=True)
    (repository / 'refs/main').write_text('abc')
    (repository / 'snapshots/abc').mkdir(parents=True)
    file = repository / 'snapshots/abc/pytorch_model.bin'
    file.write_bytes(state_file(official().state_dict()))
    assert read('hf://sail/poolformer_s12').file == file
    assert not server.requests


@pytest.mark.parametrize(
    'address', ['timm://', 'hf://sail', 'hf://a/b/c', 'timm://a/b', 'hf://a b/c']
)
def test_addresses_of_another_form_are_refused(address):
    with pytest.raises(ValueError, match='write timm://NAME'):
        read(address)


def test_a_url_of_a_safetensors_file(server):
    from safetensors.torch import save

    server.files['/weights.safetensors'] = Answer(save(official().state_dict()))
    init_cfg = dict(type='Pretrained', checkpoint=f'{server.url}/weights.safetensors')
    model = MODELS.build(dict(type='mmplugin.PoolFormer', arch=TINY, init_cfg=init_cfg))
    model.init_weights()
    state = official().state_dict()
    assert torch.equal(model.stem.conv.weight, state['patch_embed.proj.weight'])
    found = read(f'{server.url}/weights.safetensors')
    assert len(found.tensors) == len(state) and len(server.requests) == 1


def test_urls_of_one_file_name_are_kept_apart(server):
    for n, path in enumerate(('/a/model.pth', '/b/model.pth')):
        server.files[path] = Answer(state_file({'x.y': torch.tensor([float(n)])}))
    found = [read(f'{server.url}{path}').tensors['x.y'].item() for path in server.files]
    assert found == [0.0, 1.0]
    with pytest.raises(ValueError, match='names no file'):
        fetch_url(f'{server.url}/')


def test_code_from_a_url_is_never_run(server, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / 'ran'), 'w')

    server.files['/bad.pth'] = Answer(state_file({'a.b': torch.zeros(1), 'c': Payload()}))
    with pytest.raises(ValueError, match='refused'):
        read(f'{server.url}/bad.pth')
    assert not (tmp_path / 'ran').exists()
