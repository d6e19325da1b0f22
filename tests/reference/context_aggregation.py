"""Context aggregation with every affinity as an explicit N x N matrix, one head after the other."""

import torch


def self_attention_matrix(query, key):
    """(B, D, N) twice to the row-stochastic (B, N, N)."""
    scores = query.transpose(1, 2) @ key / query.shape[1] ** 0.5
    return scores.softmax(-1)


def convolution_matrix(kernel, height, width):
    """(k, k) to (N, N): weight of the token at column j for the token at row i, zeros outside."""
    k = kernel.shape[0]
    rows = []
    for y in range(height):
        for x in range(width):
            row = []
            for v in range(height):
                for u in range(width):
                    dy, dx = v - y + k // 2, u - x + k // 2
                    inside = 0 <= dy < k and 0 <= dx < k
                    row.append(kernel[dy, dx] if inside else kernel.new_zeros(()))
            rows.append(torch.stack(row))
    return torch.stack(rows)


def project(x, conv):
    """1x1 convolution of tokens (B, C, N)."""
    return conv.weight[:, :, 0, 0] @ x + conv.bias[:, None]


def aggregate(x, in_proj, out_proj, alpha, beta, heads, static, bias=None):
    """``((alpha A(X) + beta A) V) W`` on a map.

    Args:
        x: (B, C, H, W).
        in_proj, out_proj: 1x1 convolutions; in_proj gives query, key, value, or only value.
        alpha, beta: factors; alpha None where there is no attention.
        heads: M.
        static: M matrices (N, N), or None.
        bias: of the static part, one number a head, or None.
    """
    b, c, height, width = x.shape
    *query_key, value = project(x.flatten(2), in_proj).split(c, dim=1)
    mixed = []
    for head in range(heads):
        channels = slice(head * c // heads, (head + 1) * c // heads)
        affinity = 0
        if alpha is not None:
            affinity = alpha * self_attention_matrix(*(t[:, channels] for t in query_key))
        if static is not None:
            affinity = affinity + beta * static[head]
        y = (affinity @ value[:, channels].transpose(1, 2)).transpose(1, 2)
        mixed.append(y if bias is None else y + beta * bias[head])
    return project(torch.cat(mixed, dim=1), out_proj).view(b, c, height, width)
