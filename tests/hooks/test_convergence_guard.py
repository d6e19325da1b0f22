"""The guard in real runs of a tiny DETR: silent where all is well, one warning for each fault."""

import copy
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from mmplugin.hooks import ConvergenceGuard
from mmplugin.hooks.convergence_guard import all_background
from tests.detectors.test_padding import ALGORITHMS, detector
from tests.detectors.tiny import SMCA, batch, build

BN = dict(
    type='mmplugin.Container',
    arch=dict(depths=(1, 1, 1, 1), embed_dims=(4, 6, 8, 10), num_heads=(1, 1, 1, 2)),
    out_indices=(3,),
)


class Images(Dataset):
    """Eight samples as a pipeline packs them."""

    metainfo = dict(classes=('a', 'b', 'c'))

    def __init__(self):
        packed = batch_of(build(), [(64, 64)] * 8)
        self.items = list(zip(packed['inputs'], packed['data_samples']))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        image, sample = self.items[index]
        return dict(inputs=image, data_samples=copy.deepcopy(sample))


def batch_of(model, shapes):
    data = batch(model, shapes, training=True)
    return dict(inputs=data['inputs'].byte(), data_samples=data['data_samples'])


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A checkpoint of the whole tiny detector, and one with nothing for it."""
    folder = tmp_path_factory.mktemp('weights')
    torch.save(build().state_dict(), folder / 'detector.pth')
    torch.save(build().backbone.state_dict(), folder / 'backbone.pth')
    torch.save({'head.weight': torch.zeros(3)}, folder / 'empty.pth')
    return folder


@pytest.fixture
def train(tmp_path, weights):
    """Train two iterations and return the guard's warnings."""

    def run(model=None, guard=None, clip=True, lr_mult=0.1, size=8, **runner):
        config = copy.deepcopy({**SMCA, **(model or {})})
        if model is None:
            path = str(weights / 'backbone.pth')
            config['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=path)
        torch.manual_seed(0)
        options = dict(auto_scale_lr=dict(base_batch_size=8), **runner)
        made = Runner(
            model=config,
            work_dir=str(tmp_path),
            train_dataloader=DataLoader(Images(), batch_size=size, collate_fn=collate),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
            optim_wrapper=dict(
                optimizer=dict(type='AdamW', lr=1e-4),
                clip_grad=dict(max_norm=0.1) if clip else None,
                paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=lr_mult))),
            ),
            custom_hooks=[dict(type='mmplugin.ConvergenceGuard', **(guard or {}))],
            default_scope='mmdet',
            experiment_name=f'{tmp_path.name}-{len(list(tmp_path.iterdir()))}',
            **options,
        )
        lines = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        MMLogger.get_current_instance().addHandler(handler)
        made.train()
        return [line for line in lines if line.startswith('ConvergenceGuard: ')]

    return run


def collate(items):
    return {key: [item[key] for item in items] for key in items[0]}


def only(lines, words):
    assert len(lines) == 1 and words in lines[0], lines


def test_a_sound_run_is_silent(train):
    assert train(guard=dict(collapse_iters=0)) == []


def test_a_whole_detector_loaded_is_sound(train, weights):
    assert train(model=SMCA, load_from=str(weights / 'detector.pth')) == []


def test_a_backbone_from_scratch(train):
    only(train(model=SMCA), 'the backbone starts from random weights: its init_cfg names no file')


def test_a_checkpoint_without_the_backbone(train, weights):
    only(train(model=SMCA, load_from=str(weights / 'empty.pth')), 'random weights')


def test_a_file_that_gives_no_weight(train, weights):
    path = str(weights / 'empty.pth')
    backbone = dict(
        type='ResNet', depth=18, base_channels=4, out_indices=(3,), norm_eval=True, frozen_stages=4
    )
    backbone['init_cfg'] = dict(type='Pretrained', checkpoint=path)
    neck = dict(SMCA['neck'], in_channels=[32])
    only(train(model=dict(backbone=backbone, neck=neck)), f'{path} gave it no weight')


def test_batch_norms_that_train(train):
    guard = dict(batch_factor=4)
    lines = train(model=dict(backbone=BN), guard=guard, size=2)
    only(lines[1:], 'batch norms of the backbone train on 2 images')
    frozen = dict(BN, norm_eval=True, norm_frozen=True)
    only(train(model=dict(backbone=frozen), guard=guard, size=2), 'random weights')


def test_a_backbone_that_learns_as_fast_as_the_rest(train):
    only(train(lr_mult=1.0), 'the backbone learns at 0.0001, the rest at 0.0001')


def test_gradients_that_are_not_clipped(train):
    only(train(clip=False), 'gradients are not clipped')


def test_a_batch_far_from_that_of_the_learning_rate(train):
    only(train(size=2), 'the batch has 2 images, the learning rate is for 8')
    assert train(size=4) == []


def test_scores_that_collapsed_to_background(train):
    only(train(guard=dict(collapse_iters=2, min_score=1.0)), 'after 2 iterations every query')
    assert len(train(guard=dict(collapse_iters=1, min_score=1.0))) == 2
    assert train(guard=dict(collapse_iters=1, min_score=0.0)) == []


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_scores_of_every_algorithm_are_read(algorithm):
    model = detector(algorithm, 'poolformer-s24')
    data = batch_of(model, [(64, 64)])
    if model.bbox_head.loss_cls.use_sigmoid:
        assert all_background(model, copy.deepcopy(data), 1.0)
    assert not all_background(model, data, 0.0)


def test_softmax_collapse_is_background_for_every_query():
    head = dict(SMCA['bbox_head'], loss_cls=dict(type='CrossEntropyLoss', class_weight=1.0))
    model = build(bbox_head=head).train()
    data = batch_of(model, [(64, 64)])
    for bias, expected in ((20.0, True), (-20.0, False)):
        model.bbox_head.fc_cls.bias.data[-1] = bias
        assert all_background(model, copy.deepcopy(data), 0.1) is expected
        assert model.training


@pytest.mark.parametrize('name', ['bn_images', 'collapse_iters', 'batch_factor'])
def test_errors(name):
    with pytest.raises(ValueError, match=f'ConvergenceGuard: {name} must be'):
        ConvergenceGuard(**{name: -1})
