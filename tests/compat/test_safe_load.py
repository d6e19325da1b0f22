"""Checkpoints are read without running what is in them, by every road into mmengine."""

import argparse
import functools
import http.server
import os
import pickle
import threading
import traceback

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from numpy.core.multiarray import _reconstruct, scalar
from torch import nn

import mmplugin  # noqa: F401  (activates the mends)
from mmplugin.compat.plain_values import settle
from mmplugin.compat.safe_load import CheckpointError, UnsafeCheckpointError, load

MARKER = 'code_has_run'


class Call:
    """Pickles as a call, which a careless reader makes."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Never made: pickle only takes what can be called as the function of a call."""


TOUCH = f'touch {MARKER}'
WRITE = f"open('{MARKER}', 'w')"
CODE = {
    'os.system': Call(os.system, TOUCH),
    'exec': Call(exec, WRITE),
    'eval': Call(eval, WRITE),
    'getattr-of-a-call': Call(Call(getattr, Call(__import__, 'os'), 'system'), TOUCH),
    'getattr-of-torch': Call(Call(getattr, torch.Tensor, '__reduce_ex__'), 2),
    'getattr-of-history': Call(getattr, HistoryBuffer, '__init__'),
    'method-of-history': Call(Call(getattr, HistoryBuffer, 'mean'), 1),
    'array-of-code': Call(_reconstruct, np.ndarray, (0,), Call(os.system, TOUCH)),
    'array-of-a-subclass': Call(_reconstruct, np.matrix, (0,), b'b'),
    'array-of-objects': np.array([Call(os.system, TOUCH)], dtype=object),
    'dtype-of-objects': np.dtype([('field', 'O')]),
    'scalar-of-objects': Call(scalar, np.dtype('O'), b'12345678'),
    'scalar-of-void': Call(scalar, np.dtype('V8'), b'12345678'),
    'namespace-of-code': argparse.Namespace(value=Call(os.system, TOUCH)),
    'pickle-in-pickle': Call(pickle.loads, pickle.dumps(Call(os.system, TOUCH))),
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Where the marker would appear; and torch told to unpickle anything, as some set-ups do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch_home'))
    yield
    assert not os.path.exists(MARKER)


def write(content, path='file.pth', zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def short(error: BaseException) -> bool:
    """Whether only one line is shown, without the errors it came from."""
    shown = ''.join(traceback.format_exception_only(error))
    return shown.count('\n') == 1 and error.__cause__ is None and error.__suppress_context__


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('name', CODE)
def test_code_is_refused(name, zipped):
    path = write({'state_dict': {'weight': torch.ones(2)}, 'meta': CODE[name]}, zipped=zipped)
    with pytest.raises(UnsafeCheckpointError, match=r'^file\.pth: refused, because it holds ') as e:
        load(path)
    assert short(e.value)


@pytest.mark.parametrize('code', ['os.system', 'exec'])
def test_the_test_files_do_run_where_nobody_refuses(code):
    torch.load(write(CODE[code]))  # unrestricted, by the environment variable of the fixture
    assert os.path.exists(MARKER)
    os.remove(MARKER)


def test_message_names_what_was_refused():
    with pytest.raises(
        UnsafeCheckpointError, match=r'holds posix\.system; .* save only the weight'
    ):
        load(write(CODE['os.system']))
    with pytest.raises(UnsafeCheckpointError, match='holds a TorchScript program'):
        torch.jit.script(nn.Linear(1, 1)).save('script.pt')
        load('script.pt')


class Layer(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.weight = nn.Parameter(torch.zeros(2))


@pytest.fixture
def served(tmp_path):
    """Address of a web server for the current folder."""
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f'http://127.0.0.1:{server.server_address[1]}'
    server.shutdown()
    server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.parametrize('content', ['weights', 'code'])
@pytest.mark.parametrize('road', ['load_checkpoint', 'init_cfg', 'loader', 'http'])
def test_roads_into_mmengine(road, content, served):
    file = {'state_dict': {'weight': torch.ones(2)}}
    if content == 'code':
        file['meta'] = CODE['os.system']
    path = write(file)

    def take():
        layer = Layer(dict(type='Pretrained', checkpoint=path))
        if road == 'init_cfg':
            layer.init_weights()
        elif road == 'loader':
            layer.load_state_dict(CheckpointLoader.load_checkpoint(path)['state_dict'])
        else:
            load_checkpoint(layer, f'{served}/{path}' if road == 'http' else path)
        return layer.weight.tolist()

    if content == 'weights':
        assert take() == [1, 1]
    else:
        with pytest.raises(UnsafeCheckpointError, match=r'file\.pth.*holds posix\.system'):
            take()


def test_remaining_loaders_share_the_restriction(monkeypatch):
    write({'meta': CODE['os.system']}, 'zoo.pth')
    monkeypatch.setenv('MMENGINE_HOME', os.getcwd())
    with open('open_mmlab.json', 'w') as table:
        table.write('{"a_model": "zoo.pth"}')
    with pytest.raises(UnsafeCheckpointError, match=r'zoo\.pth'):
        CheckpointLoader.load_checkpoint('open-mmlab://a_model')


def test_open_file():
    write({'meta': CODE['exec']})
    with open('file.pth', 'rb') as file, pytest.raises(UnsafeCheckpointError, match='holds exec'):
        load(file)


def test_file_that_cannot_be_downloaded(served):
    with pytest.raises(ConnectionError, match=r'none\.pth: cannot be downloaded \(.+\); ') as e:
        CheckpointLoader.load_checkpoint(f'{served}/none.pth')
    assert short(e.value)


def test_download_that_is_no_checkpoint_is_not_kept(served):
    with open('page.pth', 'w') as page:
        page.write('<html>please log in</html>')
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r'downloaded from .*page\.pth, and deleted again'
        ):
            CheckpointLoader.load_checkpoint(f'{served}/page.pth')
    torch.save({'weight': torch.ones(2)}, 'page.pth')
    assert CheckpointLoader.load_checkpoint(f'{served}/page.pth')['weight'].tolist() == [1, 1]


def test_nested_config_and_bare_dtype():
    file = {'meta': {'groups': ConfigDict(sky=ConfigDict(id=1))}, 'dtype': np.dtype('f4')}
    found = load(write(file))
    assert found == {'meta': {'groups': {'sky': {'id': 1}}}, 'dtype': np.dtype('f4')}
    assert type(found['meta']['groups']) is dict


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs, mode):
        return {'loss': self.layer(inputs).square().mean()}


def toy_runner(name, **kwargs):
    loader = dict(
        dataset=[torch.ones(2), torch.zeros(2)],
        sampler=dict(type=DefaultSampler, shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
        batch_size=1,
    )
    return Runner(
        Toy(),
        'work',
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=dict(type='LinearLR', start_factor=0.5),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        experiment_name=name,
        **kwargs,
    )


def test_checkpoint_of_a_run_is_read_and_resumed():
    runner = toy_runner('first')
    runner.train()
    content = load('work/epoch_1.pth')
    losses = content['message_hub']['log_scalars']['train/loss']
    assert isinstance(losses, HistoryBuffer)
    values, counts = losses.data
    assert type(values) is type(counts) is np.ndarray
    assert values.shape == (2,) and counts.tolist() == [1, 1]
    assert losses.mean() == pytest.approx(values.mean())

    resumed = toy_runner('second', resume=True, load_from='work/epoch_1.pth')
    resumed.train()
    assert resumed.epoch == 2
    history, whole = (
        made.message_hub.get_scalar('train/loss').data[0].tolist() for made in (resumed, runner)
    )
    assert len(history) == 4
    assert history == pytest.approx(whole)


def test_resume_refuses_code():
    toy_runner('third').train()
    content = load('work/epoch_2.pth')
    torch.save({**content, 'meta': {**content['meta'], 'x': CODE['os.system']}}, 'work/bad.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'bad\.pth'):
        toy_runner('fourth', resume=True, load_from='work/bad.pth').train()


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.array([1.5, -2.5], dtype='>f4'),
    np.array(3, dtype=np.uint8),
    np.zeros((0, 4), dtype=np.float16),
    np.array([True, False]),
    np.array(['ab', 'c']),
    np.array([b'ab', b'c']),
    np.array([1 + 2j]),
]


@pytest.mark.parametrize('array', ARRAYS, ids=lambda array: f'{array.dtype}{list(array.shape)}')
def test_arrays_come_back(array):
    shared = [array]
    content = load(write({'a': array, 'deep': (1, [{'b': array}]), 'twice': [shared, shared]}))
    for found in (content['a'], content['deep'][1][0]['b'], content['twice'][1][0]):
        assert type(found) is np.ndarray
        assert (found.dtype, found.shape, found.tolist()) == (
            array.dtype,
            array.shape,
            array.tolist(),
        )
        assert found.flags.writeable


@pytest.mark.parametrize('value', [np.float64(0.5), np.int64(-3), np.bool_(True), np.str_('text')])
def test_scalars_come_back(value):
    found = load(write([value]))[0]
    assert type(found) is type(value) and found == value


def test_files_written_under_numpy_1():
    write({'a': np.arange(3), 'b': np.float32(0.5)}, zipped=False)
    with open('file.pth', 'rb') as file:
        content = file.read()
    assert b'numpy._core.multiarray' in content or b'numpy.core.multiarray' in content
    with open('file.pth', 'wb') as file:
        file.write(content.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    found = load('file.pth')
    assert found['a'].tolist() == [0, 1, 2] and found['b'] == np.float32(0.5)


def test_crafted_dtype_flags_are_not_believed():
    """numpy itself would take the eight bytes for a pointer."""
    dtype = Call(np.dtype, 'f8', False, True, state=(3, '<', None, None, None, 8, 8, 63))
    content = load(write([Call(scalar, dtype, np.float64(1.5).tobytes())]))
    assert content == [1.5] and content[0].dtype.flags == 0


def test_command_line_of_a_training_script():
    args = argparse.Namespace(lr=0.1, betas=[0.9, np.array([1.0])])
    content = load(write({'model': {'weight': torch.ones(2)}, 'args': args, 'epoch': 3}))
    assert content['args'].lr == 0.1
    assert type(content['args'].betas[1]) is np.ndarray


def test_statistics_of_a_file_stay_in_the_file():
    state = dict(max_length=1, statistics_methods={'mean': HistoryBuffer.max})
    write([Call(HistoryBuffer, state=state)])
    before = dict(HistoryBuffer._statistics_methods)
    assert isinstance(load('file.pth')[0], HistoryBuffer)
    assert HistoryBuffer._statistics_methods == before


@pytest.mark.parametrize('content', ['weights', 'code'])
def test_allow_list_is_scoped(content):
    mine = [(print, 'mine.print'), (getattr, 'builtins.getattr')]
    before = torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals(mine):
        inside = set(torch.serialization.get_safe_globals())
        if content == 'weights':
            load(write([np.arange(3)]))
        else:
            # what the program allows under a name of ours stays ours within a load
            with pytest.raises(UnsafeCheckpointError):
                load(write(Call(getattr, torch.Tensor, '__reduce_ex__')))
        assert set(torch.serialization.get_safe_globals()) == inside
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_list_that_holds_itself():
    loop = [np.arange(2)]
    loop.append(loop)
    found = settle(loop, owners=())
    assert found[1] is found


def cut(path, size, zipped):
    write({'weight': torch.ones(20_000)}, path, zipped)
    with open(path, 'r+b') as file:
        file.truncate(size)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('size', [0, 3, 50, 40_000])
def test_file_cut_off(size, zipped):
    cut('cut.pth', size, zipped)
    with pytest.raises(CheckpointError, match=r'^cut\.pth: not a readable checkpoint: ') as e:
        load('cut.pth')
    assert short(e.value)
    with pytest.raises(CheckpointError, match=r'^cut\.pth: not a readable checkpoint: '):
        CheckpointLoader.load_checkpoint('cut.pth')


def test_files_of_another_kind():
    os.mkdir('folder.pth')
    with pytest.raises(CheckpointError, match=r'^folder\.pth: is a folder'):
        load('folder.pth')
    with open('text.pth', 'w') as file:
        file.write('version https://git-lfs.github.com/spec/v1\n')
    with pytest.raises(CheckpointError, match=r'^text\.pth: not a readable checkpoint') as e:
        load('text.pth')
    assert short(e.value)
    with pytest.raises(FileNotFoundError, match=r'absent\.pth'):
        load('absent.pth')
