"""Sign patterns, which ReLUs fire for which images: packed into words and counted exactly."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def fires(x: Tensor) -> Tensor:
    """Whether each number of x (B x ...) is positive, as B x D booleans on the CPU."""
    return torch.gt(x.detach().reshape(len(x), -1), 0).cpu()


def pack(bits: Tensor) -> np.ndarray:
    """Columns of bits (n x columns) as columns of 64-bit words (ceil(n / 64) x columns)."""
    packed = np.packbits(bits.numpy(), axis=0)
    filled = np.zeros((-(-len(packed) // 8) * 8, packed.shape[1]), dtype=np.uint8)
    filled[: len(packed)] = packed
    return np.ascontiguousarray(filled.T).view(np.uint64).T


def distinct(words: Sequence[np.ndarray]) -> np.ndarray:
    """The distinct columns of some arrays of as many words a column (W x columns)."""
    columns = np.concatenate(words, axis=1)
    columns = columns[:, np.lexsort(columns)]
    differs = np.any(columns[:, 1:] != columns[:, :-1], axis=0)
    return columns[:, np.concatenate((np.ones(min(1, columns.shape[1]), dtype=bool), differs))]


def unless_nan(count: float, output: Tensor) -> Tensor:
    """A count of patterns (0-dimensional, float64), or NaN if the network's output holds any."""
    value = torch.tensor(count, dtype=torch.float64, device=output.device)
    return torch.where(output.isnan().any(), torch.full_like(value, math.nan), value)
