"""NAS-Bench-Macro's chain: its supernet, and the stand-alone network of a genotype."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from foresight_ext.choices.mixed import MixedOp
from foresight_ext.choices.supernet import NetworkSupernet
from foresight_ext.supernets.supernet import Mixing
from sota.mobilenet.network import InvertedResidual, conv_bn
from sota.nasbench_macro.genotype import HEAD, LAYERS, NAMES, RESIDUALS


class MacroNetwork(nn.Module):
    """The chain with all candidates in MixedOps, or with a genotype the one that each layer keeps.

    `channels` are the stem's; the layers have 2, 4 and 8 times as many.
    """

    def __init__(self, classes: int, channels: int = 32, genotype: Sequence[int] | None = None):
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, channels, 3), nn.ReLU())
        self.layers = nn.Sequential()
        c_in = channels
        for layer, (times, stride) in enumerate(LAYERS):
            c_out = times * channels
            makers = {name: _maker(number, c_in, c_out, stride) for number, name in enumerate(NAMES)}
            if genotype is None:
                self.layers.append(MixedOp(makers, f"layer{layer}", removed_see_zeros=True))
            else:
                self.layers.append(makers[NAMES[genotype[layer]]]())
            c_in = c_out
        self.head = nn.Sequential(*conv_bn(c_in, HEAD * channels), nn.ReLU())
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(HEAD * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pooling(self.head(self.layers(self.stem(x)))).flatten(1))


def _maker(number: int, c_in: int, c_out: int, stride: int) -> Callable[[], nn.Module]:
    """What makes the candidate of a digit."""
    if number:
        kernel_size, expansion = RESIDUALS[number - 1]
        return lambda: InvertedResidual(
            c_in, c_out, kernel_size, expansion, stride, residual=stride == 1, activation=nn.ReLU
        )
    if stride > 1:
        return lambda: nn.Sequential(*conv_bn(c_in, c_out, stride=stride))
    return nn.Identity


class MacroSupernet(NetworkSupernet):
    """The chain under a mixing, which starts from equal weights."""

    def new_mixing(self) -> Mixing:
        return tuple((1 / len(NAMES),) * len(NAMES) for _ in LAYERS)
