"""Correlation matrices, eigenvalues and singular values, on the CPU in float64: the end of some proxies."""

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


def singular_values(matrix: Tensor) -> Tensor:
    """The singular values, descending, of a matrix without NaN and infinity."""
    return torch.linalg.svdvals(matrix.detach().cpu().double())
