"""Names of weights wherever mmengine takes a checkpoint, without importing more than it takes."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint
from safetensors.torch import save_file
from torch import nn

from mmplugin.weights.fetch import cache_folder
from tests.compat.environments import run_python
from tests.weights.test_container import load as load_container
from tests.weights.test_container import released, training_file


@pytest.fixture(autouse=True)
def offline(own_cache, monkeypatch):
    monkeypatch.setenv('MMPLUGIN_OFFLINE', '1')


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.linear(inputs)


def put(name, content):
    cache_folder().mkdir(parents=True)
    torch.save(content, cache_folder() / name)


def test_container_light_is_found_once_put_there_by_hand(tmp_path):
    with pytest.raises(
        ValueError, match=r'github\.com/allenai/container.* and put it at '
    ) as error:
        load_container('mmplugin://container-light_in1k')
    assert str(cache_folder() / 'container_v1_light.pth') in str(error.value)
    assert '\n' not in str(error.value)
    put('container_v1_light.pth', training_file(released().state_dict()))
    model = load_container('mmplugin://container-light_in1k')
    assert torch.equal(model.norms['3'].weight, released().state_dict()['norm.weight'])


def test_a_name_without_published_weights_stands_for_a_file_of_the_users_own():
    name = 'mmplugin://container-light-paper_in1k'
    with pytest.raises(ValueError, match='no weights of this size were ever published') as error:
        load_container(name)
    line = str(error.value)
    assert f'put it at {cache_folder() / "container-light-paper_in1k.pth"}, or name it' in line
    put('container-light-paper_in1k.pth', training_file(released().state_dict()))
    model = load_container(name)
    assert torch.equal(model.norms['3'].weight, released().state_dict()['norm.weight'])


def test_load_from_takes_names(tmp_path):
    state = {'linear.weight': torch.eye(2), 'linear.bias': torch.ones(2)}
    put('fpn_poolformer-s12_ade20k.pth', {'state_dict': state, 'meta': {}})
    runner = Runner(
        Model(),
        work_dir=str(tmp_path / 'run'),
        load_from='mmplugin://fpn_poolformer-s12_ade20k',
        experiment_name='names',
    )
    runner.load_or_resume()
    assert torch.equal(runner.model.linear.weight, torch.eye(2))


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth.safetensors'])
def test_safetensors_files_load_anywhere(tmp_path, suffix):
    path = str(tmp_path / f'file{suffix}')
    save_file({'linear.weight': torch.eye(2), 'linear.bias': torch.ones(2)}, path)
    model = Model()
    load_checkpoint(model, path, map_location='cpu', strict=True)
    assert torch.equal(model.linear.weight, torch.eye(2))


@pytest.mark.parametrize(
    'code',
    [
        'import mmplugin; from mmengine.runner import checkpoint',
        'from mmengine.runner import checkpoint; import mmplugin',
    ],
)
def test_names_are_known_in_whatever_order_one_imports(code):
    heavy = {'mmdet', 'mmseg', 'timm', 'safetensors', 'huggingface_hub', 'filelock'}
    found = run_python(
        '-c',
        f'import sys; before = set(sys.modules)\n{code}\n'
        'print(sorted(p for p in checkpoint.CheckpointLoader._schemes if "mmplugin" in p),'
        f' sorted(({heavy!r} & sys.modules.keys()) - {{"filelock"}}))',
    )
    assert found.stdout == "['mmplugin://'] []\n", found.stderr
