"""Padding: the masks mark it exactly, and what lies there changes no prediction."""

import copy

import pytest
import torch

from tests.configs.test_configs import ROOT, build, read, shrink
from tests.detectors.tiny import batch

ALGORITHMS = [
    'detr_{}_8xb2-50e',
    'smca-detr_{}_8xb2-50e',
    'conditional-detr_{}_8xb2-50e',
    'dab-detr_{}_8xb2-50e',
    'deformable-detr-1scale_{}_8xb4-50e',
    'deformable-detr_{}_8xb4-50e',
    'dino-4scale_{}_8xb2-12e',
]
SHAPES = [(64, 96), (33, 96), (64, 31), (32, 65), (1, 1)]
"""Heights and widths of one batch: as large as it is padded to, with padding below, right, both."""


def detector(algorithm, backbone):
    family = backbone.partition('-')[0]
    path = ROOT / f'configs/{family}/{algorithm.format(backbone)}_coco.py'
    torch.manual_seed(0)
    model = build(shrink(copy.deepcopy(read(path))), device='cpu').eval()
    model.init_weights()
    for name, parameter in model.named_parameters():
        if 'reg' in name and not parameter.any():  # else boxes do not depend on the features
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize('backbone', ['poolformer-s24', 'container-light'])
@pytest.mark.parametrize('algorithm', ALGORITHMS[:2])
def test_the_mask_marks_exactly_the_padded_cells(algorithm, backbone):
    model = detector(algorithm, backbone)
    data = batch(model, SHAPES)
    assert data['inputs'].shape[-2:] == (64, 96)
    feats = model.extract_feat(data['inputs'])
    assert feats[-1].shape[-2:] == (2, 3)
    encoder, decoder = model.pre_transformer(feats, data['data_samples'])
    for mask in (encoder['feat_mask'], decoder['memory_mask']):
        for cells, (height, width) in zip(mask.view(-1, 2, 3), SHAPES):
            for y in range(2):
                for x in range(3):
                    assert cells[y, x] == (32 * y >= height or 32 * x >= width)


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_features_of_padded_cells_change_no_prediction(algorithm):
    model = detector(algorithm, 'poolformer-s24')
    data = batch(model, [(40, 50), (128, 192)])
    samples = data['data_samples']
    with torch.no_grad():
        feats = model.extract_feat(data['inputs'])
        mask = model.pre_transformer(feats, samples)[0]['feat_mask']

        def predict(changed):
            parts = mask.split([feat[0, 0].numel() for feat in feats], dim=1)
            others = [
                torch.where(
                    (part if changed == 'padding' else ~part).view(len(feat), 1, *feat.shape[-2:]),
                    100 * torch.randn_like(feat),
                    feat,
                )
                for part, feat in zip(parts, feats)
            ]
            inputs = model.forward_transformer(others if changed else feats, samples)
            results = model.bbox_head.predict(**inputs, batch_data_samples=samples)
            return torch.cat([torch.cat([r.bboxes, r.scores[:, None]], 1) for r in results])

        expected = predict(changed=None)
        assert mask[0].any() and not mask[1].any()
        assert torch.equal(predict(changed='padding'), expected)
        assert not torch.allclose(predict(changed='image'), expected)
