"""The trainings of tools/zoo_check.py: every template with every backbone, composed and built."""

import json
from dataclasses import asdict

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmplugin.cli.config import import_framework
from mmplugin.demo import zoo, zoo_runs
from mmplugin.demo.stages import ROOT

BUDGET = zoo.Budget(iterations=8, batch=3, validations=2)
PAIRS = [(head, backbone) for head in zoo.HEADS for backbone in zoo.BACKBONES]


def test_every_template_is_in_the_table():
    templates = {path.name for path in (ROOT / 'configs/_base_').glob('*.py')}
    longer = {'mask-rcnn_fpn_ms-crop-3x_coco.py'}  # another schedule of a head that is there
    assert {head.template for head in zoo.HEADS} == templates - longer


@pytest.mark.parametrize(('head', 'backbone'), PAIRS, ids=lambda item: item.name)
def test_composes_and_builds(head, backbone, tmp_path):
    cfg = zoo.compose(head, backbone, BUDGET, seed=4, detector=None)
    (tmp_path / 'zoo.py').write_text(cfg.pretty_text)
    assert Config.fromfile(tmp_path / 'zoo.py').to_dict() == cfg.to_dict()
    assert 'Pretrained' not in str(cfg.model.to_dict())
    import_framework(cfg.default_scope, head.name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
    trunk = sum(p.numel() for p in model.backbone.parameters())
    rest = sum(p.numel() for p in model.parameters()) - trunk
    assert getattr(model, 'num_queries', 100) == 100
    assert rest < 1.1e7
    assert model.backbone.out_indices == head.stages
    assert all(p.requires_grad for p in model.backbone.parameters() if p.ndim > 1)
    classes = len(cfg.train_dataloader.dataset.metainfo.classes)
    named = {m.num_classes for m in model.modules() if hasattr(m, 'num_classes')}
    assert named - {1} == {classes} and classes in (6, 9)  # 1: of region proposals
    assert cfg.train_cfg.max_iters == 8 and cfg.train_cfg.val_interval == 4
    assert cfg.train_dataloader.batch_size == 3 and cfg.randomness.seed == 4
    assert 'mask-rcnn' in head.name or 'segm' not in str(cfg.val_evaluator)


def build_backbone(head, backbone, detector):
    cfg = zoo.compose(head, backbone, BUDGET, 0, detector)
    import_framework(cfg.default_scope, head.name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model.backbone)


@pytest.mark.parametrize('backbone', zoo.BACKBONES, ids=lambda item: item.name)
def test_starts_from_the_backbone_of_a_detector(backbone, tmp_path):
    """The weights arrive, in ours and in either framework's ResNet; transformers freeze them."""
    heads = {head.name: head for head in zoo.HEADS}
    file = tmp_path / 'detector.pth'
    saved = build_backbone(heads['mask-rcnn'], backbone, None).state_dict()
    saved = {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in saved.items()}
    torch.save({f'backbone.{key}': value for key, value in saved.items()}, file)
    for name in ('fpn', 'detr'):
        part = build_backbone(heads[name], backbone, str(file))
        part.init_weights()
        loaded = part.state_dict()
        assert len(loaded) > 30
        assert all(torch.equal(value, saved[key]) for key, value in loaded.items())
        trained = [n for n, p in part.named_parameters() if p.requires_grad]
        # output norms train in any case
        assert all(n.startswith('norms.') for n in trained) == (name == 'detr')


def run(value, seed=0, head='fpn', metric='mIoU', backbone='poolformer-s12'):
    return zoo_runs.Run(head, backbone, seed, metric, value, 0.1, 'x.pth')


def test_table_has_means_and_gaps():
    runs = [
        run(61.24),
        run(0.25, 0, 'detr', 'coco/bbox_mAP'),
        run(0.35, 1, 'detr', 'coco/bbox_mAP'),
    ]
    heads = [head for head in zoo.HEADS if head.name in ('detr', 'fpn')]
    assert zoo_runs.table(runs, heads, zoo.BACKBONES[:2]).splitlines() == [
        '| head | figure | poolformer-s12 | container-light |',
        '| --- | --- | --- | --- |',
        '| detr | box AP | 0.300 (0.250, 0.350) |  |',
        '| fpn | mIoU | 61.2 |  |',
    ]


def test_a_finished_training_is_kept_and_another_is_not(tmp_path, monkeypatch):
    class Started(Exception):
        pass

    def start(*_):
        raise Started

    monkeypatch.setattr(zoo_runs, 'run_child', start)
    monkeypatch.setenv('MMPLUGIN_DEMO_DATA', 'x')
    head, backbone = zoo.HEADS[-2], zoo.BACKBONES[0]
    with pytest.raises(Started):
        zoo_runs.train(head, backbone, BUDGET, 0, tmp_path, tmp_path)
    (tmp_path / 'result.json').write_text(json.dumps(asdict(run(50.0))))
    assert zoo_runs.train(head, backbone, BUDGET, 0, tmp_path, tmp_path) == run(50.0)
    with pytest.raises(Started):
        zoo_runs.train(head, backbone, BUDGET, 1, tmp_path, tmp_path)
    assert not (tmp_path / 'result.json').exists()
