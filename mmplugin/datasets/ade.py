"""The semantic data set in ADE20K's layout.

::

    images/{training,validation}/*.jpg   annotations/{training,validation}/*.png
"""

from pathlib import Path

import numpy as np

from mmplugin.datasets.coco import check_request, save_image
from mmplugin.datasets.folder import source_digest, write_folder
from mmplugin.datasets.landscape import draw_landscape

# apart from the streams of the instance set, so that one seed serves both
_STREAMS = {'training': 2, 'validation': 3}


def write_ade(out: str | Path, seed: int = 0, train: int = 400, val: int = 60) -> bool:
    """Write the data set below ``out``.

    Label 0 is "other", to be ignored with ``reduce_zero_label=True``; 1..K are
    ``landscape.CLASSES`` in order. Pictures are JPEG as in ADE20K, label maps one-channel PNG. The
    two splits draw from separate random streams, and each picture from its own.

    Args:
        out: The folder to make.
        seed: Of both splits, 0 or more. Default: 0.
        train: Pictures in ``training``, at least ``coco.MIN_IMAGES``. Default: 400.
        val: Held-out pictures in ``validation``, at least ``coco.MIN_IMAGES``. Default: 60.

    Returns:
        True when written, False when an intact copy was there.

    Raises:
        ValueError: For a negative seed or too few pictures.
        FileExistsError: When ``out`` holds anything else, see ``folder.write_folder``.
    """
    counts = {'training': train, 'validation': val}
    check_request(seed, counts)
    spec = {'set': 'ade', 'source': source_digest(), 'seed': seed, **counts}

    def fill(folder: Path) -> None:
        for split, count in counts.items():
            images, annotations = folder / 'images' / split, folder / 'annotations' / split
            images.mkdir(parents=True)
            annotations.mkdir(parents=True)
            for index in range(count):
                rng = np.random.default_rng([seed, _STREAMS[split], index])
                picture, labels = draw_landscape(rng)
                save_image(images / f'{index:06d}.jpg', picture)
                save_image(annotations / f'{index:06d}.png', labels)

    return write_folder(out, spec, fill)
