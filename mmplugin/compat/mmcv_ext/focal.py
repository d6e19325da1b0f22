"""Sigmoid focal loss over class indices."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of every logit into ``output``.

    Args:
        input: (n, c) logits.
        target: int64 (n,), the class; any value outside 0..c-1 (c and -1 in practice) is
            background, for which every column is a negative.
        weight: (c,) factor for the rows of each class, or empty for none. Background rows, for
            which mmcv's kernel reads past the end of ``weight``, get the factor 1.
        output: (n, c), written in place.
        gamma: focusing power.
        alpha: factor of positives; negatives get 1 - alpha.

    The logarithms are log-sigmoids of the logit. mmcv's kernel takes them from a rounded sigmoid
    and clamps, so its value saturates near 87.3 where the loss should keep growing with the logit
    (beyond about ±17 in fp32). Value and gradient here belong together, and equal mmdet's CPU path;
    the gradients of the two kernels agree to rounding.
    """
    logit = widen(input)
    log_p, log_q = F.logsigmoid(logit), F.logsigmoid(-logit)
    positive = -alpha * log_q.exp().pow(gamma) * log_p
    negative = -(1 - alpha) * log_p.exp().pow(gamma) * log_q
    output.copy_(_by_target(positive, negative, target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write d loss / d logit into ``grad_input`` (n, c); arguments as in the forward."""
    logit = widen(input)
    log_p, log_q = F.logsigmoid(logit), F.logsigmoid(-logit)
    p, q = log_p.exp(), log_q.exp()
    positive = -alpha * q.pow(gamma) * (q - gamma * p * log_p)
    negative = -(1 - alpha) * p.pow(gamma) * (gamma * q * log_q - p)
    grad_input.copy_(_by_target(positive, negative, target, weight))


def _by_target(positive: Tensor, negative: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    classes = positive.size(1)
    is_class = target[:, None] == torch.arange(classes, device=target.device)
    chosen = torch.where(is_class, positive, negative)
    if weight.numel() == 0:
        return chosen
    foreground = (target >= 0) & (target < classes)
    row_weight = torch.where(foreground, widen(weight)[target.clamp(0, classes - 1)], 1.0)
    return chosen * row_weight[:, None]
