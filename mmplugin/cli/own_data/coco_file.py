"""One annotation file in COCO's format, checked for what training and evaluation need of it."""

import reprlib
from collections import Counter
from functools import cached_property
from pathlib import Path

from mmplugin.cli.errors import UserError
from mmplugin.cli.own_data.coco_layout import Place
from mmplugin.cli.own_data.coco_records import mask_fault, read_records


class CocoFile:
    """An annotation file and the folder of its images.

    Args:
        place: the file and the folders to look for images in.

    Attributes:
        path: the annotation file.
        folder: where its images are.
        images, annotations, categories: its records.

    Raises:
        UserError: for a file that is not in COCO's format, contradicts itself, or lists images that
            are not there.
    """

    def __init__(self, place: Place) -> None:
        self.path = place.annotations
        content = read_records(self.path)
        self.images: list[dict] = content['images']
        self.annotations: list[dict] = content['annotations']
        self.categories: list[dict] = content['categories']
        self._check()
        self.folder = self._find_images(place.folders)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories, in the order of the file."""
        return tuple(category['name'] for category in self.categories)

    @cached_property
    def objects(self) -> list[dict]:
        """Annotations that are no crowds."""
        return [note for note in self.annotations if not note['iscrowd']]

    @property
    def boxes_per_class(self) -> list[int]:
        """Objects of each class."""
        counts = Counter(note['category_id'] for note in self.objects)
        return [counts[category['id']] for category in self.categories]

    @property
    def sizes(self) -> Counter:
        """{(width, height): images}."""
        return Counter((image['width'], image['height']) for image in self.images)

    @property
    def empty_images(self) -> int:
        """Images without any annotation."""
        return len(self.images) - len({note['image_id'] for note in self.annotations})

    def misplaced(self) -> tuple[int, int]:
        """How many boxes reach over the edge of their image by more than a pixel, and how many have
        no pixel inside it or are thinner than one, which mmdet leaves out."""
        sizes = {image['id']: (image['width'], image['height']) for image in self.images}
        over = lost = 0
        for note in self.annotations:
            x, y, width, height = note['bbox']
            right, bottom = sizes[note['image_id']]
            inside = min(x + width, right) > max(x, 0) and min(y + height, bottom) > max(y, 0)
            if not inside or width < 1 or height < 1:
                lost += 1
            elif min(x, y) < -1 or x + width > right + 1 or y + height > bottom + 1:
                over += 1
        return over, lost

    def check_masks(self) -> None:
        """Look at every segmentation.

        Raises:
            UserError: for the first that is missing or that mmdet or COCO's evaluation cannot read.
        """
        if lacking := [note for note in self.annotations if not note.get('segmentation')]:
            total = len(self.annotations)
            some = f'{len(lacking)} of {total} objects without a mask'
            what = 'boxes only' if len(lacking) == total else some
            raise UserError(
                f'{self.path} has {what} (the first is annotation {lacking[0]["id"]}), and this '
                'config is for masks; take one for boxes, such as retinanet_*'
            )
        sizes = {image['id']: (image['height'], image['width']) for image in self.images}
        for note in self.annotations:
            if fault := mask_fault(note['segmentation'], *sizes[note['image_id']]):
                raise UserError(
                    f'{self.path}: annotation {note["id"]} has segmentation '
                    f'{reprlib.repr(note["segmentation"])}; it {fault}'
                )

    def _check(self) -> None:
        for kind in ('images', 'annotations', 'categories'):
            counts = Counter(record['id'] for record in getattr(self, kind))
            if twice := [number for number, count in counts.items() if count > 1]:
                raise UserError(f'{self.path}: {kind} have the id {twice[0]} more than once')
        if twice := [name for name, count in Counter(self.classes).items() if count > 1]:
            raise UserError(f'{self.path}: two categories are named {twice[0]!r}')
        for key, kind in (('image_id', 'images'), ('category_id', 'categories')):
            known = {record['id'] for record in getattr(self, kind)}
            for note in self.annotations:
                if note[key] not in known:
                    raise UserError(
                        f'{self.path}: annotation {note["id"]} has {key} {note[key]!r}, which is '
                        f'not among its {kind}'
                    )

    def _find_images(self, folders: tuple[Path, ...]) -> Path:
        names = [image['file_name'] for image in self.images]
        folder = next(
            (f for f in folders if any((f / name).is_file() for name in names[:20])), None
        )
        if folder is None:
            raise UserError(
                f'the images of {self.path}, such as {names[0]}, are in none of the folders '
                f'{", ".join(map(str, folders))}'
            )
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f'{len(missing)} of {len(names)} images of {self.path} are missing in {folder}: '
                f'{", ".join(missing[:3])}{", ..." if len(missing) > 3 else ""}'
            )
        return folder
