"""tools/benchmark.py for real, at small sizes."""

import json
import os
import time
from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmplugin.backbones import Container, PoolFormer
from mmplugin.benchmark import between, fresh, scaling
from mmplugin.benchmark.between import Between, between_seconds, betweens_of
from mmplugin.benchmark.ceilings import layer_seconds, layers_of
from mmplugin.benchmark.memory import saved_bytes
from mmplugin.benchmark.peers import ready_peer
from mmplugin.benchmark.roofline import count_flop, least_bytes
from mmplugin.benchmark.timing import interleaved
from mmplugin.benchmark.token_half import FORMS, TokenHalfCase
from mmplugin.benchmark.where import COLUMNS, KIND_OF, KINDS, OTHER, OUTSIDE, whereabouts
from mmplugin.benchmark.whole import WholeCase
from mmplugin.benchmark.work import Work
from mmplugin.cli import UserError
from mmplugin.layers import GroupNorm1
from mmplugin.mixers.pooling import Pooling
from tests.families import TINY
from tests.tensors import image
from tests.tools.conftest import DETECTOR, SEGMENTOR, error_line
from tools import benchmark

TOKENS = 'poolformer-s12-tokens'
QUICK = ['poolformer-s12', '--shapes', '64x32', '--seconds', '0']
ONE = dict(TINY, depths=(1, 1, 1, 1))
CELLS = 16 * 16 * 8
"""Of the first stage's map of a 64 x 64 image."""
BACKBONE = """
    backbone=dict(_delete_=True, type='mmplugin.PoolFormer', arch='s12'%s),
    neck=dict(in_channels=[64, 128, 320, 512], out_channels=16),
"""
CONFIGS = {'detector': DETECTOR, 'segmentor': SEGMENTOR}


@pytest.fixture
def same_process(monkeypatch):
    """All comparisons in this one: faster, and what tests patch holds in it."""
    monkeypatch.setattr(fresh, 'in_process_of_its_own', lambda call, *words: call(*words))


def test_table_record_and_picture(tmp_path, capsys, same_process, small_maps_fused):
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
    assert first['between_ms'] > 0 and first['bytes_ms'] > 0
    assert first['speedup'] == 1 and first['gflop'] > 0.1 and first['products_ms'] > 0
    assert 2.9 * first['gflop'] < ours['gflop'] < 3 * first['gflop']
    assert ours['saved_mb'] < 0.6 * record['rows'][4]['saved_mb']
    assert {'copy_gb_s', 'torch', 'command', 'threads', 'device'} <= record['machine'].keys()
    assert printed.count('| poolformer-s12 |') == 7 + 2  # peers; rooflines
    assert printed.endswith((tmp_path / 'benchmark.md').read_text())
    assert (tmp_path / 'benchmark.png').stat().st_size > 5000


@pytest.mark.parametrize(
    'words',
    [
        ['--dtype', 'bfloat16', '--batch', '2', '--threads', '1'],
        ['--dtype', 'bfloat16', '--amp', '--modes', 'training'],
        ['--layout', 'channels_last'],
    ],
)
def test_other_ways_to_run(words, capsys):
    assert benchmark.main([*QUICK, '--peers', 'ours', 'triton', 'timm', *words]) == 0
    assert '| timm |' in capsys.readouterr().out


@pytest.mark.slow
def test_other_processes_compare(capsys):
    words = ['--peers', 'official', 'ours', '--shapes', '64x32', '32x64', '--seconds', '0']
    assert benchmark.main(['poolformer-s12', 'container-light', *words]) == 0
    assert capsys.readouterr().out.count('| 1 x 32 x 64 | ours |') == 2


@pytest.mark.slow
def test_compiled_peer(capsys):
    words = ['--peers', 'plain', 'compiled', '--seconds', '0', '--shapes', '64x32']
    assert benchmark.main(['container-light', *words]) == 0
    assert '| compiled |' in capsys.readouterr().out
    words[1:3] = ['official', 'official-compiled']
    assert benchmark.main(['poolformer-s12', *words]) == 0
    assert '| official-compiled |' in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_named(capsys):
    assert benchmark.main(['--device', 'cuda']) == 1
    assert error_line(capsys) == 'error: --device cuda: there is no GPU that torch can use'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['poolformer-s13', '--peers', 'ours'], "PoolFormer has no arch 's13'"),
        (['resnet-50', '--peers', 'ours'], "'resnet-50' is no backbone"),
        (['poolformer-s12', '--peers', 'theirs'], "'theirs' is no peer; choose from ours, "),
        (['container-light', '--peers', 'timm'], 'has none of the peers timm'),
        (['poolformer-s12', '--shapes', '64'], '--shapes takes HEIGHTxWIDTH'),
        (['poolformer-s12', '--modes', 'sleep'], "--modes: 'sleep' is neither of inference"),
        (['poolformer-s12', '--dtype', 'int8'], "--dtype: 'int8' is none"),
        (['poolformer-s12', '--batch', '0'], '--batch takes 1 or more'),
        (['container-full', '--peers', 'official'], 'has no released structure'),
        (['container-light-tokens'], 'only a PoolFormer has such token halves'),
        ([TOKENS, '--peers', 'timm'], "'timm' is no peer of a token half"),
        (['no-such.py'], 'config file no-such.py does not exist'),
        (['--scale', '--shapes', '64x64'], '--scale has its own sizes'),
        (['--scale', '--where'], '--scale has its own sizes'),
        (['--where', '--device', 'cuda'], '--where counts the time of a CPU alone'),
        (['--where', '--peers', 'compiled'], '--where does not see into compiled peers'),
    ],
)
def test_mistakes_are_named(words, message, capsys, monkeypatch):
    monkeypatch.setattr('mmplugin.benchmark.ceilings.copy_bandwidth', lambda device: 1e9)
    assert benchmark.main(words) == 1
    assert message in error_line(capsys)


def test_a_process_of_its_own_has_as_many_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert fresh.in_process_of_its_own(torch.get_num_threads) == 3
    finally:
        torch.set_num_threads(before)


def refuse(text: str) -> None:
    raise UserError(text)


def test_a_mistake_in_a_process_of_its_own_stays_one_line():
    with pytest.raises(UserError, match='this one') as caught:
        fresh.in_process_of_its_own(refuse, 'this one')
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(('networks', 'own'), [(1, 0), (2, 2)])
def test_several_comparisons_have_processes_of_their_own(networks, own, monkeypatch):
    begun = []
    monkeypatch.setattr('mmplugin.benchmark.ceilings.copy_bandwidth', lambda device: 1e9)
    monkeypatch.setattr(fresh, 'compare_named', lambda *words: [])
    monkeypatch.setattr(fresh, 'in_process_of_its_own', lambda *words: begun.append(words) or [])
    names = ['poolformer-s12', 'container-light'][:networks]
    assert benchmark.main(names) == 0
    assert [words[1] for words in begun] == names[:own]


def test_a_process_of_its_own_may_end_early():
    with pytest.raises(ValueError, match='process of a comparison ended without a result'):
        fresh.in_process_of_its_own(os._exit, 3)


def test_calls_take_turns():
    order = []
    timings = interleaved({'a': lambda: order.append('a'), 'b': lambda: order.append('b')}, 0)
    assert order == ['a', 'b'] * 4  # one round to warm up, three that count
    assert timings['a'].calls == 3 and timings['a'].fastest <= timings['a'].median


# what is counted --------------------------------------------------------------------------------


def one_stage(mode: str, **settings):
    model = PoolFormer(ONE, out_indices=(0,), **settings).train(mode == 'training')
    work = Work(mode, (64, 64))
    return ready_peer(model, [image(1, 3, 64, 64, dtype=torch.float32)], work), work


def test_saved_bytes_are_those_of_the_formula(small_maps_fused):
    peer, _ = one_stage('training')
    saved = saved_bytes(peer.forward, peer.given)
    picture = peer.inputs[0].nbytes  # in channels_last
    # of the block: its input and what its halves hand on; of the norm: its input; small factors
    assert 3 * CELLS * 4 <= saved - picture < 3.2 * CELLS * 4


@pytest.mark.parametrize('mode', ['inference', 'training'])
def test_flop_are_those_of_the_formula(mode):
    peer, _ = one_stage(mode, fast=False)
    stem, mlp = 2 * CELLS * 3 * 7 * 7, 2 * 2 * CELLS * 16
    expected = 2 * stem + 3 * mlp if mode == 'training' else stem + mlp  # no gradient of the image
    assert count_flop(peer.step) == expected


def test_flop_of_attention_are_counted():
    model = Container(dict(ONE, dynamic=(True,) * 4, num_heads=(2,) * 4), fast=False)
    training = Work('training', (64, 64))
    x = image(1, 3, 64, 64, dtype=torch.float32)
    peer = ready_peer(model.train(), [x], training)
    products = sum(use.layer.flop * n for use, n in layers_of(model, peer.forward).items())
    tokens = [256, 64, 16, 4]
    attention = sum(4 * n * n * dim for n, dim in zip(tokens, ONE['embed_dims']))
    assert count_flop(peer.forward) == products + attention
    assert count_flop(peer.step) > 3 * attention + 2.5 * products


@pytest.mark.parametrize(('mode', 'maps'), [('inference', 2), ('training', 5)])
def test_least_bytes_are_those_of_the_formula(mode, maps):
    peer, work = one_stage(mode, fast=False)
    weights = sum(p.numel() for p in peer.model.parameters()) * (3 if mode == 'training' else 1)
    stem = (peer.inputs[0].numel() + CELLS) * (2 if mode == 'training' else 1)
    units = 3 * maps * CELLS  # two halves of the block and the output norm
    assert least_bytes(peer, work) == 4 * (weights + stem + units)
    assert least_bytes(peer._replace(model=nn.Identity()), work) is None


def test_every_layer_has_a_fastest_way():
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 1),
        nn.ConvTranspose2d(8, 4, 2, 2),
        nn.Linear(16, 2),
    )
    x = image(2, 3, 16, 16, dtype=torch.float32)
    uses = layers_of(layers, lambda: layers(x))
    seconds, flop = layer_seconds(uses, 0, Work('training', (16, 16)))
    assert flop == count_flop(lambda: layers(x).sum().backward()) and seconds > 0
    with torch.no_grad():
        uses = layers_of(layers, lambda: layers(x))
    assert layer_seconds(uses, 0, Work('inference', (16, 16)))[1] == count_flop(lambda: layers(x))


def test_operations_between_the_products_are_counted():
    peer, work = one_stage('training', fast=False)
    found = betweens_of(peer.model, peer.forward)
    norm, gelu, pooling = GroupNorm1, nn.GELU, Pooling
    block, hidden = (1, 8, 16, 16), (1, 16, 16, 16)
    counts = {Between(norm, block): 3, Between(pooling, block): 1, Between(gelu, hidden): 1}
    assert found == counts  # two norms of the block, one of the output
    assert between_seconds(found, 0, work) > 0


def test_operations_between_are_added_up(monkeypatch):
    monkeypatch.setattr(
        between, 'fastest', lambda ways, *_: min(scale for _, scale in ways.values())
    )
    large = (1, 16, between.CACHED // 16, 4)  # four times what is timed
    found = Counter({Between(GroupNorm1, (1, 8, 4, 4)): 3, Between(Pooling, (1, 8, 4, 4)): 1})
    found[Between(nn.GELU, large)] = 2
    assert between_seconds(found, 0, Work('inference', (64, 64))) == 3 + 1 + 2 * 4
    assert between_seconds(found, 0, Work('training', (64, 64))) == 3 + 3 + 2 * 2 * 4


# where the time goes ----------------------------------------------------------------------------


def test_where_in_the_table(tmp_path, capsys):
    words = ['--peers', 'official', 'ours', '--where', '--out', str(tmp_path)]
    assert benchmark.main([*QUICK, *words]) == 0
    assert capsys.readouterr().out.count('| poolformer-s12 |') == 2 + 1 + 2
    for row in json.loads((tmp_path / 'benchmark.json').read_text())['rows']:
        assert list(row['where']) == [*COLUMNS, 'faults']
        for kind in ('products', 'GELU', 'norms', 'pooling', OTHER):
            assert row['where'][kind] > 0, kind


def test_kinds_are_told_apart():
    x = image(1, 4, 8, 8, dtype=torch.float32).requires_grad_()
    large = torch.empty(2**24)
    steps = {
        'product': lambda: (x[0, 0] @ x[0, 0]).sum().backward(),
        'pooling': lambda: functional.avg_pool2d(x, 3, 1, 1),
        'memory': lambda: large.clone(),
        'python': lambda: time.sleep(0.02),
    }
    found = whereabouts(steps, 0)
    assert found['product']['products'] > 0 == found['product']['pooling']
    assert found['pooling']['pooling'] > 0 == found['pooling']['products']
    assert found['memory']['copies'] > 0 and found['memory']['faults'] > 10
    assert found['python'][OUTSIDE] > 19
    assert not any(found['python'][kind] for kind in (*KINDS, OTHER))


def test_kinds_name_operations_of_torch():
    for name in KIND_OF:
        assert hasattr(torch.ops.aten, name), name


# token halves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(('mode', 'passes'), [('inference', 3), ('training', 8)])
def test_token_halves_move_their_maps(mode, passes, small_maps_fused):
    work = Work(mode, (64, 96), 2)
    plain, ours, triton = (TokenHalfCase(TOKENS).peer(name, work) for name in FORMS[:3])
    cells = [(64, 16 * 24), (128, 8 * 12), (320, 4 * 6), (512, 2 * 3)]
    assert ours.moved == passes * 2 * 4 * sum(dim * area for dim, area in cells)
    ours.model.load_state_dict(plain.model.state_dict())
    for mine, other in zip(ours.forward(), plain.forward()):
        torch.testing.assert_close(mine, other)
        assert mine.requires_grad == (mode == 'training')
    assert count_flop(triton.step) == 0


def test_token_halves_in_the_table(capsys, same_process):
    words = [TOKENS, '--modes', 'inference', 'training', '--shapes', '64x64', '--seconds', '0']
    assert benchmark.main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count(f'| {TOKENS} |') == 4 + 2 and printed.count('% |') == 4
    assert printed.count('| bytes |') == 2


# whole models -----------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    def write(kind: str, settings: str = '') -> str:
        path = tmp_path / f'{kind}.py'
        fill = dict(backbone=BACKBONE % settings, data='none', names=('a', 'b'), classes=2)
        path.write_text(CONFIGS[kind] % fill)
        return str(path)

    return write


@pytest.mark.parametrize('kind', CONFIGS)
def test_peers_of_a_config_do_the_same_work(kind, config, small_maps_fused):
    case = WholeCase(config(kind))
    work = Work('training', (64, 96), 2)
    losses, saved = [], []
    for form in ('timm-cl', 'timm', 'plain', 'ours'):
        peer = case.peer(form, work)
        losses.append(peer.step())
        saved.append(saved_bytes(peer.forward, peer.given))
    assert losses[0] > 0 and losses == pytest.approx([losses[0]] * 4, rel=1e-4)
    assert saved[3] < saved[0]
    assert case.peer('deploy', work) is None


@pytest.mark.parametrize('form', ['timm', 'timm-cl', 'plain', 'deploy'])
def test_peers_of_a_config_are_one_network(form, config):
    case = WholeCase(config('segmentor'))
    work = Work('inference', (64, 64))
    mine, other = (case.peer(name, work) for name in ('ours', form))
    torch.testing.assert_close(other.forward(), mine.forward(), rtol=1e-3, atol=1e-4)


def test_training_leaves_the_weights_of_a_config_alone(config):
    peer = WholeCase(config('detector')).peer('ours', Work('training', (64, 64)))
    before = {name: p.clone() for name, p in peer.model.named_parameters()}
    assert peer.step() == peer.step()
    for name, parameter in peer.model.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_a_config_of_its_own_in_the_table(config, capsys):
    words = ['--modes', 'training', '--shapes', '64x64', '--seconds', '0']
    assert benchmark.main([config('segmentor'), *words, '--peers', 'timm', 'ours']) == 0
    assert '| segmentor | training | 1 x 64 x 64 | timm |' in capsys.readouterr().out


def test_what_timm_lacks_is_refused(config, capsys):
    path = config('detector', ', with_cp=True')
    assert benchmark.main([path, '--peers', 'timm', '--shapes', '64x64']) == 1
    assert "timm's backbone has no counterpart of ['with_cp']" in error_line(capsys)
    assert benchmark.main([path, '--peers', 'ours', '--dtype', 'bfloat16']) == 1
    assert 'only with --amp' in error_line(capsys)


# scaling ----------------------------------------------------------------------------------------


def test_scaling_table_record_and_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scaling, 'SIDES', (64, 96, 128))
    monkeypatch.setattr(scaling, 'BATCHES', (1, 2))
    monkeypatch.setattr(scaling, 'SIDE', 64)
    words = [
        '--scale',
        'poolformer-s12',
        'container-full',
        '--seconds',
        '0',
        '--out',
        str(tmp_path),
    ]
    assert benchmark.main(words) == 0
    record = json.loads((tmp_path / 'scaling.json').read_text())
    points = [p for p in record['points'] if p['network'] == 'container-full']
    assert [(p['sweep'], p['pixels']) for p in points] == [
        *(('area', side * side) for side in (64, 96, 128)),
        *(('batch', batch * 4096) for batch in (1, 2)),
    ]
    assert points[4]['saved_mb'] == pytest.approx(2 * points[3]['saved_mb'], rel=0.1)
    assert capsys.readouterr().out.count('| poolformer-s12 |') == 5
    assert (tmp_path / 'scaling.png').stat().st_size > 5000


def test_scaling_leaves_out_what_would_take_too_long(capsys, monkeypatch):
    monkeypatch.setattr(scaling, 'SIDES', (32, 48, 64))
    monkeypatch.setattr(scaling, 'BATCHES', (1,))
    assert benchmark.main(['--scale', 'poolformer-s12', '--seconds', '0', '--max-gb', '0.003']) == 0
    printed = capsys.readouterr()
    assert 'left out: poolformer-s12 from 1 x 64 x 64 on: about' in printed.out
    assert 'MB expected, the limit is 3 MB' in printed.err


def test_growth_is_taken_from_the_last_step():
    known = [dict(pixels=p, ms=p * p / 1e4, saved_mb=p / 10) for p in (100, 200)]
    assert scaling.beyond(known[:1], 400, scaling.Limits(0, 0)) is None
    assert scaling.beyond(known, 400, scaling.Limits(0.017, 41)) is None
    assert 'about 16 ms expected' in scaling.beyond(known, 400, scaling.Limits(0.015, 41))
    assert 'about 40 MB expected' in scaling.beyond(known, 400, scaling.Limits(0.017, 39))
