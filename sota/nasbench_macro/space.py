"""NAS-Bench-Macro as a search space."""

from typing import Any

from torch import nn

from foresight_ext.choices.genotype import Genotype
from foresight_ext.choices.space import NetworkSpace
from sota.nasbench_macro.genotype import NAMES, SPACE, parse_genotype
from sota.nasbench_macro.network import MacroNetwork, MacroSupernet


class MacroSpace(NetworkSpace):
    """NAS-Bench-Macro (Su et al. 2021); `init_channels` are the stem's. All training images are searched on.

    Nothing is drawn between pool members.
    """

    def __init__(self, init_channels: int = 32):
        super().__init__(lambda classes: MacroNetwork(classes, init_channels), SPACE, softmax=False)
        self.init_channels = init_channels

    def settings(self) -> dict[str, Any]:
        return {"init_channels": self.init_channels}

    def smallest(self) -> "MacroSpace":
        return MacroSpace(init_channels=2)

    def build_supernet(self, classes: int) -> MacroSupernet:
        return MacroSupernet(MacroNetwork(classes, self.init_channels))

    def written(self, kept: Genotype) -> str:
        return "".join(str(NAMES.index(name)) for name in kept.values())

    def kept(self, genotype: str) -> dict[str, str]:
        return {f"layer{layer}": NAMES[digit] for layer, digit in enumerate(parse_genotype(genotype))}

    def build_network(self, genotype: str, classes: int) -> nn.Module:
        return MacroNetwork(classes, self.init_channels, parse_genotype(genotype))
