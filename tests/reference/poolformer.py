"""Plain restatement of the official PoolFormer (sail-sg ``models/poolformer.py``), its own names.

Slow and literal on purpose: every norm, pooling, subtraction, scale and residual is spelled out.
"""

import torch
from torch import nn


class Pooling(nn.Module):
    def __init__(self, pool_size: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(pool_size, 1, pool_size // 2, count_include_pad=False)

    def forward(self, x):
        return self.pool(x) - x


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int, mlp_ratio: float, pool_size: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, dim)
        self.token_mixer = Pooling(pool_size)
        self.norm2 = nn.GroupNorm(1, dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.layer_scale_1 = nn.Parameter(torch.ones(dim))
        self.layer_scale_2 = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x + self.layer_scale_1[:, None, None] * self.token_mixer(self.norm1(x))
        return x + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, in_dim: int, dim: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_dim, dim, kernel, stride, padding)

    def forward(self, x):
        return self.proj(x)


class OfficialPoolFormer(nn.Module):
    """Dense form (four normed outputs) or, with ``num_classes``, the classifier."""

    def __init__(self, depths, dims, mlp_ratios=(4, 4, 4, 4), pool_size=3, num_classes=None):
        super().__init__()
        self.patch_embed = PatchEmbed(3, dims[0], 7, 4, 2)
        network = []
        for i, (depth, dim, ratio) in enumerate(zip(depths, dims, mlp_ratios)):
            if i:
                network.append(PatchEmbed(dims[i - 1], dim, 3, 2, 1))
            network.append(nn.Sequential(*[Block(dim, ratio, pool_size) for _ in range(depth)]))
        self.network = nn.ModuleList(network)
        self.num_classes = num_classes
        if num_classes is None:
            for i, dim in enumerate(dims):
                self.add_module(f'norm{2 * i}', nn.GroupNorm(1, dim))
        else:
            self.norm = nn.GroupNorm(1, dims[-1])
            self.head = nn.Linear(dims[-1], num_classes)

    def forward(self, x):
        x = self.patch_embed(x)
        outputs = []
        for i, module in enumerate(self.network):
            x = module(x)
            if self.num_classes is None and i % 2 == 0:
                outputs.append(getattr(self, f'norm{i}')(x))
        if self.num_classes is None:
            return tuple(outputs)
        return self.head(self.norm(x).mean((-2, -1)))
