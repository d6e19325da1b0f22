"""Detectors that mmdet lacks; importing them registers them."""

from mmplugin.detectors.smca_detr import SMCADETR

__all__ = ['SMCADETR']
