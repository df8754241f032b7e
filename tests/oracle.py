"""The straightforward form of operation scoring, as the official code does it: the tests' oracle.

The supernet is copied for every candidate, every operation runs (on zeros where its weight is 0), every
ReLU and every block is hooked, each hook multiplies two B x D matrices, and anomaly detection is on.
"""

import copy

import numpy as np
import torch
from torch import nn

from foresight_ext.supernets.kernel import RecordedBlock
from foresight_ext.supernets.relus import RELUS
from foresight_ext.supernets.supernet import remove
from nasbench201.genotype import INCOMING
from nasbench201.operations import ReLUConvBN, ResidualBlock


class CountingBlock(RecordedBlock):
    """A ReLU-Conv-BN block that is told its weight: with weight 0 its ReLU sees zeros."""

    def __init__(self, block):
        super().__init__()
        self.body = nn.Sequential(block.relu, block.conv, block.bn)

    def forward(self, x, weight):
        return self.body(x if weight else x * 0)


class StraightforwardCell(nn.Module):
    """A search cell that runs every operation of every edge."""

    def __init__(self, cell):
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleList(CountingBlock(op) if isinstance(op, ReLUConvBN) else op for op in operations)
            for operations in cell.edges
        )

    def forward(self, x, mixing):
        nodes = [x]
        for target in (1, 2, 3):
            terms = []
            for edge, source in INCOMING[target]:
                for weight, op in zip(mixing[edge], self.edges[edge]):
                    value = nodes[source]
                    terms.append(weight * (op(value, weight) if isinstance(op, CountingBlock) else op(value)))
            nodes.append(sum(terms))
        return nodes[-1]


def straightforward_supernet(supernet):
    """A copy of a NAS-Bench-201 supernet that runs every operation."""
    supernet = copy.deepcopy(supernet)
    for index, cell in enumerate(supernet.skeleton.cells):
        if not isinstance(cell, ResidualBlock):
            supernet.skeleton.cells[index] = StraightforwardCell(cell)
    return supernet


def hooked_score(network, x, *inputs, count_blocks=True):
    """log|det K| with hooks on everything, two products a hook and numpy's slogdet."""
    network.K = np.zeros((len(x), len(x)))

    def hook(module, inputs, output):
        c = (inputs[0].reshape(len(x), -1) > 0).float()
        network.K = network.K + (c @ c.t()).cpu().numpy() + ((1.0 - c) @ (1.0 - c).t()).cpu().numpy()

    for module in network.modules():
        block = isinstance(module, RecordedBlock)
        if isinstance(module, RELUS) or (block and count_blocks):
            module.register_forward_hook(hook)
    network.eval()
    with torch.no_grad():
        network(x, *inputs)
    return float(np.linalg.slogdet(network.K)[1])


def straightforward_scores(supernet, mixing, choice, x, count_blocks=True):
    """S(A - (e,o)) for every candidate o of one choice e.

    `supernet` is a straightforward_supernet, or a DARTS supernet: there operations of weight 0 do not run.
    """
    mixings = [remove(mixing, choice, candidate) for candidate in range(len(mixing[choice]))]
    return straightforward_mixing_scores(supernet, mixings, x, count_blocks)


def straightforward_mixing_scores(supernet, mixings, x, count_blocks=True):
    """The score under each mixing, the supernet copied for each."""
    with torch.autograd.set_detect_anomaly(True):
        return [
            hooked_score(copy.deepcopy(supernet), x, mixing, count_blocks=count_blocks) for mixing in mixings
        ]
