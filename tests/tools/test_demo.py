"""The tools around the demonstration: data, pictures, curves, and the run itself."""

import json
import os
import subprocess
import sys

import cv2
import pytest

from tools import contact_sheet, demo, make_demo_data, plot_curves

from .conftest import REPOSITORY, error_line


def test_data_are_made_once(tmp_path, capsys):
    words = ['--out', str(tmp_path / 'data'), '--train', '5', '--val', '5', '--seed', '2']
    assert make_demo_data.main(words) == 0
    assert capsys.readouterr().out.count('generated') == 2
    assert make_demo_data.main(words) == 0
    assert capsys.readouterr().out.count('intact') == 2


def test_data_of_others_are_left_alone(tmp_path, capsys):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco' / 'mine.txt').touch()
    assert make_demo_data.main(['--out', str(tmp_path)]) == 1
    assert 'nothing was changed' in error_line(capsys)
    assert [path.name for path in tmp_path.rglob('*')] == ['coco', 'mine.txt']


@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_contact_sheet(kind, request, tmp_path):
    project = request.getfixturevalue(kind)
    out = tmp_path / 'new' / 'sheet.png'
    words = ['--out', str(out), '--count', '3', '--score-thr', '0']
    assert contact_sheet.main([str(project.config), str(project.checkpoint), *words]) == 0
    page = cv2.imread(str(out))
    assert page.shape[0] > 600 and page.shape[1] > 1000
    assert page.std() > 20


def test_contact_sheet_of_no_checkpoint(detector, tmp_path, capsys):
    words = [str(detector.config), str(tmp_path / 'no.pth'), '--out', str(tmp_path / 'sheet.png')]
    assert contact_sheet.main(words) == 1
    assert 'no.pth does not exist' in error_line(capsys)


@pytest.mark.parametrize(
    ('kind', 'metrics'), [('detector', ['coco/bbox_mAP', 'coco/segm_mAP']), ('segmentor', ['mIoU'])]
)
def test_curves(kind, metrics, request, tmp_path):
    project = request.getfixturevalue(kind)
    out = tmp_path / 'new' / 'curves.png'
    assert plot_curves.main([str(project.work_dir), '--out', str(out), '--metrics', *metrics]) == 0
    assert cv2.imread(str(out)).std() > 10


@pytest.mark.parametrize(
    ('folder', 'metric', 'words'),
    [('run', 'mAP', "no validation metric 'mAP'"), ('data', 'mIoU', 'no training log')],
)
def test_curves_that_cannot_be_drawn(segmentor, folder, metric, words, tmp_path, capsys):
    source = segmentor.config.parent / folder
    out = tmp_path / 'curves.png'
    assert plot_curves.main([str(source), '--out', str(out), '--metrics', metric]) == 1
    assert words in error_line(capsys)
    assert not out.exists()


def test_curves_of_several_trainings(segmentor, tmp_path, capsys):
    out = tmp_path / 'runs.png'
    words = [str(segmentor.work_dir)] * 2 + ['--out', str(out), '--metrics', 'mIoU']
    assert plot_curves.main([*words, '--names', 'one', 'two']) == 0
    assert cv2.imread(str(out)).std() > 10
    out.unlink()
    capsys.readouterr()
    assert plot_curves.main([*words, '--names', 'one', 'one']) == 1
    assert '2 different names' in error_line(capsys)
    assert plot_curves.main([*words, 'aAcc', '--names', 'one', 'two']) == 1
    assert 'one for several' in error_line(capsys)
    assert not out.exists()


def test_demo_leaves_the_results_of_others_alone(tmp_path, capsys):
    (tmp_path / 'mine.pth').write_text('mine')
    assert demo.main(['--out', str(tmp_path), '--data', str(tmp_path / 'data')]) == 1
    assert 'nothing was changed' in error_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ['mine.pth']


@pytest.mark.slow
def test_demo_runs_twice_and_leaves_all_it_promises(tmp_path):
    words = ['--smoke', '--out', str(tmp_path / 'out'), '--data', str(tmp_path / 'data')]
    command = [sys.executable, str(REPOSITORY / 'tools' / 'demo.py'), *words]
    for _ in range(2):
        done = subprocess.run(
            command,
            text=True,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(REPOSITORY)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('intact, kept') == 2
    assert 'Epoch(train)' in done.stdout and 'Iter(train)' in done.stdout
    result = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert result['passed'] is None
    assert result['instance']['metrics']['coco/segm_mAP'] <= 0.55
    assert result['semantic']['metrics']['mIoU'] <= 60
    assert result['machine']['cores'] >= 1 and 'torch' in result['versions']
    for part in ('instance', 'semantic'):
        assert result[part]['train_seconds'] > 0
        assert cv2.imread(str(tmp_path / 'out' / part / 'predictions.png')).std() > 20
        assert cv2.imread(str(tmp_path / 'out' / part / 'curves.png')).std() > 10
        assert result[part]['missed']
