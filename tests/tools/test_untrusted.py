"""Checkpoints with code in them: refused on every road of the tools, in one line, unrun."""

import os
import sys

import pytest
import torch
from mmengine.config import Config

from mmplugin.compat.safe_load import UnsafeCheckpointError, load
from tests.compat.test_safe_load import CODE, MARKER
from tests.tools.conftest import error_line, options
from tools import test as tester
from tools import train, weights

PAYLOADS = {
    'call': 'os.system',
    'getattr': 'getattr-of-a-call',
    'allowed getattr': 'getattr-of-history',
    'allowed global': 'array-of-code',
    'allowed class': 'namespace-of-code',
}
WRITE = f"open('{MARKER}', 'w')"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not os.path.exists(MARKER)


def crafted(segmentor, path, **meta):
    """The segmentor's own checkpoint, and something more in it."""
    content = load(segmentor.checkpoint)
    torch.save({**content, 'meta': {**content['meta'], **meta}}, path)
    return str(path)


def go(road, segmentor, path, *words):
    """Hand a checkpoint to a tool by one of the roads; its exit code."""
    config = [str(segmentor.config), '--work-dir', 'run']
    pairs = ['train_cfg.max_iters=3', 'train_cfg.val_interval=9']
    if road == 'test.py':
        return tester.main([config[0], path, *config[1:], *words, *options()])
    if road == 'init_cfg':
        pairs += ['model.backbone.init_cfg.type=Pretrained']
        pairs += [f'model.backbone.init_cfg.checkpoint={path}']
    elif road == 'load_from':
        pairs += [f'load_from={path}']
    elif road == '--resume FILE':
        words += ('--resume', path)
    elif road == '--resume':
        os.makedirs('run')
        with open('run/last_checkpoint', 'w') as file:
            file.write(path)
        words += ('--resume',)
    return train.main([*config, *words, *options(*pairs)])


ROADS = ['init_cfg', 'load_from', '--resume FILE', '--resume', 'test.py']


@pytest.mark.parametrize('payload', PAYLOADS)
@pytest.mark.parametrize('road', ROADS)
def test_code_is_refused(road, payload, segmentor, capsys):
    path = crafted(segmentor, 'bad.pth', extra=CODE[PAYLOADS[payload]])
    assert go(road, segmentor, path) == 1
    line = error_line(capsys)
    assert 'bad.pth: refused, because it holds ' in line


def test_a_config_in_the_checkpoint_is_not_run(segmentor):
    """mmengine runs ``meta.config`` when it resumes, which no restriction of pickle prevents."""
    path = crafted(segmentor, 'bad.pth', config=WRITE)
    assert go('--resume FILE', segmentor, path) == 0
    Config.fromstring(WRITE, file_format='.py')  # so it would have
    assert os.path.exists(MARKER)
    os.remove(MARKER)


def with_config(project, path, text, where):
    """The project's checkpoint, with this text in one of the places mmengine looks for a config."""
    content = load(project.checkpoint)
    del content['message_hub'], content['meta']['cfg']
    if where == 'meta':
        content['meta']['cfg'] = text
    else:
        content['message_hub'] = {'runtime_info': {'cfg': text}}
    torch.save(content, path)
    return path


def inferencer(project, *words, **settings):
    from mmdet.apis import DetInferencer
    from mmseg.apis import MMSegInferencer

    kind = DetInferencer if project.is_detector else MMSegInferencer
    return kind(*words, device='cpu', **settings)


@pytest.mark.parametrize('where', ['meta', 'message_hub'])
@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_an_inferencer_without_a_config_runs_none_of_the_file(kind, where, request):
    """mmengine would, in either place, which no restriction of pickle prevents."""
    project = request.getfixturevalue(kind)
    path = with_config(project, 'bad.pth', WRITE, where)
    with pytest.raises(UnsafeCheckpointError, match=r'^bad\.pth: .*; give the config file') as e:
        inferencer(project, None, path)
    assert '\n' not in str(e.value)
    inferencer(project, str(project.config), path)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / 'mine.py').write_text(
        'class Settings:\n    def __init__(self, n):\n        self.n = n\n\n'
        'def function():\n    pass\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine

    yield mine
    monkeypatch.delitem(sys.modules, 'mine')


@pytest.mark.parametrize('road', ROADS)
def test_a_class_of_the_users_own_by_name_only(road, segmentor, own_module, capsys):
    path = crafted(segmentor, 'own.pth', extra=own_module.Settings(3))
    before = set(torch.serialization.get_safe_globals())
    assert go(road, segmentor, path, '--allow-globals', 'mine.Settings') == 0
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(ValueError, match=r'holds mine\.Settings.*docs/troubleshooting\.md'):
        load(path)


READING = {
    'inspect': ['{}', '--wrapper', 'state_dict'],
    'convert': ['{}', 'out.pth', '--backbone'],
    'diff': ['{}', '{}'],
    'publish': ['{}', 'out.pth'],
}


@pytest.mark.parametrize('payload', PAYLOADS)
@pytest.mark.parametrize('command', READING)
def test_code_is_refused_by_the_commands_of_weights(command, payload, segmentor, capsys):
    path = crafted(segmentor, 'bad.pth', extra=CODE[PAYLOADS[payload]])
    assert weights.main([command, *(word.format(path) for word in READING[command])]) == 1
    assert 'bad.pth: refused, because it holds ' in error_line(capsys)
    assert os.listdir() == ['bad.pth']


@pytest.mark.parametrize('command', READING)
def test_a_class_by_name_in_the_commands_of_weights(command, segmentor, own_module, capsys):
    content = load(segmentor.checkpoint)
    torch.save({**content, 'optimizer': own_module.Settings(3)}, 'own.pth')
    words = [command, *(word.format('own.pth') for word in READING[command])]
    assert weights.main(words) == 1
    assert 'own.pth: refused, because it holds mine.Settings' in error_line(capsys)
    before = set(torch.serialization.get_safe_globals())
    assert weights.main([*words, '--allow-globals', 'mine.Settings']) == 0
    assert set(torch.serialization.get_safe_globals()) == before


def test_nothing_is_published_that_others_have_to_allow(segmentor, own_module, capsys):
    path = crafted(segmentor, 'own.pth', extra=own_module.Settings(3))
    words = ['publish', path, 'out.pth', '--allow-globals', 'mine.Settings']
    assert weights.main(words) == 1
    line = error_line(capsys)
    assert 'own.pth: what would be published is refused, because it holds mine.Settings; ' in line
    assert not [name for name in os.listdir() if 'out' in name]


def test_nothing_else_is_allowed_with_it(segmentor, own_module, capsys):
    path = crafted(segmentor, 'bad.pth', extra=[own_module.Settings(3), CODE['os.system']])
    assert go('test.py', segmentor, path, '--allow-globals', 'mine.Settings') == 1
    assert 'bad.pth: refused, because it holds posix.system' in error_line(capsys)


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('posix.system', 'could do anything'),
        ('subprocess.Popen', 'could do anything'),
        ('builtins.getattr', 'could do anything'),
        ('mine.function', 'is no class'),
        ('mine.Absent', 'cannot be imported'),
        ('nowhere.Class', 'cannot be imported'),
        ('Settings', 'cannot be imported'),
    ],
)
def test_what_may_not_be_allowed(name, reason, segmentor, own_module, capsys):
    path = str(segmentor.checkpoint)
    assert go('test.py', segmentor, path, '--allow-globals', name) == 1
    assert reason in error_line(capsys)


def test_strict_load_is_switched_off_from_the_command_line(segmentor, tmp_path, capsys):
    content = load(segmentor.checkpoint)
    del content['state_dict']['backbone.stem.conv.bias']
    torch.save(content, 'gap.pth')
    assert go('init_cfg', segmentor, 'gap.pth') == 1
    assert '1 missing: stem.conv.bias' in error_line(capsys)
    pairs = options(
        'train_cfg.max_iters=1',
        'model.backbone.init_cfg.type=Pretrained',
        'model.backbone.init_cfg.checkpoint=gap.pth',
        'model.backbone.strict_load=False',
    )
    assert train.main([str(segmentor.config), '--work-dir', 'run', *pairs]) == 0
    report = (tmp_path / 'run' / 'weights_report.json').read_text()
    assert '"missing": [\n          "stem.conv.bias"' in report
    log = max((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'stem: 1 of 2 loaded, 0 expected missing, 0 ignored, 1 missing' in log
