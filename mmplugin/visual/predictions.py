"""Predictions of a trained model on the first pictures of its test set."""

from itertools import islice

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner, load_checkpoint

from mmplugin.cli.checkpoint import naming_misfits


@torch.no_grad()
def predict_first(cfg: Config, checkpoint: str, count: int) -> tuple[list, dict]:
    """Run a model on the first pictures of ``cfg.test_dataloader``, on the CPU.

    The ground truth comes with the data samples when the test pipeline loads it, as the usual ones
    of mmdet and mmseg do.

    Args:
        cfg: A det or seg config.
        checkpoint: File with the weights; every tensor must fit.
        count: Pictures wanted; fewer when the set is smaller.

    Returns:
        The data samples with their predictions, and the ``metainfo`` of the data set.

    Raises:
        UserError: for the weights of another model.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader = Runner.build_dataloader(
        dict(cfg.test_dataloader, num_workers=0, batch_size=1, persistent_workers=False)
    )
    model = MODELS.build(cfg.model)
    with naming_misfits(checkpoint):
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    model.eval()
    samples = [sample for batch in islice(loader, count) for sample in model.test_step(batch)]
    return samples, loader.dataset.metainfo
