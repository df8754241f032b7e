"""A small vision transformer, searched on scikit-learn's digits: heads and MLP width of each block."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from foresight_ext import MixedOp, zero_cost_pt

WIDTH = 32


class Attention(nn.Module):
    """Self-attention of tokens (B x T x WIDTH)."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.all, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.all(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


def mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, width), nn.GELU(), nn.Linear(width, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = MixedOp({f"heads{heads}": Attention(heads) for heads in (1, 2, 4, 8)})
        self.mlp = MixedOp({f"width{width}": mlp(width) for width in (32, 64, 128)})
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.heads(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, 2, stride=2)
        self.positions = nn.Parameter(0.02 * torch.randn(16, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.blocks(tokens).mean(1))


pixels, labels = load_digits(return_X_y=True)
images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
found = zero_cost_pt(
    VisionTransformer,
    (images, torch.tensor(labels)),
    proxy="snip",  # it needs no ReLUs, which jacob looks at
    pool_size=3,
    validate_rounds=5,
    at_most={"flops": "80%"},
)
print(found.draw())
for genotype, score in found.scores.items():
    print(f"{score:8.2f}  {genotype}")
