"""COCO's own figures and files from every detector that mmdet evaluates on COCO."""

from pathlib import Path

from mmplugin.cli.data import metrics_of


def use_coco_figures(cfg) -> None:
    """Evaluate the test with mmplugin's CocoMetric in place of mmdet's, and each class by itself.

    What the config says otherwise stays: ``classwise``, ``proposal_nums``, ``outfile_prefix``.
    Metrics of proposals remain mmdet's.

    Args:
        cfg: mmengine Config; changed in place.
    """
    for metric in metrics_of(cfg.get('test_evaluator')):
        kinds = metric.get('metric', 'bbox')
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if metric['type'] in ('CocoMetric', 'mmdet.CocoMetric') and not any(
            kind.startswith('proposal') for kind in kinds
        ):
            metric['type'] = 'mmplugin.CocoMetric'
            metric.setdefault('classwise', True)


def keep_detections(runner) -> None:
    """Let the detections of a test stay in ``detections/`` beside its log.

    Args:
        runner: mmengine Runner, before its test.
    """
    if runner.cfg.default_scope != 'mmdet':
        return
    from mmplugin.evaluation import CocoMetric

    for metric in runner.test_loop.evaluator.metrics:
        if isinstance(metric, CocoMetric):
            name_files(metric, runner.log_dir)


def name_files(metric, log_dir: str | Path) -> None:
    """Let the files of a CocoMetric begin with its prefix, unless the config names them."""
    if metric.outfile_prefix is None:
        metric.outfile_prefix = str(Path(log_dir, 'detections', metric.prefix))
