"""A space of one's own in one file: a chain of three layers, each one of three candidate operations."""

from torch import Tensor, nn

from foresight_ext import Choice, Space, Supernet
from foresight_ext.supernets.supernet import Mixing
from foresight_ext.training.recipe import Recipe
from foresight_ext.training.spec import TrainSpec

CANDIDATES = ("conv3x3", "conv1x1", "skip")
CHANNELS = 8


def operation(name: str) -> nn.Module:
    """A candidate operation."""
    if name == "skip":
        return nn.Identity()
    size = 3 if name == "conv3x3" else 1
    convolution = nn.Conv2d(CHANNELS, CHANNELS, size, padding=size // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(CHANNELS))


class ChainSupernet(Supernet):
    """Holds every candidate of every layer; a network of one genotype is one with a single candidate each."""

    def __init__(self, classes: int, layers: list[tuple[str, ...]]):
        super().__init__()
        self.choices = tuple(Choice(f"layer{number}", names) for number, names in enumerate(layers))
        self.stem = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(nn.ModuleList(map(operation, names)) for names in layers)
        self.classifier = nn.Linear(CHANNELS, classes)

    def forward(self, x: Tensor, mixing: Mixing | None = None) -> Tensor:
        x = self.stem(x)
        for row, layer in zip(mixing or ((1.0,),) * len(self.layers), self.layers):
            x = sum(weight * candidate(x) for weight, candidate in zip(row, layer) if weight)
        return self.classifier(x.relu().mean((2, 3)))


class ChainSpace(Space):
    """Genotypes name the operations in order, such as conv3x3-skip-conv1x1."""

    name = "chain"

    def build_supernet(self, classes: int) -> ChainSupernet:
        return ChainSupernet(classes, [CANDIDATES] * 3)

    def genotype(self, mixing: Mixing) -> str:
        return "-".join(CANDIDATES[row.index(1.0)] for row in mixing)

    def build_network(self, genotype: str, classes: int) -> ChainSupernet:
        return ChainSupernet(classes, [(name,) for name in genotype.split("-")])

    @property
    def train_spec(self) -> TrainSpec:
        return TrainSpec(self.build_network, Recipe(epochs=4, batch_size=16, learning_rate=0.1))
