"""Plain restatement of the released Container-Light (allenai/container), its own names.

Slow and literal on purpose: attention is an explicit softmax over an N x N matrix, the gate an
explicit sum. Takes sizes that 32 divides, like the original.
"""

import torch
from torch import nn


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class PatchEmbed(nn.Module):
    def __init__(self, in_dim: int, dim: int, patch: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.proj = nn.Conv2d(in_dim, dim, patch, patch)

    def forward(self, x):
        x = self.proj(x)
        b, c, h, w = x.shape
        x = self.norm(x.flatten(2).transpose(1, 2))
        return x.transpose(1, 2).reshape(b, c, h, w)


class ConvBlock(nn.Module):
    """Stages 1 to 3: depthwise convolution, called ``attn``."""

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, dim, 1)
        self.conv2 = nn.Conv2d(dim, dim, 1)
        self.attn = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x):
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class MixBlock(nn.Module):
    """Stage 4: attention and a depthwise convolution, called ``conv``, of the same values."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.sa_weight = nn.Parameter(torch.zeros(1))
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, 3 * dim, 1)
        self.conv2 = nn.Conv2d(dim, dim, 1)
        self.conv = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x):
        x = x + self.pos_embed(x)
        b, c, h, w = x.shape
        qkv = self.conv1(self.norm1(x))
        q, k, v = qkv.view(b, 3, self.num_heads, c // self.num_heads, h * w).unbind(1)
        scores = q.transpose(-2, -1) @ k * (c // self.num_heads) ** -0.5  # B, M, N, N
        attention = (v @ scores.softmax(-1).transpose(-2, -1)).reshape(b, c, h, w)
        share = self.sa_weight.sigmoid()
        x = x + self.conv2(share * attention + (1 - share) * self.conv(qkv[:, 2 * c :]))
        return x + self.mlp(self.norm2(x))


class ReleasedContainer(nn.Module):
    """Outputs of the four stages, the last one normed; with ``num_classes`` the classifier."""

    def __init__(
        self,
        depths=(3, 4, 8, 3),
        dims=(64, 128, 320, 512),
        mlp_ratios=(8, 8, 4, 4),
        num_heads=16,
        num_classes=None,
    ):
        super().__init__()
        for i, (depth, dim, ratio) in enumerate(zip(depths, dims, mlp_ratios)):
            embed = PatchEmbed(dims[i - 1] if i else 3, dim, 2 if i else 4)
            self.add_module(f'patch_embed{i + 1}', embed)
            blocks = [
                ConvBlock(dim, ratio) if i < 3 else MixBlock(dim, num_heads, ratio)
                for _ in range(depth)
            ]
            self.add_module(f'blocks{i + 1}', nn.ModuleList(blocks))
        self.norm = nn.BatchNorm2d(dims[-1])
        if num_classes is not None:
            self.head = nn.Linear(dims[-1], num_classes)

    def forward(self, x):
        outputs = []
        for i in range(1, 5):
            x = getattr(self, f'patch_embed{i}')(x)
            for block in getattr(self, f'blocks{i}'):
                x = block(x)
            outputs.append(x)
        outputs[3] = self.norm(x)
        return tuple(outputs)
