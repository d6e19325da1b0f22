"""Which of the weights in a training file are taken, the same for init_cfg and the tools."""

import pytest
import torch

from mmplugin.weights.contents import read
from mmplugin.weights.loading import read_state_dict
from mmplugin.weights.unwrapping import unwrap
from tests.tools.conftest import error_line
from tests.weights.test_loading import load, official, saved
from tools.weights import main


def state(number):
    return {'a.b': torch.tensor(float(number))}


TAKEN = {
    'bare': (state(1) | {'net': state(2)}, ()),
    'known before unknown': ({'net': state(0), 'student': state(1)}, ('student',)),
    'in the order of the known': ({'teacher': state(0), 'model': state(1)}, ('model',)),
    'a known name without weights': ({'state_dict': {}, 'model': state(1)}, ('model',)),
    'the only one': ({'net': state(1), 'args': {'lr': 0.1}, 3: state(0)}, ('net',)),
    'two deep': ({'model': {'ema': state(1), 'step': 3}}, ('model', 'ema')),
    'known in unknown': ({'run': {'x': state(0), 'model': state(1)}}, ('run', 'model')),
}
SEVERAL = {
    'side by side': ({'net': state(1), 'ema': state(1), 'epoch': 3}, 'net, ema'),
    'inside': ({'model': {'net': state(1), 'ema': state(1)}}, 'model.net, model.ema'),
    'at two depths': ({'net': state(1), 'run': {'model': state(1)}}, 'net, run.model'),
}


@pytest.mark.parametrize('content, path', TAKEN.values(), ids=TAKEN)
def test_taken(tmp_path, content, path):
    assert unwrap('file', content).path == path
    source = saved(tmp_path, content)
    assert read(source).tensors['a.b'] == read_state_dict(source)[0]['a.b'] == 1


@pytest.mark.parametrize('reader', [read, read_state_dict])
@pytest.mark.parametrize('content, names', SEVERAL.values(), ids=SEVERAL)
def test_of_several_unknown_none_is_taken(tmp_path, content, names, reader):
    source = saved(tmp_path, content)
    with pytest.raises(ValueError, match=rf'holds several sets of weights, {names}; .*--wrapper'):
        reader(source)


def test_the_user_chooses(tmp_path):
    for content, names in SEVERAL.values():
        for name in names.split(', '):
            found = unwrap('file', content, wrapper=name)
            assert '.'.join(found.path) == name and name not in found.others
    found = unwrap('file', {'net': state(1), 'ema': state(2), 'epoch': 3}, wrapper='ema')
    assert (found.weights, found.others, found.beside) == (state(2), ('net',), ('epoch',))
    with pytest.raises(ValueError, match="no weights under 'emma'; it has net, ema"):
        unwrap('file', SEVERAL['side by side'][0], wrapper='emma')


def test_several_in_init_cfg_and_on_the_command_line(tmp_path, capsys):
    mine = official().state_dict()
    source = saved(tmp_path, {'net': mine, 'ema': {k: v + 1 for k, v in mine.items()}})
    with pytest.raises(ValueError, match='holds several sets of weights, net, ema; choose with'):
        load(source)
    out = str(tmp_path / 'out.pth')
    for words in (['inspect', source], ['convert', source, out], ['diff', source, source]):
        assert main(words) == 1
        assert 'holds several sets of weights, net, ema; choose with --wr' in error_line(capsys)
    assert main(['convert', source, out, '--wrapper', 'net']) == 0
    assert torch.equal(load(out).stem.conv.weight, mine['patch_embed.proj.weight'])


def test_a_mapping_that_holds_itself(tmp_path):
    content = {'epoch': 3}
    content['model'] = content
    with pytest.raises(ValueError, match='holds no weights; it has epoch, model'):
        load(saved(tmp_path, content))


def test_a_file_without_tensors(tmp_path):
    from safetensors.torch import save_file

    save_file({}, tmp_path / 'empty.safetensors')
    assert read(str(tmp_path / 'empty.safetensors')).tensors == {}
    with pytest.raises(ValueError, match="holds no 'ema'; a safetensors file is tensors alone"):
        read(str(tmp_path / 'empty.safetensors'), wrapper='ema')
    with pytest.raises(ValueError, match='holds no weights'):
        load(str(tmp_path / 'empty.safetensors'))
