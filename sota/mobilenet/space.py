"""The MobileNet-like chain as a search space."""

from typing import Any

from torch import nn

from foresight_ext.choices.genotype import Genotype
from foresight_ext.choices.space import NetworkSpace
from sota.mobilenet.genotype import IDENTITY, NAMES, SPACE, format_genotype, parse_genotype
from sota.mobilenet.network import MobileNet

# of the official supernet, whatever the data set: they are drawn before the convolutions are
SUPERNET_CLASSES = 1000


class MobileNetSpace(NetworkSpace):
    """The chain with its channels times `width`. Removed candidates do not run, the others are summed.

    Weights stay as they are between pool members. `all_images`: the search takes minibatches from all
    training images, as it does for ImageNet, not from their first half.
    """

    def __init__(self, width: float = 1.0, all_images: bool = False):
        super().__init__(lambda: MobileNet(SUPERNET_CLASSES, width), SPACE, softmax=False)
        self.width = width
        self.all_images = all_images

    def settings(self) -> dict[str, Any]:
        return {"width": self.width}

    def smallest(self) -> "MobileNetSpace":
        return MobileNetSpace(width=0.02)

    def search_images(self, images: int) -> int:
        return images if self.all_images else images // 2

    def written(self, kept: Genotype) -> str:
        names = kept.values()
        return format_genotype([IDENTITY if name == NAMES[-1] else NAMES.index(name) for name in names])

    def kept(self, genotype: str) -> dict[str, str]:
        return {f"layer{layer}": NAMES[number] for layer, number in enumerate(parse_genotype(genotype))}

    def build_network(self, genotype: str, classes: int) -> nn.Module:
        return MobileNet(classes, self.width, parse_genotype(genotype))
