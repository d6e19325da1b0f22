"""A batch that no data set is needed for: seeded images, with objects for a detector or classes
for a segmentor."""

import copy

import torch
from mmengine.structures import InstanceData, PixelData

OBJECTS = 8
"""In every image; the mean of COCO is 7."""


def make_batch(scope: str, shape: tuple[int, int], batch: int) -> dict:
    """What a data loader hands to ``train_step``; the same for the same arguments.

    Args:
        scope: ``'mmdet'`` or ``'mmseg'``.
        shape: height and width of the images in pixels.
        batch: number of images.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *shape), generator=generator, dtype=torch.uint8)
    label = detection_sample if scope == 'mmdet' else segmentation_sample
    return dict(inputs=list(images), data_samples=[label(shape, generator) for _ in range(batch)])


def detection_sample(shape: tuple[int, int], generator: torch.Generator):
    """``OBJECTS`` boxes from a sixteenth to a half of the image a side, masks that fill them, all
    of class 0."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    size = torch.tensor(shape[::-1], dtype=torch.float32)
    extent = size * (1 + 7 * torch.rand(OBJECTS, 2, generator=generator)) / 16
    corner = (size - extent) * torch.rand(OBJECTS, 2, generator=generator)
    boxes = torch.cat([corner, corner + extent], dim=1)
    masks = torch.zeros(OBJECTS, *shape, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top : bottom + 1, left : right + 1] = 1
    sample = DetDataSample(metainfo=metainfo(shape))
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=torch.zeros(OBJECTS, dtype=torch.long),
        masks=BitmapMasks(masks.numpy(), *shape),
    )
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    return sample


def segmentation_sample(shape: tuple[int, int], generator: torch.Generator):
    """Class 0 or 1 in every pixel, at random."""
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo=metainfo(shape))
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, *shape), generator=generator))
    return sample


def metainfo(shape: tuple[int, int]) -> dict:
    return dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), img_path='')


def fresh(data: dict) -> dict:
    """The batch with samples of its own: models write into them."""
    return dict(data, data_samples=copy.deepcopy(data['data_samples']))
