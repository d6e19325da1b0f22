"""SMCA-DETR: its decoder against the attention written out, and the detector as users meet it."""

import pytest
import torch
from mmengine.registry import MODELS

from mmplugin import detectors
from mmplugin.detectors import SMCADETR
from mmplugin.detectors.spatial_modulation import SpatialModulation
from mmplugin.registry import NEED_MMDET
from tests.compat.environments import run_python
from tests.detectors.tiny import ATTENTION, LAYER, SMCA, batch, build
from tests.reference.smca import cross_attention, log_prior, reference_point
from tests.tensors import image, randomise, relative_error, weighted_sum

HEIGHT, WIDTH, QUERIES, DIMS, HEADS = 3, 4, 5, 16, 4
EXTENT = torch.tensor([[[3.5, 2.0]], [[4.0, 3.0]]], dtype=torch.float64)


def padding():
    """One image of two rows in three, one that fills the map."""
    mask = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    mask[0, 2:] = True
    return mask.flatten(1)


def decode_plainly(decoder, query, key, query_pos, key_pos, mask):
    """The decoder, its cross-attention one query and one head at a time."""
    outputs = []
    for layer, modulation in zip(decoder.layers, decoder.modulations):
        normed = modulation.norm(query + query_pos)
        if not outputs:
            rows = [[reference_point(decoder.reference, row) for row in rows] for rows in normed]
            reference = torch.stack([torch.stack(points) for points in rows])
        query = layer.norms[0](layer.self_attn(query, query_pos=query_pos, key_pos=query_pos))
        images = []
        for b in range(len(query)):
            priors = [
                [
                    log_prior(
                        normed[b, i],
                        reference[b, i] * EXTENT[b, 0],
                        modulation.offsets,
                        modulation.scales,
                        head,
                        HEIGHT,
                        WIDTH,
                        8,
                    )
                    for head in range(HEADS)
                ]
                for i in range(QUERIES)
            ]
            images.append(
                cross_attention(
                    query[b],
                    query_pos[b],
                    key[b],
                    key_pos[b],
                    layer.cross_attn.attn,
                    priors,
                    None if mask is None else mask[b],
                )
            )
        query = layer.norms[2](layer.ffn(layer.norms[1](torch.stack(images))))
        outputs.append(decoder.post_norm(query))
    return torch.stack(outputs), reference


@pytest.mark.parametrize('mask', [None, padding()], ids=['whole', 'padded'])
def test_decoder_is_the_attention_written_out(mask):
    decoder = randomise(build().decoder).double().eval()
    query, query_pos = image(2, QUERIES, DIMS), image(2, QUERIES, DIMS, seed=3)
    key, key_pos = (image(2, HEIGHT * WIDTH, DIMS, seed=seed) for seed in (4, 5))
    inputs = [query, key, query_pos, key_pos]
    for tensor in inputs:
        tensor.requires_grad_()
    wanted = [*inputs, *decoder.parameters()]
    results = []
    for forward, given in (
        (decoder, (mask, EXTENT, (HEIGHT, WIDTH))),
        (lambda *parts: decode_plainly(decoder, *parts), (mask,)),
    ):
        outputs = forward(*inputs, *given)
        results.append((*outputs, *torch.autograd.grad(weighted_sum(outputs), wanted)))
    largest = max(tensor.abs().max() for tensor in results[1])
    for ours, plain in zip(*results):
        # the key's bias has no gradient but rounding
        assert (ours - plain).abs().max() < 1e-11 * plain.abs().max() + 1e-13 * largest


def test_prior_is_0_at_the_centre_and_falls_with_the_squared_distance():
    modulation = SpatialModulation(DIMS, HEADS, smooth=2.0)
    torch.nn.init.zeros_(modulation.offsets.weight)
    torch.nn.init.zeros_(modulation.offsets.bias)
    prior = modulation(torch.zeros(1, 1, DIMS), torch.tensor([[[2.0, 1.0]]]), (HEIGHT, WIDTH))
    expected = torch.tensor([[-2.5, -1, -0.5, -1], [-2, -0.5, 0, -0.5], [-2.5, -1, -0.5, -1]])
    assert prior.shape == (1, HEADS, 1, HEIGHT * WIDTH)
    assert torch.equal(prior[0, 2, 0].view(HEIGHT, WIDTH), expected)


def test_one_decoder_layer_at_a_time_or_only_the_last():
    last = dict(SMCA['decoder'], return_intermediate=False)
    every, one = build(), build(decoder=last)
    one.load_state_dict(every.state_dict())
    parts = (torch.zeros(1, 2, DIMS), image(1, 12, DIMS).float(), *image(2, 1, 2, DIMS).float())
    parts = (*parts[:3], image(1, 12, DIMS).float(), None, EXTENT[:1].float(), (HEIGHT, WIDTH))
    hidden, references = every.eval().decoder(*parts)
    assert hidden.shape == (2, 1, 2, DIMS) and references.shape == (1, 2, 2)
    assert torch.equal(one.eval().decoder(*parts)[0], hidden[-1:])


def test_weights_start_with_scales_of_1():
    model = build()
    model.init_weights()
    for modulation in model.decoder.modulations:
        assert not modulation.scales.weight.any() and (modulation.scales.bias == 1).all()
        assert modulation.offsets.weight.any()


def test_a_training_step_reaches_every_parameter():
    model = build()
    model.init_weights()
    model.train()
    losses = model(**batch(model, [(40, 50), (64, 64)], training=True), mode='loss')
    parts = ('cls', 'bbox', 'iou')
    assert set(losses) == {f'{layer}loss_{part}' for layer in ('', 'd0.') for part in parts}
    loss = model.parse_losses(losses)[0]
    loss.backward()
    assert loss.isfinite()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_predictions_lie_in_their_images():
    model = build().eval()
    shapes = [(40, 50), (64, 64)]
    with torch.no_grad():
        results = model(**batch(model, shapes), mode='predict')
    for (height, width), result in zip(shapes, results):
        found = result.pred_instances
        assert found.bboxes.shape == (5, 4) and found.scores.shape == (5,)
        assert (found.bboxes >= 0).all()
        assert (found.bboxes <= torch.tensor([width, height, width, height])).all()


def test_padding_the_batch_leaves_the_extent_of_an_image():
    """A reference point of (1, 1) is the corner of the image, not of the padded batch."""
    model = build()
    data = batch(model, [(40, 50), (64, 96)])
    feats = (torch.zeros(2, DIMS, 2, 3),)
    _, inputs = model.pre_transformer(feats, data['data_samples'])
    assert inputs['shape'] == (2, 3)
    assert torch.equal(inputs['extent'], torch.tensor([[[50, 40]], [[96, 64]]]) / 32)


def test_autocast_keeps_the_prior_in_single_precision():
    model = build().eval()
    modulation = model.decoder.modulations[0]
    query, centre = image(1, QUERIES, DIMS).float(), 40 * torch.rand(1, QUERIES, 2)
    exact = modulation(query, centre, (25, 42))
    with torch.autocast('cpu', torch.bfloat16):
        half = modulation(query, centre, (25, 42))
        assert torch.isfinite(model(**batch(model, [(40, 50)]), mode='tensor')[1]).all()
    assert half.dtype == torch.float32
    assert relative_error(half, exact) < 0.01


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(positional_encoding=dict(num_feats=4)), 'num_feats is 4, .* half of embed_dims 16'),
        (
            dict(bbox_head=dict(type='DETRHead', num_classes=3, embed_dims=16)),
            'bbox_head must be a ConditionalDETRHead, got DETRHead',
        ),
        (
            dict(decoder=dict(num_layers=1, layer_cfg=LAYER)),
            r'decoder\.layer_cfg\.cross_attn_cfg\.num_heads is not given',
        ),
        (
            dict(
                decoder=dict(
                    num_layers=1, layer_cfg=dict(LAYER, cross_attn_cfg=ATTENTION), smooth=0
                )
            ),
            'smooth must be above 0, got 0',
        ),
    ],
    ids=['width', 'head', 'heads', 'smooth'],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_found_by_its_full_name_alone():
    assert MODELS.get('mmplugin.SMCADETR') is SMCADETR


def test_the_registry_knows_every_detector():
    late = {name for name, module in NEED_MMDET.items() if module == detectors.__name__}
    assert late == set(detectors.__all__)


FIND = """
import sys
from mmengine.registry import MODELS, DefaultScope
with DefaultScope.overwrite_default_scope({scope!r}):
    MODELS.get('mmplugin.PoolFormer')
    print('mmdet' in sys.modules)
    print(MODELS.get('mmplugin.SMCADETR').__name__)
"""


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_found_without_an_import_under_each_scope(scope):
    found = run_python('-c', FIND.format(scope=scope))
    assert found.stdout.split() == ['False', 'SMCADETR'], found.stderr


ABSENT = """
import sys

class NoMMDet:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == 'mmdet':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, NoMMDet)
from mmengine.registry import MODELS
MODELS.get('mmplugin.Container')
MODELS.get('mmplugin.SMCADETR')
"""


def test_without_mmdet_the_error_names_it():
    found = run_python('-c', ABSENT)
    assert found.stderr.splitlines()[-1] == (
        'RuntimeError: mmplugin.SMCADETR needs mmdet, which is not installed: '
        'pip install mmdet==3.3.0'
    )
