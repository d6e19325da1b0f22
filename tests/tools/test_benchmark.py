"""tools/benchmark.py for real, at small sizes."""

import json

import pytest
import torch

from mmplugin.backbones import PoolFormer
from mmplugin.benchmark.memory import saved_bytes
from mmplugin.benchmark.timing import interleaved
from tests.families import TINY
from tests.tensors import image
from tests.tools.conftest import error_line
from tools import benchmark

pytestmark = pytest.mark.usefixtures('small_maps_fused')

QUICK = ['poolformer-s12', '--shapes', '64x32', '--seconds', '0.1']


def test_table_record_and_picture(tmp_path, capsys):
    words = ['--peers', 'official', 'timm-cl', 'ours', 'deploy', '--modes', 'inference', 'training']
    assert benchmark.main([*QUICK, *words, '--out', str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / 'benchmark.json').read_text())
    peers = [(row['mode'], row['peer']) for row in record['rows']]
    assert peers == [
        *(('inference', name) for name in ('official', 'timm-cl', 'ours', 'deploy')),
        *(('training', name) for name in ('official', 'timm-cl', 'ours')),  # deploy does not train
    ]
    first, *_, ours = record['rows']
    assert first['speedup'] == 1 and first['gflop'] > 0.1 and first['ceiling'] > 0
    assert ours['saved_mb'] < 0.6 * record['rows'][4]['saved_mb']
    assert record['machine']['copy_gb_s'] > 0 and record['machine']['torch']
    assert printed.count('| poolformer-s12 |') == 7
    assert (tmp_path / 'benchmark.png').stat().st_size > 5000


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['poolformer-s13', '--peers', 'ours'], "PoolFormer has no arch 's13'"),
        (['resnet-50', '--peers', 'ours'], "'resnet-50' is no backbone"),
        (['poolformer-s12', '--peers', 'theirs'], "'theirs' is no peer; choose from ours, "),
        (['poolformer-s12', '--shapes', '64'], '--shapes takes HEIGHTxWIDTH'),
        (['poolformer-s12', '--modes', 'sleep'], "--modes: 'sleep' is neither of inference"),
        (['poolformer-s12', '--dtype', 'int8'], "--dtype: 'int8' is none"),
        (['container-full', '--peers', 'official'], 'has no released structure'),
    ],
)
def test_mistakes_are_named(words, message, capsys):
    assert benchmark.main([*words, '--batch', '1']) == 1
    assert message in error_line(capsys)


def test_calls_take_turns():
    order = []
    timings = interleaved({'a': lambda: order.append('a'), 'b': lambda: order.append('b')}, 0)
    assert order == ['a', 'b'] * 4  # one round to warm up, three that count
    assert timings['a'].calls == 3 and timings['a'].fastest <= timings['a'].median


def test_saved_bytes_are_those_of_the_formula():
    model = PoolFormer(dict(TINY, depths=(1, 1, 1, 1)), out_indices=(0,))
    x = image(1, 3, 64, 64).float().contiguous(memory_format=torch.channels_last)
    cells = 16 * 16 * 8 * 4
    # of the block: its input and what its halves hand on; of the norm: its input; small factors
    assert 3 * cells <= saved_bytes(model, x) < 3.2 * cells
