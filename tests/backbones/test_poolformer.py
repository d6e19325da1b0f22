"""PoolFormer equals the official network and timm's, tensor by tensor."""

import pytest
import timm
import torch

from mmplugin.backbones.poolformer import DEFAULTS, VARIANTS, PoolFormer, PoolFormerBlock
from mmplugin.block import MetaFormerBlock
from mmplugin.ops.pool_residual import norm_pool_residual
from mmplugin.weights.poolformer import rename_official, rename_timm
from tests.reference.poolformer import OfficialPoolFormer
from tests.tensors import image, randomise, relative_error, weighted_sum

pytestmark = pytest.mark.usefixtures('small_maps_fused')

# mmpretrain configs/poolformer/metafile.yml, with the classifier's norm and head
CLASSIFIER_PARAMETERS = {
    's12': 11_915_176,
    's24': 21_388_968,
    's36': 30_862_760,
    'm36': 56_172_520,
    'm48': 73_473_448,
}
# official dense form with its four output norms; tensors of its state dict
DENSE = {
    's12': (11_403_200, 136),
    's24': (20_876_992, 256),
    's36': (30_350_784, 376),
    'm36': (55_404_864, 376),
    'm48': (72_705_792, 496),
}


def reference_of(arch, num_classes=None):
    settings = {**DEFAULTS, **(VARIANTS[arch] if isinstance(arch, str) else arch)}
    return OfficialPoolFormer(
        settings['depths'],
        settings['embed_dims'],
        settings['mlp_ratios'],
        settings['pool_size'],
        num_classes,
    )


def loaded_from(reference, **settings):
    ours = PoolFormer(**settings).to(next(reference.parameters()).dtype)
    state = reference.state_dict()
    ours.load_state_dict({new: state[old] for old, new in rename_official(state).items()})
    return ours


@pytest.mark.parametrize('arch', VARIANTS)
def test_parameter_counts_are_the_published_ones(arch):
    with torch.device('meta'):
        ours, classifier = PoolFormer(arch), reference_of(arch, num_classes=1000)
    count = sum(p.numel() for p in ours.parameters())
    assert (count, len(ours.state_dict())) == DENSE[arch]
    assert sum(p.numel() for p in classifier.parameters()) == CLASSIFIER_PARAMETERS[arch]
    trunk = count - sum(p.numel() for p in ours.norms.parameters())
    dim = ours.out_channels[-1]
    assert trunk + 2 * dim + 1000 * (dim + 1) == CLASSIFIER_PARAMETERS[arch]


@pytest.mark.parametrize('arch', VARIANTS)
def test_layer_scale_starts_where_the_official_code_starts_it(arch):
    expected = 1e-5 if arch in ('s12', 's24') else 1e-6
    block = PoolFormer({**VARIANTS[arch], 'depths': (1, 1, 1, 1)}).stages[0].blocks[0]
    torch.testing.assert_close(
        block.layer_scale1.scale, torch.full_like(block.norm1.bias, expected)
    )
    torch.testing.assert_close(
        block.layer_scale2.scale, torch.full_like(block.norm1.bias, expected)
    )


@pytest.mark.parametrize(
    ('arch', 'size'), [('s12', (64, 32)), *((arch, (65, 97)) for arch in VARIANTS)]
)
def test_equals_official_forward_and_backward(arch, size):
    reference = randomise(reference_of(arch).double())
    ours = loaded_from(reference, arch=arch)
    x = image(2 if arch == 's12' else 1, 3, *size)
    outputs, expected = [], []
    for model, results in ((ours, outputs), (reference, expected)):
        inputs = x.clone().requires_grad_()
        results.extend(model(inputs))
        weighted_sum(results).backward()
        results.append(inputs.grad)
    for mine, theirs in zip(outputs, expected):
        assert relative_error(mine, theirs) < 1e-12
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    own = {name: p for name, p in ours.named_parameters() if p.requires_grad}
    checked = 0
    for old, new in rename_official(gradients).items():
        if new.endswith('norm1.bias') and 'blocks' in new:
            assert gradients[old].abs().max() < 1e-9 and new not in own
            continue
        assert relative_error(own[new].grad, gradients[old]) < 1e-12, new
        checked += 1
    assert checked == len(own)


@pytest.mark.parametrize('arch', VARIANTS)
def test_equals_timm_features(arch):
    theirs = randomise(timm.create_model(f'poolformer_{arch}', features_only=True).double()).eval()
    ours = PoolFormer(arch).double().eval()
    state = theirs.state_dict()
    renamed = {new: state[old] for old, new in rename_timm(state).items()}
    result = ours.load_state_dict(renamed, strict=False)
    assert not result.unexpected_keys
    assert {key.split('.')[0] for key in result.missing_keys} == {'norms'}
    ours.norms = torch.nn.ModuleDict({str(i): torch.nn.Identity() for i in range(4)})
    x = image(1, 3, 71, 58)
    with torch.no_grad():
        for mine, other in zip(ours(x), theirs(x)):
            assert relative_error(mine, other) < 1e-12


@pytest.mark.parametrize('pool_size', [1, 3, 5, 9])
@pytest.mark.parametrize('size', [(1, 1), (2, 5), (13, 8)])
@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_token_half_equals_its_plain_twin(pool_size, size, dtype, bound):
    block = randomise(PoolFormerBlock(6, 2, 0.4, 1.0, pool_size, True)).to(dtype).train()
    results = []
    for form in (PoolFormerBlock.mix_tokens, MetaFormerBlock.mix_tokens):
        block.zero_grad()
        x = (image(5, 6, *size, dtype=dtype) * 1.5 + 0.7).requires_grad_()
        torch.manual_seed(3)
        y = form(block, x)
        weighted_sum([y]).backward()
        results.append((y, x.grad, block.norm1.weight.grad, block.layer_scale1.scale.grad))
    for name, mine, plain in zip(('y', 'x', 'gamma', 'scale'), *results):
        if pool_size == 1 or size == (1, 1):
            assert (mine - plain).abs().max() <= bound * 10, name
        else:
            assert relative_error(mine, plain) < bound * 10, name


def test_token_half_has_the_gradient_of_finite_differences():
    x = image(2, 3, 4, 5).requires_grad_()
    gain = image(1, 3, 1, 1, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, g: norm_pool_residual(x, g, 3, 1e-5), (x, gain))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_small_difference(dtype):
    """The mean is 20 standard deviations off zero: rounding pool(x) first would cost 4e-2."""
    x = (image(2, 8, 16, 16) + 20).to(dtype)
    gain = image(1, 8, 1, 1, seed=4)
    truth = norm_pool_residual(x.double(), gain, 3, 1e-5)
    ours = norm_pool_residual(x, gain.to(dtype), 3, 1e-5)
    assert ours.dtype == dtype
    assert relative_error(ours.double(), truth) < torch.finfo(dtype).eps
    mixed = norm_pool_residual(x, gain.float(), 3, 1e-5)
    assert mixed.dtype == torch.float32
    assert relative_error(mixed.double(), truth) < 1e-6


def test_dead_norm_bias_stays_in_the_state_dict():
    model = PoolFormer(dict(depths=(1, 1, 1, 1), embed_dims=(4, 8, 8, 8)))
    dead = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert dead == {f'stages.{i}.blocks.0.norm1.bias' for i in range(4)}
    assert dead <= set(model.state_dict())


@pytest.mark.parametrize('pool_size', [0, 2, -3])
def test_even_pool_size_is_refused(pool_size):
    with pytest.raises(ValueError, match='pool_size must be a positive odd number'):
        PoolFormer(dict(depths=(1,) * 4, embed_dims=(4,) * 4, pool_size=pool_size))
