"""One forward pass of a detector or segmentor for counting, by the conventions of the field."""

from collections.abc import Callable

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

PROPOSALS = 1000
"""Regions that reach the box head of a two-stage detector."""
MASKS = 100
"""The first of them, which alone reach a mask head, as in the counts of mmdet: of all images."""


def forward_pass(model: nn.Module, shape: tuple[int, int], batch: int = 1) -> Callable[[], object]:
    """What to call to run a model once on random images, on its device.

    A two-stage detector gets ``PROPOSALS`` fixed regions instead of those its untrained RPN would
    find, so that the count does not depend on chance.

    Args:
        model: mmdet detector or mmseg segmentor, in eval mode.
        shape: height and width of the images in pixels, taken as they are (no padding).
        batch: number of images. Default 1.
    """
    images = torch.randn(batch, 3, *shape, device=next(model.parameters()).device)
    sample = BaseDataElement(
        metainfo=dict(
            img_shape=shape,
            pad_shape=shape,
            ori_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1.0, 1.0),
        )
    )
    if getattr(model, 'with_rpn', False):
        fix_proposals(model.rpn_head, shape)
        if type(model.roi_head).__name__ == 'CascadeRoIHead':
            limit_masks(model.roi_head)
    return lambda: model(images, [sample] * batch, mode='tensor')


def fix_proposals(rpn_head: nn.Module, shape: tuple[int, int]) -> None:
    """Let an RPN run its network and answer with fixed regions spread over image and sizes."""
    bboxes = proposals(shape)

    def predict(feats, batch_data_samples, rescale=False):
        rpn_head(feats)
        return [InstanceData(bboxes=bboxes.to(feats[0].device)) for _ in batch_data_samples]

    rpn_head.predict = predict


def limit_masks(roi_head: nn.Module) -> None:
    """Let a cascade take ``MASKS`` regions to its mask heads, as mmdet 2.x counted.

    In mmdet 3.x its forward takes all of them there, that of the plain RoI head does not.
    """

    def forward(feats, rpn_results_list, batch_data_samples):
        metas = [sample.metainfo for sample in batch_data_samples]
        bboxes = [results.bboxes for results in rpn_results_list]
        rois = torch.cat([nn.functional.pad(b, (1, 0), value=i) for i, b in enumerate(bboxes)])
        refined, *_ = roi_head._refine_roi(feats, rois, metas, tuple(map(len, bboxes)))
        if roi_head.with_mask:
            for stage in range(roi_head.num_stages):
                roi_head._mask_forward(stage, feats, refined[0][:MASKS])

    roi_head.forward = forward


def proposals(shape: tuple[int, int]) -> Tensor:
    """``PROPOSALS`` x 4 corners (x1, y1, x2, y2) in pixels, the same for every call."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([shape[1], shape[0]] * 2, dtype=torch.float32)
    corners = torch.rand(PROPOSALS, 2, 2, generator=generator).sort(dim=1).values
    return corners.flatten(1) * sizes
