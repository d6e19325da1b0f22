"""SMCA's spatially modulated cross-attention, one query and one head at a time."""

import torch


def reference_point(mlp, row):
    """Query row (D,) to (x, y) in 0..1: three linear layers, ReLU between."""
    first, second, third = mlp.layers
    row = (first.weight @ row + first.bias).clamp_min(0)
    row = (second.weight @ row + second.bias).clamp_min(0)
    return 1 / (1 + torch.exp(-(third.weight @ row + third.bias)))


def log_prior(row, reference, offsets, scales, head, height, width, smooth):
    """(height * width,) logarithms of the Gaussian weight that one head of one query looks with.

    Args:
        row: (D,), the normed query.
        reference: (x, y) in cells.
        offsets, scales: linear layers from D to 2 numbers (x, y) a head, heads one after another.
    """
    i = 2 * head
    centre = reference + offsets.weight[i : i + 2] @ row + offsets.bias[i : i + 2]
    scale = (scales.weight[i : i + 2] @ row + scales.bias[i : i + 2]) ** 2
    cells = []
    for y in range(height):
        for x in range(width):
            squared = scale[0] * (centre[0] - x) ** 2 + scale[1] * (centre[1] - y) ** 2
            cells.append(-squared / smooth)
    return torch.stack(cells)


def cross_attention(query, query_pos, key, key_pos, attention, priors, padding=None):
    """One image's cross-attention with its residual, explicit softmax.

    Args:
        query, query_pos: (Q, D); key, key_pos: (N, D); the values are the keys without position.
        attention: ``nn.MultiheadAttention``, for its weights.
        priors: Q lists of a (N,) for each head.
        padding: (N,), True where there is no image.
    """
    dims = query.shape[1]
    heads = attention.num_heads
    side = dims // heads
    weights = attention.in_proj_weight.split(dims)
    biases = attention.in_proj_bias.split(dims)
    q = (query + query_pos) @ weights[0].T + biases[0]
    k = (key + key_pos) @ weights[1].T + biases[1]
    v = key @ weights[2].T + biases[2]
    rows = []
    for i in range(len(query)):
        parts = []
        for head in range(heads):
            own = slice(head * side, (head + 1) * side)
            logits = k[:, own] @ q[i, own] / side**0.5 + priors[i][head]
            factors = torch.exp(logits - logits.max())
            if padding is not None:
                factors = factors * ~padding
            parts.append(factors / factors.sum() @ v[:, own])
        rows.append(attention.out_proj.weight @ torch.cat(parts) + attention.out_proj.bias)
    return query + torch.stack(rows)
