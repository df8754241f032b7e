"""The DARTS spaces S1 to S6 as search spaces: supernet, draws, genotype and network for the shared search."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from foresight_ext.drawing import Cell
from foresight_ext.errors import UserError
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Mixing, Supernet, softmax_mixing
from sota.cnn.candidates import CANDIDATES, CELL_TYPES, CONCAT, EDGES, INCOMING, NODES
from sota.cnn.network import DartsNetwork, NetworkCIFAR, NetworkImageNet
from sota.cnn.notation import Genotype, as_pasted, format_genotype, parse_genotype
from sota.cnn.settings import SearchSkeleton
from sota.cnn.sizes import Setting
from sota.cnn.sizes import size as size_of
from sota.cnn.stems import ImageNetStem
from sota.cnn.supernet import KEPT_EDGES, DartsSupernet
from sota.cnn.visualize import cells_of


class DartsSpace(Space):
    """One of the spaces S1 to S6, with the supernet's (and the validation networks') channels and layers."""

    network: type[NetworkCIFAR] | type[NetworkImageNet] = NetworkCIFAR
    members_apart = False

    def __init__(self, name: str = "s5", search_channels: int = 16, search_layers: int = 8):
        self.name = name
        self.skeleton = SearchSkeleton(search_channels, search_layers)

    def settings(self) -> dict[str, Any]:
        return asdict(self.skeleton)

    def smallest(self) -> "DartsSpace":
        return type(self)(self.name, search_channels=2, search_layers=3)

    def build_supernet(self, classes: int) -> DartsSupernet:
        return DartsSupernet(self.name, self.skeleton.search_channels, self.skeleton.search_layers, classes)

    def begin(self, classes: int) -> tuple[DartsSupernet, Mixing]:
        self._classes = classes
        supernet = self.build_supernet(classes)
        rows = [
            row
            for candidates in CANDIDATES[self.name]
            for row in 1e-3 * torch.randn(len(EDGES), len(candidates[0]))
        ]
        return supernet, softmax_mixing(rows)

    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        """The official search builds the network to retrain, to count its parameters: draws are lost."""
        if genotype is None:
            raise ValueError("the draws of a DARTS member depend on the genotype of the one before")
        NetworkCIFAR(parse_genotype(genotype), 36, 20, self._classes, auxiliary=True)
        return mixing

    def genotype(self, mixing: Mixing) -> str:
        cells = []
        for offset, candidates in zip((0, len(EDGES)), CANDIDATES[self.name]):
            rows = mixing[offset : offset + len(EDGES)]
            cells.append(tuple(pair for node in NODES for pair in _kept(node, rows, candidates)))
        return format_genotype(Genotype(cells[0], CONCAT, cells[1], CONCAT))

    def build_network(self, genotype: str, classes: int) -> DartsNetwork:
        parsed = parse_genotype(genotype)
        return self.network(
            parsed, self.skeleton.search_channels, self.skeleton.search_layers, classes, auxiliary=False
        )

    def sizes(self, supernet: Supernet, mixing: Mixing, x: Tensor, classes: int) -> Mapping[str, float]:
        shape = self.skeleton
        size = Setting("", self.network, shape.search_channels, shape.search_layers, classes, x.shape[-1])
        return dict(zip(("params", "flops"), size_of(parse_genotype(self.genotype(mixing)), size)))

    def read_genotype(self, text: str) -> str:
        parsed = parse_genotype(text)
        for cell, candidates in zip(CELL_TYPES, CANDIDATES[self.name]):
            for number, (operation, source) in enumerate(getattr(parsed, cell)):
                node = number // 2
                edge = next(edge for edge, other in INCOMING[node] if other == source)
                allowed = [name for name in candidates[edge] if name != "none"]
                if operation not in allowed:
                    raise UserError(
                        f"architecture '{text}': node {node} of its {cell} cell has {operation} on input "
                        f"{source}: there {self.name} has {', '.join(allowed)}"
                    )
                if number % 2 and getattr(parsed, cell)[number - 1][1] == source:
                    raise UserError(
                        f"architecture '{text}': node {node} of its {cell} cell reads input {source} twice"
                    )
        return format_genotype(parsed)

    def to_paste(self, genotype: str) -> str:
        return as_pasted(parse_genotype(genotype))

    def cells(self, genotype: str) -> tuple[Cell, ...]:
        return cells_of(parse_genotype(genotype), self.name)


class DartsImageNetSpace(DartsSpace):
    """The same for images of about 224 pixels, searched on all of the training images.

    The images' random stream is this project's own, so nothing that the official search draws is repeated.
    """

    network = NetworkImageNet
    members_apart = True

    def build_supernet(self, classes: int) -> DartsSupernet:
        return DartsSupernet(
            self.name, self.skeleton.search_channels, self.skeleton.search_layers, classes, ImageNetStem
        )

    def search_images(self, images: int) -> int:
        return images

    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        return mixing


def _kept(node: int, rows: Mixing, candidates: tuple[tuple[str, ...], ...]) -> list[tuple[str, int]]:
    """The two (operation, input) pairs of a node: its edges by falling weight of their best operation.

    `none` is no operation here: an edge on which it won weighs 0 and reads as its first other operation.
    """
    best = []
    for edge, source in INCOMING[node]:
        weights = {name: w for name, w in zip(candidates[edge], rows[edge]) if name != "none"}
        name = max(weights, key=weights.__getitem__)
        best.append((weights[name], name, source))
    best.sort(key=lambda one: -one[0])
    return [(name, source) for _, name, source in best[:KEPT_EDGES]]


# the spaces by their names, as functions of the skeleton's settings
S1, S2, S3, S4, S5, S6 = (partial(DartsSpace, name) for name in CANDIDATES)
