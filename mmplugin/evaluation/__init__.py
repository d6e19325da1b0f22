"""COCO's metric with every figure under its own name; importing it registers it, and mmdet is
needed."""

from mmplugin.evaluation.coco_metric import CocoMetric

__all__ = ['CocoMetric']
