"""mmplugin.GroupedOptimWrapperConstructor: few groups, the steps of mmengine's constructor."""

from collections import OrderedDict

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

RULES = {  # rules and how many kinds of parameters there are then
    'a backbone of its own rate': (dict(custom_keys=dict(first=dict(lr_mult=0.1))), 2),
    'norms without decay': (dict(norm_decay_mult=0.0, bias_lr_mult=2.0), 3),
    'none': (None, 1),
}


def trained(constructor, rules):
    """A small network after three steps, and its optimizer."""
    torch.manual_seed(0)
    names = OrderedDict(first=nn.Linear(3, 4), norm=nn.LayerNorm(4), last=nn.Linear(4, 2))
    model = nn.Sequential(names)
    model.last.bias.requires_grad_(False)
    optimizer = dict(type='AdamW', lr=0.1, weight_decay=0.5)
    cfg = dict(type='OptimWrapper', optimizer=optimizer, paramwise_cfg=rules)
    wrapper = build_optim_wrapper(model, dict(cfg, constructor=constructor))
    for seed in range(3):
        wrapper.update_params(model(torch.randn(5, 3)).square().sum() * (seed + 1))
    return model, wrapper.optimizer


@pytest.mark.parametrize(('rules', 'kinds'), RULES.values(), ids=RULES)
def test_steps_are_those_of_mmengine(rules, kinds):
    model, optimizer = trained('mmplugin.GroupedOptimWrapperConstructor', rules)
    expected, alone = trained('DefaultOptimWrapperConstructor', rules)
    for mine, other in zip(model.parameters(), expected.parameters()):
        assert torch.equal(mine, other)
    assert len(optimizer.param_groups) == kinds
    if rules:
        assert len(alone.param_groups) == 5
