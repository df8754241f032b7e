"""`meco`: how independent the channels of all feature maps are, for one random image."""

import math

import torch
from torch import Tensor, nn

from foresight_ext.functional import hooks, logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.spectra import correlation, eigenvalues

_SIDE = 64


class MeCo(Proxy):
    """Sum over feature maps of the smallest eigenvalue of the correlation matrix of their channels.

    One image of 64 x 64 standard normal numbers, the same for every network that is scored on a minibatch;
    entries that are NaN or infinite (of constant channels) count as 0. The authors hook every module,
    containers included, so that some maps count twice or more; here each distinct tensor counts once. No
    labels, no gradient; in the mode the network is in; one forward pass, and one image's maps in memory.
    """

    name = "meco"
    source = "Jiang et al. 2023 (MeCo)"

    @torch.no_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        draw = torch.Generator("cpu").manual_seed(batch.seed)
        image = torch.randn(1, batch.inputs.shape[1], _SIDE, _SIDE, generator=draw, device="cpu")
        # by feature map; what an operation in place makes of one is another
        smallest: dict[tuple[Tensor, int], Tensor] = {}

        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not isinstance(output, Tensor) or output.dim() != 4:
                return
            key = (output, output._version)
            if key not in smallest:
                matrix = correlation(output[0].flatten(1)).nan_to_num(0, 0, 0)
                # a constant channel has no correlations, which counts as 0; a map that is NaN has no value
                smallest[key] = torch.where(output.isnan().any().cpu(), math.nan, eigenvalues(matrix)[0])

        with hooks(network, nn.Module, record):
            logits(network, own_state(network), image.to(batch.inputs))
        return float(torch.stack(list(smallest.values())).sum())


PROXY = MeCo()
