"""SMCA-DETR on a GPU, without one: placement and type rules, no results."""

import pytest
import torch

from tests.detectors.tiny import batch, build
from tests.pretended_gpu import CUDA, PretendedGPU


@pytest.mark.slow
def test_placement(monkeypatch):
    monkeypatch.setattr(torch.__future__, '_overwrite_module_params_on_conversion', True)
    model = build()
    with PretendedGPU() as gpu:
        model = model.to('cuda').train()
        data = batch(model, [(64, 96), (96, 70)], training=True)
        losses = model.loss(data['inputs'], data['data_samples'])
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        assert {p.grad.device for p in model.parameters() if p.grad is not None} == {CUDA}
        model.eval()
        for dtype in (torch.float16, torch.bfloat16):
            with gpu.autocast(dtype):
                (found, _) = model.predict(data['inputs'], data['data_samples'])
            assert found.pred_instances.bboxes.device == CUDA
