"""tools/train.py: a run, its resumption, and what it changes to fit the machine."""

import json

import pytest
import torch

from tests.tools.conftest import error_line, options
from tools import train

KINDS = ('detector', 'segmentor')


@pytest.fixture(params=KINDS)
def project(request):
    return request.getfixturevalue(request.param)


def newest_log(work_dir):
    return max(work_dir.glob('*/*.log')).read_text()


def test_leaves_checkpoint_and_metrics(project):
    assert project.checkpoint.is_file()
    lines = max(project.work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    keys = {key for line in lines for key in json.loads(line)}
    assert 'loss' in keys
    assert keys & {'coco/segm_mAP', 'mIoU'}


@pytest.mark.parametrize(
    'word', [['--resume'], ['--resume', 'CHECKPOINT']], ids=['auto', 'from a file']
)
def test_resume_goes_on_where_it_stopped(word, project, tmp_path):
    more = 'train_cfg.max_epochs=2' if project.is_detector else 'train_cfg.max_iters=4'
    last = 'epoch_2' if project.is_detector else 'iter_4'
    if len(word) == 1:
        (tmp_path / 'last_checkpoint').write_text(str(project.checkpoint))
    word = [str(project.checkpoint) if part == 'CHECKPOINT' else part for part in word]
    arguments = [str(project.config), '--work-dir', str(tmp_path), *word]
    assert train.main([*arguments, *options(more)]) == 0
    before = torch.load(project.checkpoint, weights_only=False)
    after = torch.load(tmp_path / f'{last}.pth', weights_only=False)
    assert after['meta']['iter'] == 2 * before['meta']['iter']
    steps = [state['step'] for state in after['optimizer']['state'].values()]
    assert min(steps) == max(steps) == after['meta']['iter']
    assert not (tmp_path / f'{project.last}.pth').exists()


def test_resume_without_a_latest_checkpoint_overwrites_nothing(segmentor, tmp_path, capsys):
    (tmp_path / 'iter_1.pth').write_bytes(b'earlier')
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path), '--resume']
    assert train.main([*arguments, *options('train_cfg.max_iters=1')]) == 1
    assert 'no file last_checkpoint' in error_line(capsys)
    assert (tmp_path / 'iter_1.pth').read_bytes() == b'earlier'


def test_resume_in_a_fresh_folder_keeps_load_from(segmentor, tmp_path):
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path), '--resume']
    pairs = ['train_cfg.max_iters=1', f'load_from={segmentor.checkpoint}']
    assert train.main([*arguments, *options(*pairs)]) == 0
    log = newest_log(tmp_path)
    assert 'so the run begins' in log
    assert f'Load checkpoint from {segmentor.checkpoint}' in log


def test_resume_with_nested_metainfo(segmentor, tmp_path):
    pairs = ['train_dataloader.dataset.metainfo.groups.sky=1', 'train_cfg.val_interval=9']
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path)]
    assert train.main([*arguments, *options('train_cfg.max_iters=1', *pairs)]) == 0
    assert train.main([*arguments, '--resume', *options('train_cfg.max_iters=2', *pairs)]) == 0
    assert (tmp_path / 'iter_2.pth').is_file()


def test_work_dir_is_named_after_the_config(segmentor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main([str(segmentor.config), *options('train_cfg.max_iters=1')]) == 0
    assert (tmp_path / 'work_dirs' / 'tiny-fpn' / 'iter_1.pth').is_file()


def test_says_what_it_will_overwrite(segmentor, tmp_path):
    (tmp_path / 'iter_1.pth').write_bytes(b'earlier')
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path)]
    assert train.main([*arguments, *options('train_cfg.max_iters=1')]) == 0
    assert 'holds checkpoints of an earlier run' in newest_log(tmp_path)


def test_fine_tuning_needs_something_that_fits(segmentor, tmp_path, capsys):
    other = tmp_path / 'other.pth'
    torch.save({'state_dict': {'encoder.weight': torch.ones(3)}}, other)
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path)]
    assert train.main([*arguments, *options(f'load_from={other}')]) == 1
    assert 'no tensor of checkpoint' in error_line(capsys)


def test_learning_rate_scales_on_request(detector, tmp_path):
    arguments = [str(detector.config), '--work-dir', str(tmp_path), '--auto-scale-lr']
    assert train.main([*arguments, *options('auto_scale_lr.base_batch_size=1')]) == 0
    first = max(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()[0]
    assert json.loads(first)['lr'] == pytest.approx(2e-3)  # batch size 2 over 1, from 1e-3


def test_learning_rate_scaling_needs_a_base(segmentor, tmp_path, capsys):
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path), '--auto-scale-lr']
    assert train.main(arguments) == 1
    assert 'auto_scale_lr.base_batch_size' in error_line(capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason='asks what happens without a GPU')
@pytest.mark.parametrize(
    ('words', 'mend'),
    [
        (['--amp'], 'leave --amp out'),
        (['--cfg-options', 'optim_wrapper.type=AmpOptimWrapper'], 'OptimWrapper in the config'),
    ],
)
def test_amp_needs_an_accelerator(words, mend, detector, tmp_path, capsys):
    assert train.main([str(detector.config), '--work-dir', str(tmp_path), *words]) == 1
    line = error_line(capsys)
    assert 'accelerator' in line
    assert mend in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_amp_trains(project, tmp_path):
    arguments = [str(project.config), '--work-dir', str(tmp_path), '--amp']
    assert train.main([*arguments, *options()]) == 0
    assert 'scaler' in str(torch.load(tmp_path / f'{project.last}.pth', weights_only=False).keys())


def losses(work_dir):
    lines = max(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [line['loss'] for line in map(json.loads, lines) if 'loss' in line]


def test_compiled_training_is_the_same(segmentor, tmp_path):
    arguments = [str(segmentor.config), '--work-dir', str(tmp_path), '--compile', 'aot_eager']
    assert train.main([*arguments, *options()]) == 0
    assert '--compile: PoolFormer runs through aot_eager' in newest_log(tmp_path)
    assert losses(tmp_path) == pytest.approx(losses(segmentor.work_dir), rel=1e-3)
    assert losses(tmp_path)
