"""The zoo's metafiles: an entry for every leaf config, complete."""

from pathlib import Path

import pytest
import yaml

from tests.tools.conftest import REPOSITORY
from tools.make_readme import COLUMNS, load_models

MODELS = load_models()
FAMILIES = [p for p in (REPOSITORY / 'configs').iterdir() if p.name not in ('_base_', 'demo')]
MORE_METRICS = {'box APs', 'box APm', 'box APl'}
DATA = {'coco': ('COCO', [800, 1280]), 'ade20k-512x512': ('ADE20K', [512, 512])}

each_model = pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])


def test_every_leaf_has_one_entry_and_every_entry_its_leaf():
    leaves = [p.relative_to(REPOSITORY).as_posix() for d in FAMILIES for p in d.glob('*.py')]
    assert sorted(leaves) == sorted(model['Config'] for model in MODELS)


def test_every_family_is_in_the_index_and_has_a_readme():
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
    assert sorted(index['Import']) == sorted(f'configs/{d.name}/metafile.yml' for d in FAMILIES)
    for path in index['Import']:
        collections = yaml.safe_load((REPOSITORY / path).read_text())['Collections']
        for collection in collections:
            assert (REPOSITORY / collection['README']).is_file()
            assert collection['Paper']['URL'].startswith('https://')
            assert collection['Code']['URL'].startswith('https://')


@each_model
def test_says_what_its_config_is_named_for(model):
    """And its size at the height and width at which the field counts such a model."""
    data = model['Metadata']
    assert Path(model['Config']).stem == model['Name']
    dataset, shape = DATA[model['Name'].rpartition('_')[2]]
    assert (data['Training Data'], data['Shape']) == (dataset, shape)
    assert data['Backbone'] and data['Pretraining'] == 'ImageNet-1K'
    assert data['Pretrained Weights'].startswith('mmplugin://')
    assert data['Parameters (M)'] > 10 and data['MACs (G)'] > 10


@each_model
def test_has_a_result_for_every_task(model):
    tasks = ['Object Detection', 'Instance Segmentation'][: 1 + ('mask-rcnn' in model['Name'])]
    if model['Metadata']['Training Data'] == 'ADE20K':
        tasks = ['Semantic Segmentation']
    assert [result['Task'] for result in model['Results']] == tasks


@each_model
def test_published_figures_have_a_source(model):
    for result in model['Results']:
        assert result['Dataset'] == model['Metadata']['Training Data']
        assert set(result['Metrics']) <= {*COLUMNS[result['Task']], *MORE_METRICS}
        assert bool(result.get('Source')) == bool(result['Metrics'])
    if 'Published Parameters (M)' in model['Metadata']:
        assert model['Results'][0]['Source']
