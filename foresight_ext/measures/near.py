"""`near`: how many directions the outputs of all layers and activations span."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from foresight_ext.errors import UserError
from foresight_ext.functional import Weights, hooks, logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.spectra import singular_values
from foresight_ext.randomness import seeded

_ACTIVATIONS = tuple(getattr(nn, name) for name in nn.modules.activation.__all__)


class Near(Proxy):
    """Sum over modules of the effective rank of their outputs: exp of the singular values' entropy.

    The modules are activations and those with a weight. A map (B x C x H x W) is rows of C channels, an image
    and position each; where there are more, as many as there are channels are taken from a random place on.
    The mean over `repetitions`, each but the first with the layers' own initialisation drawn anew. No labels,
    no gradient; in the mode the network is in; one forward pass, and C x C numbers in memory for each module.
    """

    name = "near"
    source = "Husistein, Reiher & Eckhoff 2024 (NEAR)"

    def __init__(self, repetitions: int = 1):
        self.repetitions = repetitions

    def score(self, network: nn.Module, batch: Batch) -> float:
        return near(network, [batch.inputs], self.repetitions, batch.seed, batch.seed)


@torch.no_grad()
def near(
    network: nn.Module, batches: Iterable[Tensor], repetitions: int, weights_seed: int, windows_seed: int
) -> float:
    """The score on minibatches of images, whose rows are put together until there are enough."""
    windows = np.random.RandomState(windows_seed % 2**32)
    state = own_state(network, torch.clone)
    scores = []
    with seeded(weights_seed):
        for repetition in range(repetitions):
            if repetition:
                own = {f"network.{name}": value for name, value in state.items()}
                functional_call(_Initialised(network), own, (), tie_weights=False)
            found = _outputs(network, state, batches, windows)
            if not found:
                raise UserError("near looks at activations and modules with a weight: none has run")
            scores.append(torch.stack([_effective_rank(matrix) for matrix in found]).sum())
        return float(torch.stack(scores).mean())


class _Initialised(nn.Module):
    """Called, it initialises a network's weights."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self) -> None:
        for module in self.network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()


def _outputs(
    network: nn.Module, state: Weights, batches: Iterable[Tensor], windows: np.random.RandomState
) -> list[Tensor]:
    """For each module up to C rows of its output's C channels, on the CPU."""
    rows: dict[nn.Module, Tensor] = {}
    finished: set[nn.Module] = set()

    def record(module: nn.Module, inputs: object, output: object) -> None:
        if module in finished or not (hasattr(module, "weight") or isinstance(module, _ACTIVATIONS)):
            return
        if not isinstance(output, Tensor) or output.dim() not in (2, 4):
            raise UserError(
                f"near takes outputs of B x C or B x C x H x W: those of a {type(module).__name__} are not"
            )
        found = output if output.dim() == 2 else output.transpose(1, 3).flatten(0, 2)
        if module in rows:
            found = torch.cat((rows[module].to(found), found))
        channels = found.shape[1]
        if len(found) >= channels:
            finished.add(module)
            places = len(found) // output.shape[-1]
            start = output.shape[-1] * windows.randint(0, places - 1) if places > 1 else 0
            found = found[start : start + channels]
        rows[module] = found.to("cpu", torch.float64, copy=True)  # what follows may work in place

    with hooks(network, nn.Module, record):
        for images in batches:
            logits(network, state, images)
    return list(rows.values())


def _effective_rank(matrix: Tensor) -> Tensor:
    finite = matrix.isfinite().all()
    values = singular_values(torch.where(finite, matrix, 0))
    rank = torch.special.entr(values / values.sum()).sum().exp()
    return torch.where(finite, torch.where(values.sum() == 0, 0, rank), math.nan)


PROXY = Near()
