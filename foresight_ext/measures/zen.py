"""`zen`: how expressive the network is, as far as weights drawn at random tell."""

import torch
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import BATCH_NORMS, LAYERS, check_weights, hooks, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.redrawing import draw_weights, normal

_STEP = 0.01


class Zen(Proxy):
    """log E[|f(x) - f(x + 0.01 x2)|] + sum over batch norms of log sqrt(mean variance), over redrawn weights.

    f are the features before global pooling; x and x2 are as many standard normal images as the minibatch
    has, |.| sums over an image's features and E is the mean over images. Each repeat draws all layers'
    weights from N(0, 1), biases and batch norms' shifts are 0 and their scales 1; the score is the mean over
    repeats. Running variances start from the network's and go on from repeat to repeat, as in the authors'
    code. No labels, no gradient; training mode; two forward passes a repeat. UserError without one global
    pooling (AdaptiveAvgPool2d).
    """

    name = "zen"
    source = "Lin et al. 2021 (Zen-NAS)"

    def __init__(self, repeats: int = 32):
        self.repeats = repeats

    @torch.no_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        check_weights(network, (*LAYERS, *BATCH_NORMS))
        state = own_state(network, torch.clone)
        draw = torch.Generator("cpu").manual_seed(batch.seed)
        features: list[Tensor] = []
        norms: set[nn.Module] = set()  # those that run

        def before_pooling(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            features.append(inputs[0])

        scores = []
        with (
            mode(network, True),
            hooks(network, nn.AdaptiveAvgPool2d, before_pooling, before=True),
            hooks(network, BATCH_NORMS, lambda module, *_: norms.add(module)),
        ):
            for _ in range(self.repeats):
                draw_weights(network, state, draw)
                features.clear()
                x, x2 = (normal(batch.inputs, draw) for _ in range(2))
                for images in (x, x + _STEP * x2):
                    logits(network, state, images)
                if len(features) != 2:
                    raise UserError("zen reads features at an AdaptiveAvgPool2d: a network needs just one")
                change = (features[0] - features[1]).abs().flatten(1).sum(dim=1).mean().log()
                named = [name for name, module in network.named_modules() if module in norms]
                if any(f"{name}.running_var" not in state for name in named):
                    raise UserError("zen needs batch norms with running statistics")
                variances = [state[f"{name}.running_var"].mean() for name in named]
                scores.append(change + sum(0.5 * variance.log() for variance in variances))
        return float(torch.stack(scores).mean())


PROXY = Zen()
