"""Training runs that survive being killed, for mmengine's loops and every tool built on them."""

from mmplugin.engine.checkpoint_hook import CheckpointHook
from mmplugin.engine.resume_hook import ResumeHook
from mmplugin.engine.runner import ResumableRunner

__all__ = ['CheckpointHook', 'ResumableRunner', 'ResumeHook']
