"""Deformable convolutions against a restatement by grid_sample and against ordinary ones."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack, deform_conv2d
from mmcv.ops import modulated_deform_conv2d as modulated
from torch import Tensor

# stride, padding, dilation, groups, deform groups
_GEOMETRIES = [
    (1, 1, 1, 1, 1),
    ((2, 1), (1, 2), (1, 2), 2, 1),
    (1, 0, 1, 1, 2),
    (2, 1, 1, 4, 2),
]


def _pair(value) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _problem(geometry, rng: torch.Generator, kernel=(3, 2)) -> tuple[Tensor, ...]:
    """Input (2, 4, 7, 8), offset, mask, weight (8 out) and bias in fp64."""
    stride, padding, dilation, groups, deform_groups = geometry
    out = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip((7, 8), _pair(padding), _pair(dilation), kernel, _pair(stride))
    ]
    taps = deform_groups * kernel[0] * kernel[1]
    shapes = [(2, 4, 7, 8), (2, 2 * taps, *out), (2, taps, *out), (8, 4 // groups, *kernel), (8,)]
    tensors = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    return tuple(t.requires_grad_() for t in tensors)


def _restated(x, offset, mask, weight, geometry) -> Tensor:
    """Sample each tap of each deform group on its moved grid, then contract with the weight."""
    stride, padding, dilation, groups, deform_groups = geometry
    (sy, sx), (py, px), (dy, dx) = _pair(stride), _pair(padding), _pair(dilation)
    batch, channels, height, width = x.shape
    kh, kw = weight.shape[2:]
    out_h, out_w = offset.shape[2:]
    offset = offset.view(batch, deform_groups, kh * kw, 2, out_h, out_w)
    mask = mask.view(batch, deform_groups, kh * kw, 1, out_h, out_w)
    base_y = torch.arange(out_h, dtype=x.dtype)[:, None] * sy - py
    base_x = torch.arange(out_w, dtype=x.dtype)[None] * sx - px
    columns = []
    for tap in range(kh * kw):
        parts = []
        for group, part in enumerate(x.chunk(deform_groups, dim=1)):
            y = base_y + (tap // kw) * dy + offset[:, group, tap, 0]
            x_ = base_x + (tap % kw) * dx + offset[:, group, tap, 1]
            grid = torch.stack((2 * x_ / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
            sampled = F.grid_sample(part, grid, padding_mode='zeros', align_corners=True)
            parts.append(sampled * mask[:, group, tap])
        columns.append(torch.cat(parts, dim=1))
    # batch, groups, channels per group, taps, out_h, out_w
    columns = torch.stack(columns, 2).unflatten(1, (groups, channels // groups))
    weight = weight.flatten(2).unflatten(0, (groups, -1))
    return torch.einsum('bgcthw,goct->bgohw', columns, weight).flatten(1, 2)


def _same(out: Tensor, expected: Tensor, inputs: list[Tensor], rng: torch.Generator) -> None:
    grad = torch.randn(out.shape, generator=rng, dtype=out.dtype)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad)
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('geometry', _GEOMETRIES)
def test_deform_conv_equals_its_restatement(geometry, rng):
    x, offset, mask, weight, _ = _problem(geometry, rng)
    out = deform_conv2d(x, offset, weight, *geometry)
    expected = _restated(x, offset, torch.ones_like(mask), weight, geometry)
    _same(out, expected, [x, offset, weight], rng)


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('geometry', _GEOMETRIES)
def test_modulated_deform_conv_equals_its_restatement(geometry, with_bias, rng):
    x, offset, mask, weight, bias = _problem(geometry, rng)
    out = modulated(x, offset, mask, weight, bias if with_bias else None, *geometry)
    expected = _restated(x, offset, mask, weight, geometry)
    inputs = [x, offset, mask, weight]
    if with_bias:
        expected = expected + bias[:, None, None]
        inputs.append(bias)
    _same(out, expected, inputs, rng)


@pytest.mark.parametrize('geometry', _GEOMETRIES)
def test_without_offset_it_is_an_ordinary_convolution(geometry, rng):
    x, offset, mask, weight, bias = _problem(geometry, rng)
    stride, padding, dilation, groups, _ = geometry
    zero, one = torch.zeros_like(offset), torch.ones_like(mask)
    ordinary = F.conv2d(x, weight, None, stride, padding, dilation, groups)
    _same(deform_conv2d(x, zero, weight, *geometry), ordinary, [x, weight], rng)
    ordinary = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    _same(modulated(x, zero, one, weight, bias, *geometry), ordinary, [x, weight, bias], rng)


def test_equals_compiled(compiled):
    for case in compiled.cases('deform_conv'):
        geometry = [case[k] for k in ('stride', 'padding', 'dilation', 'groups', 'deform_groups')]
        modulation = 'mask' in case
        names = ['input', 'offset', *(['mask'] if modulation else []), 'weight']
        names += ['bias'] if modulation else []
        inputs = [case[name].clone().requires_grad_() for name in names]
        out = (modulated if modulation else deform_conv2d)(*inputs, *geometry)
        torch.testing.assert_close(out, case['output'], rtol=1e-5, atol=1e-5)
        grads = torch.autograd.grad(out, inputs, case['grad_output'])
        for name, grad in zip(names, grads):
            torch.testing.assert_close(grad, case[f'grad_{name}'], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('module', [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_half_formats(module, dtype, rng):
    layer = module(4, 6, 3, padding=1)
    torch.nn.init.normal_(layer.conv_offset.weight, std=0.1, generator=rng)
    layer = layer.to(dtype)
    x = torch.randn(2, 4, 6, 6, generator=rng).to(dtype).requires_grad_()
    out = layer(x)
    out.float().sum().backward()
    assert out.dtype == x.grad.dtype == layer.weight.grad.dtype == dtype
    # all but the offsets' own convolution is computed in fp32 and rounded once
    offset_and_mask = layer.conv_offset(x.detach()).float()
    offset, mask = offset_and_mask[:, :18], offset_and_mask[:, 18:].sigmoid().to(dtype).float()
    if module is DeformConv2dPack:
        mask = torch.ones(2, 9, 6, 6)
    geometry = (1, 1, 1, 1, 1)
    expected = _restated(x.detach().float(), offset, mask, layer.weight.detach().float(), geometry)
    near = dict(rtol=2 * torch.finfo(dtype).eps, atol=1e-3 if dtype == torch.float16 else 1e-2)
    torch.testing.assert_close(out.detach().float(), expected, **near)
