"""The published namings, as listed in golden/, against the networks and our maps both ways."""

import math

import pytest
import timm
import torch
from mmengine.registry import MODELS

from mmplugin.weights.families import FAMILIES, recognise
from tests.families import variants
from tests.reference.container import ReleasedContainer
from tests.reference.poolformer import OfficialPoolFormer
from tests.weights.golden import GOLDEN, cases, shapes_of

CASES = cases()


def shapes(module):
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def backbone(family, arch):
    with torch.device('meta'):
        return MODELS.build(dict(type=f'mmplugin.{family}', arch=arch))


def test_every_target_of_every_family_has_a_golden_list():
    assert {f.name: {t.name for t in f.targets} for f in FAMILIES} == {
        family: set(golden['layouts']) for family, golden in GOLDEN.items()
    }


def test_every_published_variant_has_one():
    listed = {(family, v) for family, golden in GOLDEN.items() for v in golden['variants']}
    unpublished = {('Container', v) for v in ('light-paper', 'full', 'pam', 'mh-mlp', 'dw')}
    assert listed == set(variants()) - unpublished


@pytest.mark.parametrize(('family', 'layout', 'form', 'variant'), CASES)
def test_counts_are_the_published_ones(family, layout, form, variant):
    tensors, elements = GOLDEN[family]['variants'][variant][form]
    found = shapes_of(family, layout, form, variant)
    assert len(found) == tensors
    assert sum(map(math.prod, found.values())) == elements


@pytest.mark.parametrize('variant', GOLDEN['PoolFormer']['variants'])
def test_timm_names_its_tensors_so(variant):
    with torch.device('meta'):
        model = timm.create_model(f'poolformer_{variant}')
    assert shapes(model) == shapes_of('PoolFormer', 'timm', 'classifier', variant)


@pytest.mark.parametrize('form', ['classifier', 'dense'])
@pytest.mark.parametrize('variant', GOLDEN['PoolFormer']['variants'])
def test_official_poolformer_names_its_tensors_so(variant, form):
    sizes = GOLDEN['PoolFormer']['variants'][variant]
    with torch.device('meta'):
        model = OfficialPoolFormer(
            sizes['depths'], sizes['dims'], num_classes=1000 if form == 'classifier' else None
        )
    assert shapes(model) == shapes_of('PoolFormer', 'official', form, variant)


def test_official_container_names_its_tensors_so():
    with torch.device('meta'):
        model = ReleasedContainer(num_classes=1000)
    assert shapes(model) == shapes_of('Container', 'official', 'classifier', 'light')


@pytest.mark.parametrize(('family', 'layout', 'form', 'variant'), CASES)
def test_is_read_as_our_network(family, layout, form, variant):
    """Every tensor of the file has one place in ours, of its shape, and every place is filled."""
    theirs = shapes_of(family, layout, form, variant)
    inside = {key.removeprefix('backbone.'): shape for key, shape in theirs.items()}
    found, known = recognise(inside)
    assert found.name == family
    renamed = known.rename(inside)
    ours = {renamed[key]: shape for key, shape in inside.items()}
    assert len(ours) == len(theirs)
    expected = shapes(backbone(family, variant))
    if form == 'classifier':
        ours = {key: shape for key, shape in ours.items() if not key.startswith('head.')}
        if family == 'PoolFormer':
            expected = {k: shape for k, shape in expected.items() if not k.startswith('norms.')}
    assert ours == expected


@pytest.mark.parametrize(('family', 'layout', 'form', 'variant'), CASES)
def test_is_written_from_ours(family, layout, form, variant):
    target = next(t for f in FAMILIES if f.name == family for t in f.targets if t.name == layout)
    ours = shapes_of(family, 'mmplugin', form, variant)
    places = target.places(ours)
    assert {places[key]: shape for key, shape in ours.items()} == shapes_of(
        family, layout, form, variant
    )
