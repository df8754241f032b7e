"""Parameters and multiply-adds of architectures in the networks that are trained."""

from functools import cache
from typing import NamedTuple

import torch

from foresight_ext.measures.complexity import Complexity, complexity
from sota.cnn.candidates import CELL_TYPES, CONCAT, NODES
from sota.cnn.network import NetworkCIFAR, NetworkImageNet
from sota.cnn.notation import Genotype


class Setting(NamedTuple):
    """A data set and the network trained on it."""

    dataset: str
    network: type[NetworkCIFAR] | type[NetworkImageNet]
    channels: int
    layers: int
    classes: int
    side: int


SETTINGS = (
    Setting("CIFAR-10", NetworkCIFAR, 36, 20, 10, 32),
    Setting("CIFAR-100", NetworkCIFAR, 16, 8, 100, 32),
    Setting("SVHN", NetworkCIFAR, 16, 8, 10, 32),
    Setting("ImageNet", NetworkImageNet, 48, 14, 1000, 224),
)

_NO_EDGES = (("none", 0),) * (2 * len(NODES))
_EMPTY = Genotype(_NO_EDGES, CONCAT, _NO_EDGES, CONCAT)


def size(genotype: Genotype, setting: Setting) -> Complexity:
    """The size of the network, without auxiliary head.

    Operations add up, so what each adds in each place is measured once: many architectures take little
    longer than one.
    """
    parts = [_measure(_EMPTY, setting)]
    cells = setting._replace(dataset="", classes=1)  # they know neither
    for cell in CELL_TYPES:
        for operation, source in getattr(genotype, cell):
            parts.append(_operation(operation, cell, cell == "reduce" and source < 2, cells))
    return Complexity(*map(sum, zip(*parts)))


@cache
def _operation(operation: str, cell: str, strided: bool, setting: Setting) -> Complexity:
    """What an operation adds to a network, all cells of that type together."""
    # the last node may read the cell's inputs, with stride 2 in reduction cells, as well as a node
    edges = (*_NO_EDGES[:-1], (operation, 0 if strided else 2))
    alone = _EMPTY._replace(normal=edges) if cell == "normal" else _EMPTY._replace(reduce=edges)
    with_it, without = _measure(alone, setting), _measure(_EMPTY, setting)
    return Complexity(*(larger - smaller for larger, smaller in zip(with_it, without)))


@cache
def _measure(genotype: Genotype, setting: Setting) -> Complexity:
    with torch.device("meta"):
        network = setting.network(
            genotype, setting.channels, setting.layers, setting.classes, auxiliary=False
        )
    return complexity(network, (3, setting.side, setting.side))
