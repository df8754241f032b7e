"""The parts of `aznas` that see a network's feature maps: any of them from one pass."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import gradients
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.redrawing import drawn_anew
from foresight_ext.measures.spectra import eigenvalues, singular_values
from foresight_ext.measures.stages import run_stages

EXPRESSIVITY, PROGRESSIVITY, TRAINABILITY = (
    f"aznas_{name}" for name in ("expressivity", "progressivity", "trainability")
)


def feature_scores(names: Sequence[str], network: nn.Module, batch: Batch) -> list[float]:
    """The scores of a network by the parts of these names, in their order.

    One forward pass in training mode over weights and images drawn anew (redrawing.py), of which stem and
    cells give the feature maps (stages.py); where TRAINABILITY is among the names a backward pass, too.
    """
    entropies: list[Tensor] = []
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    back = TRAINABILITY in names

    def take(feature: Tensor) -> Tensor | None:
        if EXPRESSIVITY in names or PROGRESSIVITY in names:
            entropies.append(_entropy(feature.detach()))
        if not back:
            return None
        outputs.append(feature)
        inputs.append(feature.detach().requires_grad_())  # gradients end here
        return inputs[-1].clone()  # what follows may work in place

    state, images, draw = drawn_anew(network, batch)
    with torch.set_grad_enabled(back):
        run_stages(network, state, images, take)
        pairs = reversed(list(zip(inputs, outputs[1:])))
        passed = [_passed_back(earlier, later, draw) for earlier, later in pairs]
    scores = {TRAINABILITY: torch.stack(passed).mean()} if back else {}
    if entropies:
        every = torch.stack(entropies)
        scores |= {EXPRESSIVITY: every.sum(), PROGRESSIVITY: _least_step(every)}
    return [float(scores[name]) for name in names]


class FeatureProxy(Proxy):
    """One of those parts alone."""

    source = "Lee & Ham 2024 (AZ-NAS)"
    needs_double = True
    together = staticmethod(feature_scores)

    def score(self, network: nn.Module, batch: Batch) -> float:
        [score] = feature_scores([self.name], network, batch)
        return score


def _entropy(feature: Tensor) -> Tensor:
    """e of a feature map."""
    rows = feature.movedim(1, -1).flatten(0, 2).double()
    rows = rows - rows.mean(dim=0)
    covariance = (rows.T @ rows / len(rows)).cpu()
    finite = covariance.isfinite().all()
    values = eigenvalues(torch.where(finite, covariance, 0)).clamp(min=0)
    shares = values / values.sum()
    entropy = -(shares * (shares + 1e-8).log()).sum()
    entropy = torch.where(values.sum() == 0, -math.inf, entropy)
    return torch.where(finite, entropy, math.nan)


def _least_step(entropies: Tensor) -> Tensor:
    least = torch.where(entropies.isneginf().any(), -math.inf, entropies.diff().min())
    return torch.where(entropies.isnan().any(), math.nan, least)


def _passed_back(earlier: Tensor, later: Tensor, draw: torch.Generator) -> Tensor:
    """2 - s - 1 / (s + 1e-6) of a pair of feature maps."""
    halves = torch.full(later.shape, 0.5, device="cpu")
    signs = (2 * torch.bernoulli(halves, generator=draw) - 1).to(later)
    [back] = gradients((signs * later).sum(), [earlier])
    identity = (back == signs).all().cpu() if back.shape == signs.shape else torch.tensor(False, device="cpu")
    before, after = back.shape[2:], signs.shape[2:]
    factor = -(-before[0] // after[0])
    if any(-(-length // factor) != shorter for length, shorter in zip(before, after)):
        sizes = " and ".join(f"{height} x {width}" for height, width in (before, after))
        raise UserError(f"aznas needs feature maps whose sizes are parts of the ones before: {sizes} are not")
    missing = [factor * shorter - length for length, shorter in zip(before, after)]
    back = F.pad(back, (0, missing[1], 0, missing[0]))  # where the size is odd
    rows, columns = (
        one.movedim(1, -1).flatten(0, 2).double() for one in (F.pixel_unshuffle(back, factor), signs)
    )
    matrix = (rows.T @ columns / len(rows)).cpu()
    finite = matrix.isfinite().all()
    largest = singular_values(torch.where(finite, matrix, 0))[0]
    value = torch.where(identity, -math.inf, 2 - largest - 1 / (largest + 1e-6))
    return torch.where(finite, value, math.nan)
