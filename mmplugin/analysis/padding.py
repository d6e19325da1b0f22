"""What padding an image does to a backbone's features of the image itself."""

import torch
from torch import Tensor, nn


def normalised(path: str, side: int, preprocessor: nn.Module) -> Tensor:
    """A photo as the network takes it, its sides cut to multiples of 32.

    Args:
        path: of the photo.
        side: shorter side in pixels after resizing; at least 32.
        preprocessor: of the model: its mean, its standard deviation, its order of channels.

    Returns:
        (1, 3, H, W).

    Raises:
        ValueError: for a file that is no photo.
    """
    import cv2

    photo = cv2.imread(path)
    if photo is None:
        raise ValueError(f'{path} cannot be read as a photo')
    scale = side / min(photo.shape[:2])
    photo = cv2.resize(photo, None, fx=scale, fy=scale)
    height, width = (length // 32 * 32 for length in photo.shape[:2])
    image = torch.from_numpy(photo[:height, :width]).permute(2, 0, 1)
    return preprocessor(dict(inputs=[image]), False)['inputs']


@torch.no_grad()
def padding_effect(backbone: nn.Module, image: Tensor, shape: tuple[int, int]) -> list[dict]:
    """Features of an image alone against those of the same image padded.

    Args:
        backbone: in eval mode; its ``out_strides`` divide the sides of the image.
        image: (1, 3, H, W), normalised; padding is 0, as mmdet pads.
        shape: height and width to pad to, below and right.

    Returns:
        For each output its ``stride``, and root mean square differences over the root mean square
        of the features alone: ``whole`` over all cells of the image, ``far`` over those 4 cells
        and more from the padding (None where there are none).
    """
    height, width = image.shape[-2:]
    padded = nn.functional.pad(image, (0, shape[1] - width, 0, shape[0] - height))
    rows = []
    for stride, alone, other in zip(backbone.out_strides, backbone(image), backbone(padded)):
        other = other[..., : alone.shape[-2], : alone.shape[-1]]
        rows.append(dict(stride=stride, whole=relative(alone, other), far=None))
        cells = [
            length - 4 if full > side else length
            for length, side, full in zip(alone.shape[-2:], (height, width), shape)
        ]
        if min(cells) > 0:
            near = (..., slice(cells[0]), slice(cells[1]))
            rows[-1]['far'] = relative(alone[near], other[near])
    return rows


def relative(alone: Tensor, other: Tensor) -> float:
    """Root mean square of the difference over that of the first."""
    return ((other - alone).norm() / alone.norm()).item()
