"""What a user gets wrong: one line that names it and the mend, exit code 1, nothing overwritten."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmplugin.cli.config import check_options
from mmplugin.cli.errors import UserError
from mmplugin.cli.explain import message_of
from mmplugin.cli.widths import check_widths
from tests.tools.conftest import REPOSITORY, error_line, options
from tools import analyze, contact_sheet, train
from tools import test as test_tool


class Code:
    """Pickles as a call that leaves a file behind where it is read without care."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def error_of_training(project, capsys, work_dir, *pairs):
    """The error line of a training that must fail, and must not have started."""
    assert train.main([str(project.config), '--work-dir', str(work_dir), *options(*pairs)]) == 1
    assert not list(work_dir.glob('**/*.pth'))
    return error_line(capsys)


def error_of_test(project, capsys, work_dir, checkpoint, *pairs):
    """The error line of a test that must fail, and leaves its output as it was."""
    out = work_dir / 'found.pkl'
    out.write_bytes(b'earlier')
    words = ['--out', str(out)] if project.is_detector else []
    command = [str(project.config), str(checkpoint), '--work-dir', str(work_dir / 'run')]
    assert test_tool.main([*command, *words, *options(*pairs)]) == 1
    assert out.read_bytes() == b'earlier'
    return error_line(capsys)


@pytest.mark.parametrize(
    ('pair', 'parts'),
    [
        ('model.backbone.arch=s13', ["'s13'", "'s12'", 's24']),
        ('model.backbone.arch.depth="[1,1,1,1]"', ['PoolFormer', 'depth', 'embed_dims']),
        ('model.backbone.out_indeces="(0,1)"', ["'out_indeces'", "did you mean 'out_indices'"]),
        ('model.backbone.out_indices="(0,4)"', ['out_indices', '4']),
        ('model.neck.in_chanels=3', ["'in_chanels'", "'FPN'", "did you mean 'in_channels'"]),
        ('model.backbone.type=PoolFormer', ["type='PoolFormer'", "'mmplugin.PoolFormer'"]),
        ('model.backbone.type=mmplugin.PoolFromer', ["'mmplugin.PoolFormer'"]),
        (
            'model.backbone.type=mmpretrain.PoolFormer',
            ['needs mmpretrain', "'mmplugin.PoolFormer'"],
        ),
        ('optim_wrapper.optimizer.type=AdamV', ["type='AdamV'", "'Adam'"]),
        ('train_cfg.max_epoch=3', ["'max_epoch'", "did you mean 'max_epochs'"]),
        ('model.backbone.init_cfg.type=Pretrain', ["'Pretrain'"]),
        ('model.neck.num_outs=None', ["dict(type='FPN', ...)", 'TypeError']),
        ('load_from=none.pth', ['none.pth', 'does not exist']),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_config_says_what_cannot_be(pair, parts, detector, tmp_path, capsys):
    line = error_of_training(detector, capsys, tmp_path, pair)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    'pair',
    [
        'train_dataloader.dataset.ann_file=annotations/none.json',
        'val_dataloader.dataset.data_root=nowhere',
        'train_dataloader.dataset.data_prefix.img=nothing/',
        'val_evaluator.ann_file=none.json',
    ],
)
def test_missing_data_is_named_with_its_key(pair, detector, tmp_path, capsys):
    key, _, value = pair.partition('=')
    line = error_of_training(detector, capsys, tmp_path, pair)
    assert line.startswith(f'error: {key}: ')
    assert value.rstrip('/') in line
    assert f'--cfg-options {key}=PATH' in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('pair', 'right'),
    [
        ('train_dataloder.batch_size=2', 'train_dataloader.batch_size'),
        ('optim_wraper.optimizer.lr=1', 'optim_wrapper.optimizer.lr'),
        ('laod_from=a.pth', 'load_from'),
    ],
)
def test_misspelt_first_word_of_an_option(pair, right, detector, tmp_path, capsys):
    line = error_of_training(detector, capsys, tmp_path, pair)
    assert f'--cfg-options {pair.partition("=")[0]}: ' in line
    assert line.endswith(f'did you mean {right}?')


def test_an_option_that_nothing_reads(segmentor, capsys):
    cfg = Config.fromfile(segmentor.config)
    check_options(cfg, ['my_values.lowest', 'compile', 'load_from', 'model.new'])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --cfg-options my_values.lowest: the config has no 'my_values'")


def test_empty_data_set(detector, tmp_path, capsys):
    """Class names that no annotation has: the usual way to lose every picture."""
    pair = "train_dataloader.dataset.metainfo.classes=('cat',)"
    line = error_of_training(detector, capsys, tmp_path, pair)
    assert 'instances_train.json is empty' in line
    assert 'cat' in line


def test_picture_that_a_worker_cannot_read(segmentor, tmp_path, capsys):
    data = tmp_path / 'data'
    shutil.copytree(segmentor.data, data)
    for labels in (data / 'annotations' / 'training').iterdir():
        labels.unlink()
    pairs = [f'train_dataloader.dataset.data_root={data}', 'train_dataloader.num_workers=1']
    line = error_of_training(segmentor, capsys, tmp_path / 'run', *pairs)
    assert line.startswith('error: ')
    assert 'No such file' in line
    assert str(data / 'annotations' / 'training') in line


def test_work_dir_that_is_a_file(segmentor, tmp_path, capsys):
    taken = tmp_path / 'taken'
    taken.write_text('mine')
    assert train.main([str(segmentor.config), '--work-dir', str(taken), *options()]) == 1
    assert str(taken) in error_line(capsys)
    assert taken.read_text() == 'mine'


def test_words_of_older_mmengine_are_taken_off():
    chain = 'class `MaskRCNN` in mmdet/models/x.py: class `FPN` in mmdet/y.py: no stage 4'
    assert message_of(ValueError(chain)) == 'no stage 4'


def test_image_smaller_than_an_output_cell(segmentor, tmp_path, capsys):
    small = 'test_dataloader.dataset.pipeline.1.scale=(2,2)'
    line = error_of_test(segmentor, capsys, tmp_path, segmentor.checkpoint, small)
    assert re.search(r'an image of 2x\d+ pixels is smaller than one output cell', line)


def test_config_that_is_not_there(capsys):
    assert train.main(['none.py']) == 1
    assert 'config file none.py does not exist' in error_line(capsys)


@pytest.mark.parametrize(
    ('text', 'part'),
    [
        ('model = dict(', 'never closed'),
        ('a = unknown_name', 'unknown_name'),
        ("_base_ = 'mmdet::none/none.py'", 'none.py'),
        ("_base_ = 'nowhere::none/none.py'", 'nowhere'),
        ("default_scope = 'mmocr'", "default_scope='mmocr'"),
        ('a = 1', 'default_scope=None'),
    ],
)
def test_config_that_cannot_be_used(text, part, tmp_path, capsys):
    config = tmp_path / 'config.py'
    config.write_text(text)
    assert train.main([str(config)]) == 1
    line = error_line(capsys)
    assert str(config) in line
    assert part in line


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
@pytest.mark.parametrize(
    'form', ['default_scope = {!r}', '_base_ = "{}::_base_/default_runtime.py"']
)
def test_framework_that_is_not_installed(scope, form, tmp_path, monkeypatch, capsys):
    """In a fresh interpreter that finds neither the framework nor its metadata."""
    config = tmp_path / 'config.py'
    config.write_text(form.format(scope))
    (tmp_path / 'sitecustomize.py').write_text(BLOCKER.format(scope=scope))
    result = subprocess.run(
        [sys.executable, 'tools/train.py', str(config)],
        cwd=REPOSITORY,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{REPOSITORY}'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if 'error' in line]
    assert line.startswith('error: config')
    pinned = {'mmdet': 'mmdet==3.3.0', 'mmseg': 'mmsegmentation==1.2.2'}[scope]
    assert f'pip install {pinned}' in line


BLOCKER = """
import importlib.metadata
import sys

class Blocker:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] == {scope!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Blocker)
stock = importlib.metadata.Distribution.from_name.__func__

def from_name(cls, name):
    if name.startswith({scope!r}):
        raise importlib.metadata.PackageNotFoundError(name)
    return stock(cls, name)

importlib.metadata.Distribution.from_name = classmethod(from_name)
"""


def test_checkpoint_that_is_cut_off(detector, tmp_path, capsys):
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(detector.checkpoint.read_bytes()[:5000])
    line = error_of_test(detector, capsys, tmp_path, cut)
    assert str(cut) in line
    assert 'cut off' in line


def test_checkpoint_of_another_network(detector, segmentor, tmp_path, capsys):
    line = error_of_test(detector, capsys, tmp_path, segmentor.checkpoint)
    assert str(segmentor.checkpoint) in line
    assert 'missing (' in line
    assert 'not in the model (' in line


def test_picture_of_another_networks_predictions(detector, segmentor, tmp_path, capsys):
    words = [str(detector.config), str(segmentor.checkpoint), '--out', str(tmp_path / 'sheet.png')]
    assert contact_sheet.main(words) == 1
    line = error_line(capsys)
    assert str(segmentor.checkpoint) in line and 'is not of the model in the config' in line
    assert len(line) < 1000 and not list(tmp_path.iterdir())


def test_widths_that_the_backbone_does_not_give(detector, tmp_path, capsys):
    line = error_of_training(detector, capsys, tmp_path, 'model.neck.in_channels=[8,16,24,64]')
    assert 'model.neck.in_channels is [8, 16, 24, 64]' in line
    assert 'set model.neck.in_channels=[8, 16, 24, 32]' in line
    pair = 'model.neck.in_channels=[8,16,24]'
    assert analyze.main([str(detector.config), '--cfg-options', pair]) == 1
    assert 'set model.neck.in_channels=[8, 16, 24, 32]' in error_line(capsys)


@pytest.mark.parametrize(
    ('head', 'backbone', 'right'),
    [
        (dict(in_channels=[8, 24], in_index=[0, 2]), (8, 16, 24, 32), None),
        (dict(in_channels=[8, 16], in_index=[0, 2]), (8, 16, 24, 32), [8, 24]),
        (dict(in_channels=32, in_index=3), (8, 16, 24, 32), None),
        (dict(in_channels=[8], in_index=[0]), None, None),
    ],
)
def test_widths_of_a_decode_head(head, backbone, right):
    model = torch.nn.Module()
    model.backbone = torch.nn.Module()
    model.backbone.out_channels, model.backbone.out_indices = backbone, (0, 1, 2, 3)
    if right is None:
        check_widths(dict(decode_head=head), model)
        return
    with pytest.raises(UserError, match=re.escape(f'model.decode_head.in_channels={right}')):
        check_widths(dict(decode_head=head), model)


def test_checkpoint_of_a_deeper_network(detector, tmp_path, capsys):
    """All tensors fit, but there are more: mmengine would test half the network."""
    shallow = 'model.backbone.out_indices=(0,1,2)', 'model.neck.in_channels=[8,16,24]'
    line = error_of_test(detector, capsys, tmp_path, detector.checkpoint, *shallow)
    assert 'not in the model (backbone.stages.3' in line


def test_checkpoint_that_carries_code(detector, tmp_path, capsys):
    trace = tmp_path / 'was here'
    carrier = tmp_path / 'carrier.pth'
    torch.save({'state_dict': {}, 'meta': Code(trace)}, carrier)
    line = error_of_test(detector, capsys, tmp_path, carrier)
    assert 'mkdir' in line
    assert 'refused' in line
    assert not trace.exists()


def test_checkpoint_that_is_not_there(segmentor, tmp_path, capsys):
    line = error_of_test(segmentor, capsys, tmp_path, tmp_path / 'none.pth')
    assert 'none.pth does not exist' in line


def test_resuming_another_network(detector, segmentor, tmp_path, capsys):
    words = ['--work-dir', str(tmp_path), '--resume', str(segmentor.checkpoint)]
    assert train.main([str(detector.config), *words, *options()]) == 1
    assert 'is not of the model in the config' in error_line(capsys)
    assert not list(tmp_path.glob('**/*.pth'))


@pytest.mark.parametrize('pair', ['no-equals-sign', 'a=[1,2'])
def test_wrong_usage_exits_with_2(pair, detector, capsys):
    with pytest.raises(SystemExit) as leaving:
        train.main([str(detector.config), '--cfg-options', pair])
    assert leaving.value.code == 2
    assert '--cfg-options' in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback(segmentor, tmp_path, capsys):
    """Channels that do not fit are noticed inside the network, in the first step."""
    wrong = options('model.decode_head.in_index=[0,1,2,9]')
    assert train.main([str(segmentor.config), '--work-dir', str(tmp_path), *wrong]) == 1
    shown = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in shown
    (kept,) = tmp_path.glob('error_*.log')
    assert 'decode_head.py' in kept.read_text()
    last = shown.splitlines()[-1]
    assert last.startswith('error: IndexError')
    assert str(kept) in last


def test_traceback_on_request(segmentor, tmp_path):
    with pytest.raises(ValueError, match='s13'):
        train.main(
            [str(segmentor.config), '--work-dir', str(tmp_path), '--traceback']
            + options('model.backbone.arch=s13')
        )
