"""`aznas_trainability`: how well cells pass gradients back, neither more nor less, a part of `aznas`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import gradients
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.redrawing import drawn_anew
from foresight_ext.measures.spectra import singular_values
from foresight_ext.measures.stages import run_stages


class Trainability(Proxy):
    """Mean over pairs of successive feature maps of 2 - s - 1 / (s + 1e-6), at most 0, which is at s = 1.

    The maps are those of stem and cells (stages.py). Random signs g in place of the later map's gradient
    become h at the earlier map; s is the largest singular value of h^T g by the number of positions. Where
    the later map is smaller, h is unshuffled to its size, after a row and a column of zeros where that is
    half of an odd one. Minus infinity if h is g, as for a cell that
    passes on its input. Weights and images are drawn anew (redrawing.py). No labels; training mode; one
    forward and one backward pass, the memory of training; h^T g in float64.
    """

    name = "aznas_trainability"
    source = "Lee & Ham 2024 (AZ-NAS)"
    needs_gradients = True
    needs_double = True

    @torch.enable_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []

        def cut(feature: Tensor) -> Tensor:
            """Let the network go on from here, so that gradients end at the map."""
            outputs.append(feature)
            inputs.append(feature.detach().requires_grad_())
            return inputs[-1].clone()  # what follows may work in place

        state, images, draw = drawn_anew(network, batch)
        run_stages(network, state, images, cut)
        values = []
        for earlier, later in reversed(list(zip(inputs, outputs[1:]))):
            halves = torch.full(later.shape, 0.5, device="cpu")
            signs = (2 * torch.bernoulli(halves, generator=draw) - 1).to(later)
            [back] = gradients((signs * later).sum(), [earlier])
            values.append(_passed(back, signs))
        return float(torch.stack(values).mean())


def _passed(back: Tensor, signs: Tensor) -> Tensor:
    """The value of a pair."""
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


PROXY = Trainability()
