"""Hooks of training; importing them registers them."""

from mmplugin.hooks.convergence_guard import ConvergenceGuard

__all__ = ['ConvergenceGuard']
