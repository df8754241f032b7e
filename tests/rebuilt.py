"""Supernets of NAS-Bench-201 and the DARTS spaces rebuilt as networks with MixedOps, of the same weights."""

import copy

import torch
from torch import nn

from foresight_ext import MixedNode, MixedOp, Zero, supernet_of
from foresight_ext.supernets.kernel import RecordedBlock
from nasbench201.genotype import EDGE_NAMES, INCOMING, OPERATIONS
from nasbench201.operations import ReLUConvBN, ResidualBlock
from nasbench201.operations import Zero as None201
from sota.cnn.candidates import CELL_TYPES, EDGES
from sota.cnn.candidates import INCOMING as DARTS_INCOMING
from sota.cnn.operations import Zero as NoneDarts
from sota.cnn.supernet import KEPT_EDGES


class _Read(RecordedBlock):
    """A block whose operation may be removed: what it reads is recorded in any case."""

    def forward(self, x):
        return x


class _Cell201(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.read = nn.Sequential(_Read(), _Read())  # both convolutions of an edge
        self.edges = nn.ModuleList(
            MixedOp(
                {name: _without_block(one) for name, one in zip(OPERATIONS, operations)},
                choice=edge,
                removed_see_zeros=True,
            )
            for edge, operations in zip(EDGE_NAMES, cell.edges)
        )

    def forward(self, x):
        nodes = [x]
        for target in (1, 2, 3):
            nodes.append(sum(self.edges[edge](self.read(nodes[source])) for edge, source in INCOMING[target]))
        return nodes[-1]


def _without_block(operation):
    if isinstance(operation, ReLUConvBN):
        return nn.Sequential(operation.relu, operation.conv, operation.bn)
    return _known(operation)


def _known(operation):
    return Zero() if isinstance(operation, (None201, NoneDarts)) else operation


class _Network201(nn.Module):
    def __init__(self, skeleton):
        super().__init__()
        self.stem, self.last, self.classifier = skeleton.stem, skeleton.last, skeleton.classifier
        self.cells = nn.ModuleList(
            cell if isinstance(cell, ResidualBlock) else _Cell201(cell) for cell in skeleton.cells
        )

    def forward(self, x):
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        return self.classifier(self.last(x).mean((2, 3)))


class _DartsCell(nn.Module):
    def __init__(self, cell, candidates):
        super().__init__()
        self.older, self.newer = cell.older, cell.newer
        kind = CELL_TYPES[cell.reduction]
        edges = [
            MixedOp(
                dict(zip(names, map(_known, operations))), choice=f"{kind}_{2 + node}<-{source}", group=kind
            )
            for (node, source), names, operations in zip(EDGES, candidates[kind], cell.edges)
        ]
        self.nodes = nn.ModuleList(
            MixedNode([edges[edge] for edge, _ in incoming], KEPT_EDGES) for incoming in DARTS_INCOMING
        )

    def forward(self, older, newer):
        states = [self.older(older), self.newer(newer)]
        for node, incoming in zip(self.nodes, DARTS_INCOMING):
            states.append(node([states[source] for _, source in incoming]))
        return torch.cat(states[2:], dim=1)


class _DartsNetwork(nn.Module):
    def __init__(self, supernet):
        super().__init__()
        names = [choice.candidates for choice in supernet.choices]
        candidates = dict(zip(CELL_TYPES, (names[: len(EDGES)], names[len(EDGES) :])))
        self.stem, self.classifier = supernet.stem, supernet.classifier
        self.cells = nn.ModuleList(_DartsCell(cell, candidates) for cell in supernet.cells)

    def forward(self, x):
        older, newer = self.stem(x)
        for cell in self.cells:
            older, newer = newer, cell(older, newer)
        return self.classifier(newer.mean((2, 3)))


def rebuilt_nasbench201(supernet):
    """A NASBench201Supernet as a network with MixedOps; mixings are the same."""
    return supernet_of(_Network201(copy.deepcopy(supernet.skeleton)), in_place=True)


def rebuilt_darts(supernet):
    """A DartsSupernet as a network with MixedOps, whose choices stand in the order of the cells."""
    return supernet_of(_DartsNetwork(copy.deepcopy(supernet)), in_place=True)
