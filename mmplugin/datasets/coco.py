"""The instance data set in COCO's layout.

::

    annotations/instances_{train,val}.json   train/*.png   val/*.png
"""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

from mmplugin.datasets.folder import source_digest, write_folder
from mmplugin.datasets.scene import Scene, Thing, draw_scene, kind_of
from mmplugin.datasets.shapes import SHAPES

MIN_IMAGES = 5
"""Pictures per split needed to show every kind of scene."""

_STREAMS = {'train': 0, 'val': 1}


def write_coco(out: str | Path, seed: int = 0, train: int = 400, val: int = 60) -> bool:
    """Write the data set below ``out``.

    The classes are ``shapes.SHAPES`` in order, with category ids from 1. Masks are what is visible:
    polygons where they give the mask back to the pixel, otherwise (holes) RLE; crowds are always
    RLE. The two splits draw from separate random streams, and each picture from its own, so more
    pictures leave the earlier ones as they are.

    Args:
        out: The folder to make.
        seed: Of both splits, 0 or more. Default: 0.
        train: Pictures to learn from, at least ``MIN_IMAGES``. Default: 400.
        val: Held-out pictures, at least ``MIN_IMAGES``. Default: 60.

    Returns:
        True when written, False when an intact copy was there.

    Raises:
        ValueError: For a negative seed or too few pictures.
        FileExistsError: When ``out`` holds anything else, see ``folder.write_folder``.
    """
    counts = {'train': train, 'val': val}
    check_request(seed, counts)
    spec = {'set': 'coco', 'source': source_digest(), 'seed': seed, **counts}

    def fill(folder: Path) -> None:
        for split, count in counts.items():
            _write_split(folder, split, seed, count)

    return write_folder(out, spec, fill)


def check_request(seed: int, counts: dict[str, int]) -> None:
    """Refuse, with a ValueError, a negative seed and splits too small to show everything."""
    if seed < 0:
        raise ValueError(f'seed must be 0 or more, got {seed}')
    for split, count in counts.items():
        if count < MIN_IMAGES:
            raise ValueError(
                f'{split} must have at least {MIN_IMAGES} pictures, so that every kind of scene '
                f'occurs; got {count}'
            )


def save_image(path: Path, picture: np.ndarray) -> None:
    """Write RGB ``(H, W, 3)`` or one-channel ``(H, W)`` uint8; the suffix names the format."""
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    if not cv2.imwrite(str(path), stored):
        raise OSError(f'cannot write {path}')


def segmentation(mask: np.ndarray, crowd: bool = False) -> list | dict:
    """COCO's ``segmentation`` value of a ``(H, W)`` bool mask, equal to it to the pixel."""
    if not crowd:
        polygons = _pixel_edge_polygons(mask)
        if np.array_equal(_rasterise(polygons, mask.shape), mask):
            return polygons
    # uncompressed RLE, as in COCO's own files: run lengths down the columns, background first
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {'counts': [0, *runs] if flat[0] else runs, 'size': list(mask.shape)}


def _pixel_edge_polygons(mask: np.ndarray) -> list[list[int]]:
    """Outer outlines along pixel edges, ``[x0, y0, x1, y1, ...]`` each; holes are left out."""
    # At twice the size the left and right edge of a pixel lie on different pixels, and
    # (position + 1) // 2 turns both into the edge's own coordinate.
    doubled = np.kron(mask.astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour[:, 0] + 1) // 2).ravel().tolist() for contour in contours]


def _rasterise(polygons: list[list[int]], size: tuple[int, int]) -> np.ndarray:
    return rle.decode(rle.merge(rle.frPyObjects(polygons, *size))).astype(bool)


def _write_split(folder: Path, split: str, seed: int, count: int) -> None:
    images, annotations = [], []
    (folder / split).mkdir()
    for index in range(count):
        rng = np.random.default_rng([seed, _STREAMS[split], index])
        scene = draw_scene(rng, kind_of(index))
        name = f'{index:06d}.png'
        save_image(folder / split / name, scene.picture)
        images.append(_image_record(index, name, scene))
        for thing in scene.things:
            annotations.append(_annotation(len(annotations) + 1, index, thing))
    record = {
        'info': {'description': f'mmplugin generated shapes, {split}, seed {seed}'},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': [
            {'id': label + 1, 'name': name, 'supercategory': 'shape'}
            for label, name in enumerate(SHAPES)
        ],
    }
    path = folder / 'annotations' / f'instances_{split}.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record), encoding='utf-8')


def _image_record(index: int, name: str, scene: Scene) -> dict:
    height, width = scene.picture.shape[:2]
    return {'id': index, 'file_name': name, 'height': height, 'width': width}


def _annotation(number: int, image_id: int, thing: Thing) -> dict:
    x, y, width, height = cv2.boundingRect(thing.mask.astype(np.uint8))
    return {
        'id': number,
        'image_id': image_id,
        'category_id': thing.label + 1,
        'bbox': [x, y, width, height],
        'area': int(thing.mask.sum()),
        'iscrowd': int(thing.crowd),
        'segmentation': segmentation(thing.mask, thing.crowd),
    }
