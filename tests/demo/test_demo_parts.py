import json
import sys

import pytest

from mmplugin.demo.child import ChildFailed, progress_of, run_child
from mmplugin.demo.parts import PARTS, Part
from mmplugin.demo.report import describe, newest_metrics, write_report
from mmplugin.demo.stages import ROOT, claim_folder

PART = Part('p', 'P', 'c.py', {'a': 0.5, 'b': 60.0}, 10, ())


@pytest.mark.parametrize(
    ('metrics', 'missed'),
    [
        ({'a': 0.5, 'b': 60.1}, []),
        ({'a': 0.499, 'b': 60.0}, ['a 0.499 < 0.5']),
        ({'a': float('nan'), 'b': 70}, ['a nan < 0.5']),
        ({'b': 59.9}, ['a nan < 0.5', 'b 59.9 < 60']),
    ],
)
def test_bar(metrics, missed):
    assert PART.misses(metrics) == missed


def test_the_parts_are_those_of_the_bar():
    assert [(part.name, part.bar, part.seconds) for part in PARTS] == [
        ('instance', {'coco/bbox_mAP': 0.55, 'coco/segm_mAP': 0.55}, 300),
        ('semantic', {'mIoU': 60.0}, 180),
        ('container', {'coco/bbox_mAP': 0.55, 'coco/segm_mAP': 0.55}, 300),
    ]
    assert all((ROOT / part.config).is_file() for part in PARTS)


def result(missed):
    paths = dict.fromkeys(('predictions', 'curves', 'checkpoint'), '/x.png')
    times = {'train_seconds': 10.0, 'test_seconds': 2.0, 'seconds_aimed_at': 300}
    return {'metrics': {'a': 1.0}, 'missed': missed, **times, **paths}


@pytest.mark.parametrize(
    ('missed', 'judged', 'passed'),
    [([], True, True), (['a 0 < 1'], True, False), (['a 0 < 1'], False, None)],
)
def test_report_says_whether_the_bar_was_reached(tmp_path, missed, judged, passed):
    write_report(tmp_path / 'm.json', {'good': result([]), 'p': result(missed)}, judged)
    content = json.loads((tmp_path / 'm.json').read_text())
    assert content['passed'] is passed
    assert content['p']['metrics'] == {'a': 1.0}
    text = describe({'p': result(missed)}, judged)
    assert '; 12 s' in text and '/x.png' in text
    assert ('12 s, within the 300 s' in text) == judged
    assert ('missed: a 0 < 1' in text) == (bool(missed) and judged)
    assert ('no verdict' in text) != judged


def test_report_keeps_the_parts_of_an_earlier_run(tmp_path):
    path = tmp_path / 'm.json'
    for parts in ({'instance': result(['a 0 < 1'])}, {'semantic': result([])}):
        write_report(path, parts, judged=True)
    content = json.loads(path.read_text())
    assert content['instance']['missed'] == ['a 0 < 1'] and content['semantic']['missed'] == []
    assert content['passed'] is False
    write_report(path, {'instance': result([])}, judged=True)
    assert json.loads(path.read_text())['passed'] is True


def test_newest_metrics(tmp_path):
    for stamp, value in (('20260101_000000', 1), ('20260102_000000', 2)):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / f'{stamp}.json').write_text(json.dumps({'mIoU': value}))
    (tmp_path / '20260102_000000' / 'other.json').write_text('{}')
    assert newest_metrics(tmp_path) == {'mIoU': 2}
    with pytest.raises(FileNotFoundError, match='no metrics'):
        newest_metrics(tmp_path / '20260101_000000')


def test_child_shows_progress_and_logs_all(tmp_path, capsys):
    code = 'print("01/01 - mmengine - INFO - Epoch(train) [1]  loss: 2"); print("noise")'
    seconds = run_child([sys.executable, '-c', code], tmp_path / 'log', {})
    assert seconds > 0
    assert capsys.readouterr().out == '  Epoch(train) [1]  loss: 2\n'
    assert 'noise' in (tmp_path / 'log').read_text()


def test_child_that_fails_is_an_error_with_its_last_words(tmp_path):
    code = 'import sys; print("error: no disk"); print("more"); sys.exit(3)'
    with pytest.raises(ChildFailed, match=r'code 3 .*log.*: error: no disk'):
        run_child([sys.executable, '-c', code], tmp_path / 'log', {})


@pytest.mark.parametrize(
    ('line', 'shown'),
    [
        (
            'x - INFO - Epoch(train)  [2][ 5/50]  lr: 1e-3  eta: 0:05:58  loss: 2.1  loss_cls: 0.6',
            'Epoch(train) [2][ 5/50]  eta: 0:05:58  loss: 2.1',
        ),
        (
            'x - INFO - Epoch(val) [2][15/15]    coco/bbox_mAP: 0.3  coco/bbox_mAP_50: 0.6',
            'Epoch(val) [2][15/15]  coco/bbox_mAP: 0.3',
        ),
        ('x - INFO - Iter(val) [60/60]    aAcc: 8.0  mIoU: 6.9', 'Iter(val) [60/60]  mIoU: 6.9'),
        ('loss: 2', None),
        ('x - INFO - paramwise_options', None),
        ('Epoch(train) [1]', None),
    ],
)
def test_what_is_shown_of_a_line(line, shown):
    assert progress_of(line) == shown


def test_result_folder(tmp_path):
    claim_folder(tmp_path / 'a' / 'new')
    (tmp_path / 'a' / 'new' / 'result.png').touch()
    claim_folder(tmp_path / 'a' / 'new')
    (tmp_path / 'empty').mkdir()
    claim_folder(tmp_path / 'empty')
    (tmp_path / 'file').write_text('mine')
    for taken in ('a', 'file'):
        with pytest.raises(FileExistsError, match='nothing was changed'):
            claim_folder(tmp_path / taken)
    assert (tmp_path / 'file').read_text() == 'mine'
