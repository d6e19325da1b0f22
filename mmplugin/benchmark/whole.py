"""Whole detectors and segmentors that are compared: a config, and other backbones in it."""

import argparse
import contextlib
import copy
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmplugin.analysis.models import forward_pass
from mmplugin.benchmark.peers import FAST
from mmplugin.benchmark.samples import fresh, make_batch
from mmplugin.benchmark.timm_backbone import timm_twin
from mmplugin.benchmark.work import Peer, Work
from mmplugin.cli.config import load_config

FORMS = ('ours', 'plain', 'triton', 'deploy', 'compiled', 'timm', 'timm-cl')
"""The config as it is, with ``fast=False``, with ``fast='triton'``, with the backbone deployed
(inference alone), with backbone and neck compiled, and with timm's backbone in NCHW and in
channels_last."""


class WholeCase:
    """The model of a config, without pretrained weights, and its peers. All start equal.

    Inference is the network without decoding of its output, a two-stage detector at the fixed
    proposals of ``tools/analyze.py``. A training step is mmengine's own: preprocessing, losses,
    backward pass and the optimizer of the config, whose learning rate is zero, so that all steps
    of all peers are the same one; random sampling is seeded before each.

    Args:
        config: path.

    Raises:
        UserError: as of ``load_config``.
    """

    def __init__(self, config: str) -> None:
        self.name = Path(config).stem
        self.cfg = load_config(argparse.Namespace(config=config, cfg_options=None))

    def peer(self, form: str, work: Work) -> Peer | None:
        """A model that is ready to run; None for a form that does not train.

        Raises:
            ValueError: for a form that is none of ``FORMS``, or without a counterpart here.
        """
        if form not in FORMS:
            raise ValueError(f'{form!r} is no peer of a config; choose from {", ".join(FORMS)}')
        if work.dtype != torch.float32 and not work.amp:
            raise ValueError('a config runs in another dtype than float32 only with --amp')
        if form == 'deploy' and work.training:
            return None
        model = self.build(form).to(work.device).train(work.training)
        if form == 'deploy':
            model.backbone.deploy()
        if form == 'compiled':
            model.backbone.compile()
            if model.with_neck:
                model.neck.compile()
        return self.trained(model, work) if work.training else self.tested(model, work)

    def build(self, form: str) -> nn.Module:
        """The model with seeded weights."""
        init_default_scope(self.cfg.default_scope)
        settings = copy.deepcopy(self.cfg.model)
        settings.backbone.init_cfg = None  # nothing is downloaded
        if form in FAST:
            settings.backbone.fast = FAST[form]
        torch.manual_seed(0)
        model = MODELS.build(settings)
        with quiet():
            model.init_weights()
        if form in ('timm', 'timm-cl'):
            layout = torch.channels_last if form == 'timm-cl' else torch.contiguous_format
            model.backbone = timm_twin(settings.backbone, model.backbone, layout)
        return model

    def tested(self, model: nn.Module, work: Work) -> Peer:
        torch.manual_seed(0)
        run = forward_pass(model, work.shape, work.batch)

        def infer():
            with torch.no_grad(), work.autocast():
                return run()

        return Peer(model, infer, infer)

    def trained(self, model: nn.Module, work: Work) -> Peer:
        data = make_batch(self.cfg.default_scope, work.shape, work.batch)
        wrapper = build_optim_wrapper(model, self.cfg.optim_wrapper)
        for group in wrapper.param_groups:
            group['lr'] = 0.0

        def forward():
            with work.autocast():
                return model(**model.data_preprocessor(fresh(data), True), mode='loss')

        return Peer(model, seeded(forward), seeded(lambda: step(model, forward, wrapper)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep mmengine's log, which has several lines for every parameter, to warnings."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def step(model: nn.Module, forward: Callable[[], dict], wrapper) -> float:
    """One iteration of training; the loss."""
    loss, _ = model.parse_losses(forward())
    wrapper.update_params(loss)
    return loss.item()


def seeded(call: Callable[[], object]) -> Callable[[], object]:
    """Let every call draw the same random numbers."""

    def run():
        torch.manual_seed(0)
        return call()

    return run
