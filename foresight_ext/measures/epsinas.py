"""`epsinas`: how differently a network sees images through tiny constant weights and through ones."""

import math

import torch
from torch import Tensor, nn

from foresight_ext.functional import BATCH_NORMS, LAYERS, check_weights, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy

_WEIGHTS = (1e-7, 1.0)


class EpsiNAS(Proxy):
    """Mean |y_0 - y_1| by the mean of both, y the outputs of the images scaled to [0, 1].

    y_0 and y_1 are with all weights 1e-7 and 1, biases 0. The images with the least output, which is 0, are
    left out of the means. Of the outputs, which are equal but for rounding, the first is taken: the authors'
    network has one. NaN where all images have one output. float64: in the authors' float32 the outputs of
    deep networks vanish, such as those of NAS-Bench-201 where no path of skips and poolings leads through a
    cell, so that the published figures are of the others. A chain of layers without
    branches scores 0. The authors take 256 images, and real ones: on noise it says much less. No labels, no
    gradient; training mode; two forward passes.
    """

    name = "epsinas"
    source = "Gracheva 2023 (epsilon-NAS)"
    needs_double = True

    @torch.no_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        check_weights(network, (*LAYERS, *BATCH_NORMS))
        state = own_state(network, _double)
        rows = []
        for value in _WEIGHTS:
            for name, _ in network.named_parameters(remove_duplicate=False):
                part = name.rpartition(".")[2]
                if part in ("weight", "bias"):
                    state[name].fill_(value if part == "weight" else 0)
            with mode(network, True):
                outputs = logits(network, state, batch.inputs.double()).flatten(1)[:, 0]
            scaled = (outputs - outputs.min()) / (outputs.max() - outputs.min())
            rows.append(torch.where(scaled == 0, math.nan, scaled))
        both = torch.stack(rows)
        score = both.diff(dim=0).abs().nanmean() / both.nanmean()
        return float(torch.where(outputs.isnan().any(), math.nan, score))


def _double(value: Tensor) -> Tensor:
    return value.double() if value.dtype == torch.float32 else value.clone()


PROXY = EpsiNAS()
