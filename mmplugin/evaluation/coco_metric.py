"""mmdet's CocoMetric, with COCO's own figures and files."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOevalMP
from mmdet.evaluation import CocoMetric as StockCocoMetric
from mmengine.fileio import dump, load
from mmengine.logging import MMLogger
from pycocotools.cocoeval import COCOeval
from terminaltables import AsciiTable

from mmplugin.evaluation.coco import MAX_DETS, evaluate, names_of, per_class, summarize
from mmplugin.registry import METRICS

KINDS = ('bbox', 'segm')


@METRICS.register_module()
class CocoMetric(StockCocoMetric):
    """AP and AR of boxes and masks as COCO computes and names them.

    What differs from mmdet's class: recall is taken over 1, 10 and 100 detections an image and
    named by the number used (``bbox_AR@10``, ``bbox_AR_s@100``), and all twelve figures are
    returned, unrounded. The figures of each class (``classwise``) come to the log and to
    ``<outfile_prefix>.classes.json``, not among the metrics. A detector that finds nothing has AP
    0. ``<outfile_prefix>.segm.json`` has no boxes: with them COCO's evaluation would sort masks by
    the size of their box.

    Args:
        metric: 'bbox', 'segm', or a list of them. Default: 'bbox'.
        proposal_nums: three numbers of detections an image, 100 among them, over which COCO takes
            the AP. Default: COCO's, (1, 10, 100).
        metric_items: names of the figures to return. Default: all twelve.
        format_only: write the files and evaluate nothing, for images without ground truth.
            Default: False.
        stock: the other arguments of mmdet's CocoMetric.

    Raises:
        ValueError: for an unknown metric or item, or other than three ``proposal_nums`` with 100.
    """

    def __init__(
        self,
        *,
        metric: str | Sequence[str] = 'bbox',
        proposal_nums: Sequence[int] = MAX_DETS,
        metric_items: Sequence[str] | None = None,
        format_only: bool = False,
        **stock,
    ) -> None:
        kinds = [metric] if isinstance(metric, str) else list(metric)
        if wrong := [kind for kind in kinds if kind not in KINDS]:
            raise ValueError(f"metric takes 'bbox' and 'segm', got {wrong[0]!r}")
        if len(proposal_nums) != 3 or 100 not in proposal_nums:
            raise ValueError(
                'proposal_nums takes three numbers with 100 among them, over which COCO takes the '
                f'AP, got {tuple(proposal_nums)}'
            )
        names = names_of(sorted(proposal_nums))
        items = list(names) if metric_items is None else list(metric_items)
        if wrong := [item for item in items if item not in names]:
            raise ValueError(f'metric_items takes {", ".join(names)}; got {wrong[0]!r}')
        super().__init__(metric=kinds, proposal_nums=proposal_nums, metric_items=items, **stock)
        # not handed on: mmdet asserts a prefix already here
        self.format_only = format_only

    @property
    def truth(self) -> COCO | None:
        """The ground truth of ``ann_file``, if one was given."""
        return self._coco_api

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """Write the detections of the whole data set, and evaluate what was written.

        Raises:
            ValueError: for masks of a model without masks, or ``format_only`` without
                ``outfile_prefix``.
        """
        if self.format_only and self.outfile_prefix is None:
            raise ValueError('format_only needs outfile_prefix, the begin of the files to write')
        truths, found = zip(*results)
        with self._prefix() as prefix:
            if self._coco_api is None:
                self._coco_api = COCO(self.gt_to_coco_json(truths, prefix))
            self.settle_classes()
            files = self.results2json(found, prefix)
            if self.format_only:
                return {}
            if 'segm' in self.metrics and 'segm' not in files:
                raise ValueError("metric 'segm' is for masks, and the model predicts none")
            return self.evaluate_records({kind: load(files[kind]) for kind in self.metrics})

    def settle_classes(self) -> None:
        """Look up the categories of the data set's classes by name.

        Raises:
            ValueError: when the ground truth has none of them.
        """
        classes = self.dataset_meta['classes']
        self.cat_ids = self._coco_api.get_cat_ids(cat_names=classes)
        self.img_ids = self._coco_api.get_img_ids()
        names = [category['name'] for category in self._coco_api.cats.values()]
        if not self.cat_ids:
            raise ValueError(
                f'none of the classes {", ".join(classes[:3])}, ... is a category of the ground '
                f'truth, which has {", ".join(names[:3])}, ...; see metainfo.classes of the data '
                'set in the config'
            )
        logger = MMLogger.get_current_instance()
        if left_out := sorted(set(names) - set(classes)):
            logger.warning(f'not evaluated, as no class of the data set: {", ".join(left_out)}')
        if 0 in self._coco_api.anns:
            logger.warning(
                'annotation ids begin at 0: pycocotools takes a match with number 0 for none, and '
                'the figures are too low; count them from 1'
            )

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict[str, str]:
        """Write ``<outfile_prefix>.bbox.json`` and, of masks, ``<outfile_prefix>.segm.json`` in
        COCO's result format; return the path of each kind."""
        files = super().results2json(results, outfile_prefix)
        if 'segm' in files:
            records = load(files['segm'])
            for record in records:
                del record['bbox']
            dump(records, files['segm'])
        if self.outfile_prefix is not None:
            written = [files[kind] for kind in KINDS if kind in files]
            MMLogger.get_current_instance().info(
                f"The detections, in the format of COCO's server, are in {' and '.join(written)}."
            )
        return files

    def evaluate_records(self, records: Mapping[str, list[dict]]) -> dict[str, float]:
        """Evaluate records in COCO's result format, after ``settle_classes``.

        Args:
            records: {'bbox' or 'segm': list}.

        Returns:
            The figures, with the kind before their name and without the prefix.
        """
        logger = MMLogger.get_current_instance()
        figures, classes = {}, {}
        for kind, found in records.items():
            evaluation = evaluate(
                self._coco_api,
                found,
                kind,
                self.cat_ids,
                self.proposal_nums,
                np.atleast_1d(self.iou_thrs),
                COCOevalMP if self.use_mp_eval else COCOeval,
            )
            values, text = summarize(evaluation)
            logger.info(f'{kind}\n{text}')
            figures.update({f'{kind}_{item}': values[item] for item in self.metric_items})
            if self.classwise:
                classes[kind] = dict(per_class(evaluation))
                logger.info(f'{kind} of each class\n{class_table(classes[kind])}')
        if classes and self.outfile_prefix is not None:
            dump(classes, f'{self.outfile_prefix}.classes.json')
        return figures

    @contextmanager
    def _prefix(self) -> Iterator[str]:
        """Where files go: ``outfile_prefix``, or a folder that is gone afterwards."""
        if self.outfile_prefix is not None:
            yield self.outfile_prefix
            return
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder, 'results'))


def class_table(classes: Mapping[str, Mapping[str, float]]) -> str:
    """AP of each class, over all thresholds, at 0.50 and 0.75, and of each size."""
    names = names_of(MAX_DETS)[:6]
    rows = [
        [name, *('-' if values[key] < 0 else f'{values[key]:.3f}' for key in names)]
        for name, values in classes.items()
    ]
    return AsciiTable([['class', *names], *rows]).table
