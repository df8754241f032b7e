"""Correlation matrices and eigenvalues, on the CPU in float64: the end of the proxies that need them."""

import torch
from torch import Tensor


def correlation(rows: Tensor) -> Tensor:
    """Correlation coefficients between rows (n x D) as n x n; NaN in the row and column of a constant one."""
    rows = rows.detach().cpu().double()
    centred = rows - rows.mean(dim=1, keepdim=True)
    unit = centred / torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return unit @ unit.T


def eigenvalues(matrix: Tensor) -> Tensor:
    """The eigenvalues (n), ascending, of a symmetric matrix (n x n) without NaN and infinity."""
    return torch.linalg.eigvalsh(matrix.detach().cpu().double())
