"""NAS-Bench-201 as a search space: supernet, mixing, genotype and network for the shared search."""

from dataclasses import asdict
from typing import Any

import torch

from foresight_ext.drawing import Cell
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Mixing, softmax_mixing
from nasbench201.canonical import canonical
from nasbench201.genotype import EDGES, OPERATIONS, format_genotype, parse_genotype
from nasbench201.network import NASBench201Network
from nasbench201.settings import SkeletonSettings
from nasbench201.supernet import NASBench201Supernet
from nasbench201.visualize import cell_of


class NASBench201Space(Space):
    """NAS-Bench-201 (Dong & Yang 2020) with C stem channels and N cells a stage."""

    name = "nas-bench-201"
    new_pass_for_each_batch = True

    def __init__(self, init_channels: int = 16, cells: int = 5):
        self.skeleton = SkeletonSettings(init_channels, cells)

    def settings(self) -> dict[str, Any]:
        return asdict(self.skeleton)

    def smallest(self) -> "NASBench201Space":
        return NASBench201Space(init_channels=2, cells=1)

    def build_supernet(self, classes: int, images: int = 3) -> NASBench201Supernet:
        return NASBench201Supernet(self.skeleton.init_channels, self.skeleton.cells, classes, images)

    def begin(self, classes: int) -> tuple[NASBench201Supernet, Mixing]:
        supernet = self.build_supernet(classes)
        mixing = _draw_mixing()
        # The official search also builds the supernet that TE-NAS scores, for images of one channel;
        # it has a place in the random stream whatever the proxy.
        self.build_supernet(classes, images=1)
        _draw_mixing()
        return supernet, mixing

    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        return _draw_mixing()

    def genotype(self, mixing: Mixing) -> str:
        return format_genotype([OPERATIONS[row.index(1.0)] for row in mixing])

    def read_genotype(self, text: str) -> str:
        return format_genotype(parse_genotype(text))

    def build_network(self, genotype: str, classes: int) -> NASBench201Network:
        return NASBench201Network(genotype, self.skeleton.init_channels, self.skeleton.cells, classes)

    def same_network(self, genotype: str) -> str:
        return canonical(genotype)

    def cells(self, genotype: str) -> tuple[Cell, ...]:
        return (cell_of(genotype),)


def _draw_mixing() -> Mixing:
    return softmax_mixing(1e-3 * torch.randn(len(EDGES), len(OPERATIONS)))
