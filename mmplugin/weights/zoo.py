"""The table of published weights: what there is, where it lies, and what it expects of an image.

One row is of weights that nobody has published: a name for a file of the user's own.

Sources: the READMEs, code and licences of sail-sg/poolformer and allenai/container, timm 1.0.31
(hub names, mean and std), the metafiles of mmpretrain 1.2.0 and mmsegmentation 1.2.2. The files
themselves were not opened. Nothing is guessed: a hash stands here only where its source gives it.
"""

import difflib
from dataclasses import dataclass, field

# of ImageNet, in the order R, G, B, for pixels from 0 to 255
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

GITHUB = 'https://github.com/sail-sg/poolformer/releases/download/v1.0'
HUB = 'https://huggingface.co/timm'
OPENMMLAB = 'https://download.openmmlab.com'
MIRROR = 'https://mmassets.onedl.ai'  # holds OpenMMLab's files, whose own host died in 2026


@dataclass(frozen=True)
class Source:
    """One place a file can be had from.

    Attributes:
        url: of the file.
        file: its name in the cache folder; for the authors' files that of torch.hub.
        sha256: all its digits or the first ones, where known. Default None.
    """

    url: str
    file: str
    sha256: str | None = None


@dataclass(frozen=True)
class Weights:
    """One row of the table.

    Attributes:
        name: as in ``mmplugin://NAME``.
        family: of the backbone, the name of its class.
        arch: argument of the class.
        task: ``'classifier'``, ``'detector'`` or ``'segmentor'``.
        sources: where to try, in this order; empty where no direct URL is known.
        page: where the authors show the file; empty where nobody has published one.
        file: what to call a file that was fetched, or made, by hand.
        licence: as its authors state it.
        accuracy: published figures in percent, by name; empty where there is no page.
        accuracy_source: who published them.
        mean, std: of each channel, as a config's ``data_preprocessor`` takes them.
        note: what else a user should know. Default ``''``.
    """

    name: str
    family: str
    arch: str
    task: str
    sources: tuple[Source, ...]
    page: str
    file: str
    licence: str
    accuracy: dict[str, float]
    accuracy_source: str
    note: str = ''
    mean: tuple[float, float, float] = field(default=MEAN)
    std: tuple[float, float, float] = field(default=STD)


POOLFORMER_PAGE = 'https://github.com/sail-sg/poolformer'
APACHE = 'Apache-2.0'


def _openmmlab(path: str, sha256: str) -> tuple[Source, ...]:
    """A file of OpenMMLab, at its mirror and at its own host; its name ends in its hash."""
    file = path.rsplit('/', 1)[1]
    return tuple(Source(f'{host}/{path}', file, sha256) for host in (MIRROR, OPENMMLAB))


def _classifier(arch: str, top1: float, digits: str) -> Weights:
    file, timm = f'poolformer_{arch}.pth.tar', f'poolformer_{arch}.sail_in1k'
    path = f'mmclassification/v0/poolformer/poolformer-{arch}_3rdparty_32xb128_in1k_20220414'
    return Weights(
        name=f'poolformer-{arch}_in1k',
        family='PoolFormer',
        arch=arch,
        task='classifier',
        sources=(
            Source(f'{GITHUB}/{file}', file),
            Source(f'{HUB}/{timm}/resolve/main/model.safetensors', f'{timm}.safetensors'),
            *_openmmlab(f'{path}-{digits}.pth', digits),
        ),
        page=f'{POOLFORMER_PAGE}/releases/tag/v1.0',
        file=file,
        licence=APACHE,
        accuracy={'top-1': top1},
        accuracy_source='official README',
        note="mirrors are timm's and mmpretrain's copies, in their layouts",
    )


def _by_hand(algorithm: str, arch: str, drive: str, accuracy: dict[str, float]) -> Weights:
    is_fpn = algorithm == 'fpn'
    task, folder = ('segmentor', 'segmentation') if is_fpn else ('detector', 'detection')
    data = 'ade20k' if is_fpn else 'coco'
    name = f'{algorithm}_poolformer-{arch}_{data}'
    return Weights(
        name=name,
        family='PoolFormer',
        arch=arch,
        task=task,
        sources=(),
        page=f'https://drive.google.com/file/d/{drive}',
        file=f'{name}.pth',
        licence=APACHE,
        accuracy=accuracy,
        accuracy_source=f'official {folder}/README',
        note='Google Drive only; an mmdet 2.x or mmseg 0.x file: convert it',
    )


def _segmentor(arch: str, stamp: str, miou: float) -> Weights:
    stem = f'fpn_poolformer_{arch}_8x4_512x512_40k_ade20k'
    path = f'mmsegmentation/v0.5/poolformer/{stem}/{stem}_{stamp}.pth'
    return Weights(
        name=f'fpn_poolformer-{arch}_ade20k-mmseg',
        family='PoolFormer',
        arch=arch,
        task='segmentor',
        sources=_openmmlab(path, stamp.rsplit('-', 1)[1]),
        page='https://github.com/open-mmlab/mmsegmentation/tree/main/configs/poolformer',
        file=path.rsplit('/', 1)[1],
        licence=APACHE,
        accuracy={'mIoU': miou},
        accuracy_source='mmsegmentation#2191, with aligned test sizes',
        note="mmsegmentation's own training; an mmseg 0.x file: convert it",
    )


TABLE: tuple[Weights, ...] = (
    _classifier('s12', 77.2, 'f8d83051'),
    _classifier('s24', 80.3, 'd7055904'),
    _classifier('s36', 81.4, 'd78ff3e8'),
    _classifier('m36', 82.1, 'c55e0949'),
    _classifier('m48', 82.5, '9378f3eb'),
    Weights(
        name='container-light_in1k',
        family='Container',
        arch='light',
        task='classifier',
        sources=(),
        page='https://github.com/allenai/container#model-zoo',
        file='container_v1_light.pth',
        licence='MIT (LICENSE file) or Apache-2.0 (README): the authors say both',
        accuracy={'top-1': 82.3, 'top-5': 96.2},
        accuracy_source='official README',
        note='Google Drive only, behind a page that asks for a click; mean and std are those of '
        'DeiT, whose training code it is made with',
    ),
    Weights(
        name='container-light-paper_in1k',
        family='Container',
        arch='light-paper',
        task='classifier',
        sources=(),
        page='',
        file='container-light-paper_in1k.pth',
        licence='',
        accuracy={},
        accuracy_source='',
        note='no weights of this size were ever published; pretrain a file of your own',
    ),
    _by_hand('retinanet', 's12', '1GKx4jbxdO4ClagPXXt7CoomrV4pOpqul', {'box AP': 36.2}),
    _by_hand('retinanet', 's24', '1EjsWpdopem-xeLndPQnQcHp8aoEUHQXR', {'box AP': 38.9}),
    _by_hand('retinanet', 's36', '1EgJDCg7LXXnHdGdJaHyEnoBPm-fNG2bt', {'box AP': 39.5}),
    _by_hand(
        'mask-rcnn', 's12', '1-GSkqaS3SovfCVDsH8CzS1DikPX3cFTY', {'box AP': 37.3, 'mask AP': 34.6}
    ),
    _by_hand(
        'mask-rcnn', 's24', '10Br62EU-VErQq6rP67sf4qXJIBLOnmLT', {'box AP': 40.1, 'mask AP': 37.0}
    ),
    _by_hand(
        'mask-rcnn', 's36', '1LyJxcO0fw2hwZg9Z--Zbjbw3W7U4JyqT', {'box AP': 41.0, 'mask AP': 37.7}
    ),
    _by_hand('fpn', 's12', '1BcqU1yU2IPkI7RtWEmIw-R8tqMGY_XBt', {'mIoU': 37.2}),
    _by_hand('fpn', 's24', '1DO329W8eDrfgycHi7YagFWz7IyAb07Wl', {'mIoU': 40.3}),
    _by_hand('fpn', 's36', '1Rd6XxBXLEYWH-70IMvF6UiVymaWA3gik', {'mIoU': 42.0}),
    _by_hand('fpn', 'm36', '1Xgk7FI3FpOW2__UQhnGf7UGUHA3UzTRq', {'mIoU': 42.4}),
    _by_hand('fpn', 'm48', '1KjeR_4Ue0QyslDimp3OYkRqeqNAwoAez', {'mIoU': 42.7}),
    _segmentor('s12', '20220501_115154-b5aa2f49', 37.07),
    _segmentor('s24', '20220503_222049-394a7cf7', 40.36),
    _segmentor('s36', '20220501_151122-b47e607d', 41.81),
    _segmentor('m36', '20220501_164230-3dc83921', 42.35),
    _segmentor('m48', '20220504_003923-64168d3b', 42.76),
)


def look_up(name: str) -> Weights:
    """The row of a name.

    Raises:
        ValueError: there is none; names the nearest.
    """
    rows = {row.name: row for row in TABLE}
    if name not in rows:
        near = difflib.get_close_matches(name, rows, n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else f'there are {", ".join(rows)}'
        raise ValueError(f'mmplugin has no published weights {name!r}; {hint}')
    return rows[name]
