"""`meco`: how independent the channels of all feature maps are, for one random image."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from foresight_ext.errors import UserError
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
        not_seen = making_weights(network)

        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if module in not_seen or not isinstance(output, Tensor) or output.dim() != 4:
                return
            if output.is_inference():
                raise UserError(
                    "meco: a part of the network runs in inference_mode, which hides changes in place"
                )
            key = (output, output._version)
            if key not in smallest:
                smallest[key] = smallest_eigenvalue(output[0].flatten(1))

        with hooks(network, nn.Module, record):
            logits(network, own_state(network), image.to(batch.inputs))
        if not smallest:
            raise UserError(
                "meco looks at feature maps, what modules return of 1 x C x H x W: there are none"
            )
        return float(torch.stack(list(smallest.values())).sum())


def making_weights(network: nn.Module) -> set[nn.Module]:
    """Modules that parametrisations such as weight norm consist of, and that give no features."""
    parametrised = [module for module in network.modules() if isinstance(module, ParametrizationList)]
    return {module for one in parametrised for module in one.modules()}


def smallest_eigenvalue(channels: Tensor) -> Tensor:
    """That of the correlation matrix of some channels (n x D); 0-dimensional, on the CPU.

    A constant channel has no correlations, which counts as 0. Numbers that are NaN give NaN.
    """
    matrix = correlation(channels).nan_to_num(0, 0, 0)
    return torch.where(channels.isnan().any().cpu(), math.nan, eigenvalues(matrix)[0])


PROXY = MeCo()
