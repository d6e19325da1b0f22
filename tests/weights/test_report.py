"""The report of a load: by part, in the log, in the work dir; tables of another size."""

import json

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mmplugin.backbones.container import Container
from mmplugin.backbones.poolformer import PoolFormer
from mmplugin.mixers.tables import TableAffinity
from mmplugin.weights.report import PARTS, part_of
from tests.families import TINY
from tests.tensors import relative_error
from tests.weights.test_loading import load, log, official, saved

__all__ = ['log']  # a fixture

TABLES = dict(
    TINY,
    num_heads=(2, 2, 2, 2),
    dynamic=(False, False, False, False),
    static=('conv', 'conv', 'table', 'table'),
)


def test_one_line_a_part(tmp_path, log):
    load(saved(tmp_path, official(num_classes=5).state_dict()), out_indices=(0, 2))
    lines = [r.getMessage().strip() for r in log.records]
    lines = [line for line in lines if ' loaded, ' in line and 'tensors' not in line]
    model = PoolFormer(TINY, out_indices=(0, 2))
    sizes = dict.fromkeys(PARTS, 0)
    for key in model.state_dict():
        sizes[part_of(key)] += 1
    unbuilt = len(PoolFormer(TINY).stages[3].state_dict())
    for part in PARTS[:4]:
        assert (
            f'{part}: {sizes[part]} of {sizes[part]} loaded, 0 expected missing, 0 ignored' in lines
        )
    assert f'stage 4: 0 of 0 loaded, 0 expected missing, {unbuilt} ignored' in lines
    assert 'output norms: 0 of 4 loaded, 4 expected missing, 0 ignored' in lines
    assert 'outside the backbone: 0 of 0 loaded, 0 expected missing, 4 ignored' in lines
    assert len(lines) == 7


def test_what_strictness_would_refuse_is_counted_too(tmp_path, log):
    state = official().state_dict()
    del state['network.2.0.mlp.fc1.bias']
    state['network.2.0.attn.weight'] = torch.zeros(1)
    state['patch_embed.proj.bias'] = torch.zeros(1)
    load(saved(tmp_path, state), strict_load=False)
    (stage,) = (r.getMessage() for r in log.records if r.getMessage().startswith('  stage 2'))
    assert '1 missing, 1 unexpected' in stage
    (stem,) = (r.getMessage() for r in log.records if r.getMessage().startswith('  stem'))
    assert '1 of 2 loaded' in stem and '1 misshaped' in stem


@pytest.fixture
def run(tmp_path):
    """A stock runner, which is all there is in a stock tool."""
    before = MMLogger._instance_dict.copy()
    runner = Runner(PoolFormer(TINY), str(tmp_path / 'run'), experiment_name=str(tmp_path))
    yield runner
    MMLogger._instance_dict.clear()
    MMLogger._instance_dict.update(before)


def test_the_report_lies_in_the_work_dir_of_a_stock_runner(run, tmp_path):
    path = saved(tmp_path, official().state_dict())
    load(path)
    load(path, out_indices=(1,))  # a second backbone, as of a teacher
    report = json.loads((tmp_path / 'run' / 'weights_report.json').read_text())
    assert report['run'] == run.timestamp
    first, second = report['backbones']
    assert (first['backbone'], first['checkpoint'], first['layout']) == (
        'PoolFormer',
        path,
        'official',
    )
    total = len(PoolFormer(TINY).state_dict())
    assert sum(part['loaded'] for part in first['parts'].values()) == total
    assert first['keys'] == {} and second['keys']['ignored']
    assert list(first['parts'])[:6] == list(PARTS)


def test_a_new_run_replaces_the_report(run, tmp_path):
    target = tmp_path / 'run' / 'weights_report.json'
    for earlier in ('{"run": "earlier", "backbones": [1]}', 'no json'):
        target.write_text(earlier)
        load(saved(tmp_path, official().state_dict()))
        assert len(json.loads(target.read_text())['backbones']) == 1


def test_outside_a_run_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, official().state_dict())
    MMLogger.get_instance('elsewhere', log_file=str(tmp_path / 'my.log'))
    load(path)
    assert {p.name for p in tmp_path.iterdir()} == {'weights.pth', 'my.log'}


def tables(img_size):
    return Container(dict(TABLES, img_size=img_size))


@pytest.mark.parametrize(('old', 'new'), [(64, 96), (96, 64), (64, 128)])
def test_tables_of_another_size_are_resized_and_reported(old, new, tmp_path, log):
    path = saved(tmp_path, tables(old).state_dict())
    model = tables(new)
    model.init_cfg = dict(type='Pretrained', checkpoint=path)
    model.init_weights()
    count = sum(name.endswith('.table') for name in model.state_dict())
    assert f'{count} resized' in log.text
    grid = new // 16
    assert f'from a grid of {old // 16}x{old // 16} tokens to {grid}x{grid}' in log.text


@pytest.mark.parametrize(('old', 'new'), [(4, 6), (6, 4), (4, 8), (5, 3)])
def test_a_resized_table_does_what_resampling_the_map_did(old, new):
    """U A P x, equations in the docstring of ``ops/resample.py``."""
    small = TableAffinity(2, (old, old), mode='resample').double()
    large = TableAffinity(2, (new, new), mode='fixed').double()
    large.load_state_dict(small.state_dict())
    x = torch.randn(3, 4, new, new, dtype=torch.float64)
    assert relative_error(large(x), small(x)) < 1e-12


def test_a_table_of_its_own_size_is_left_alone():
    first, second = TableAffinity(2, (4, 4)), TableAffinity(2, (4, 4))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.table, second.table)


@pytest.mark.parametrize('shape', [(3, 16, 16), (2, 15, 15), (2, 16, 9), (2, 256), (2, 0, 0)])
def test_a_table_of_other_heads_or_no_square_grid_is_refused(shape):
    with pytest.raises(RuntimeError, match='size mismatch'):
        TableAffinity(2, (5, 5)).load_state_dict({'table': torch.zeros(shape)})
