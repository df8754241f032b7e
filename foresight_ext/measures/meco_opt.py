"""`meco_opt`: how independent eight channels of every module's output are, for one real image."""

import random

import torch
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import hooks, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.meco import making_weights, smallest_eigenvalue
from foresight_ext.measures.one_image import run_alone
from foresight_ext.measures.proxy import Proxy

_CHANNELS = 8


class MeCoOpt(Proxy):
    """Sum over modules of n / 8 times the smallest eigenvalue of the correlations of 8 of its n channels.

    On the minibatch's first image, training mode. The channels are drawn by the minibatch's seed, module by
    module; where there are fewer than 8, all are taken and the factor is 1. As in the authors' code every
    module counts, so that a container or an identity counts a tensor once more, by other channels; outputs of
    one number a channel add 0. No labels, no gradient; one forward pass of one image.
    """

    name = "meco_opt"
    source = "Jiang et al. 2023 (MeCo)"

    @torch.no_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        found: list[Tensor] = []
        not_seen = making_weights(network)

        def run(images: Tensor) -> None:
            draw = random.Random(batch.seed)
            found.clear()

            def record(module: nn.Module, inputs: object, output: object) -> None:
                if module in not_seen or not isinstance(output, Tensor) or output.dim() < 2:
                    return
                count = output.shape[1]
                some = draw.sample(range(count), _CHANNELS) if count >= _CHANNELS else list(range(count))
                channels = output[0].reshape(count, -1)[some]
                found.append(smallest_eigenvalue(channels) * (count / len(some)))

            with hooks(network, nn.Module, record):
                logits(network, own_state(network), images)

        with mode(network, True):
            run_alone(run, batch.inputs[:1])
        if not found:
            raise UserError("meco_opt looks at what modules return of B x C x ...: there is none")
        return float(torch.stack(found).sum())


PROXY = MeCoOpt()
