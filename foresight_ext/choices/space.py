"""A function that builds a network with MixedOps, as a search space."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from torch import Tensor, nn

from foresight_ext.choices.genotype import as_text, of_mixing, parse
from foresight_ext.choices.mixed import MixedOp
from foresight_ext.choices.supernet import Found, NetworkSupernet, builder, fixed, supernet_of
from foresight_ext.drawing import Cell, CellEdge
from foresight_ext.errors import UserError
from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.randomness import global_streams_kept
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Masked, Mixing


class NetworkSpace(Space):
    """The space of the networks that `build` makes, called alone or with `classes` if it takes that.

    Genotypes are lines such as stem=conv3x3,layer1=skip. All training images are searched on.
    """

    def __init__(self, build: Callable[..., nn.Module], name: str = "own", softmax: bool = True):
        self.build = builder(build)
        self.name = name
        self.softmax = softmax
        classes = inspect.signature(build).parameters.get("classes")
        self.takes_classes = classes is not None
        self.needs_classes = classes is not None and classes.default is inspect.Parameter.empty

    def network(self, classes: int) -> nn.Module:
        """A new network with its MixedOps (`classes` is 0 if unknown); UserError if `build` returns none."""
        network = self.build(classes=classes) if self.takes_classes and classes else self.build()
        if not isinstance(network, nn.Module):
            raise UserError(f"build returned a {type(network).__name__}: it must return an nn.Module")
        return network

    @cached_property
    def found(self) -> Found:
        """The choices, which are the same in every network that `build` makes."""
        with global_streams_kept():
            return Found.of(self.network(2))

    def build_supernet(self, classes: int) -> NetworkSupernet:
        return supernet_of(self.network(classes), softmax=self.softmax, in_place=True)

    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        return super().after_member(mixing, genotype) if self.softmax else mixing

    def search_images(self, images: int) -> int:
        return images

    def genotype(self, mixing: Mixing) -> str:
        return as_text(of_mixing(self.found.choices, mixing))

    def read_genotype(self, text: str) -> str:
        return as_text(parse(text, self.found.choices, self.found.nodes))

    def build_network(self, genotype: str, classes: int) -> nn.Module:
        kept = parse(genotype, self.found.choices, self.found.nodes)
        return fixed(lambda: self.network(classes), kept)

    def cells(self, genotype: str) -> tuple[Cell, ...]:
        """The choices as a chain, in the order in which they stand."""
        kept = parse(genotype, self.found.choices, self.found.nodes)
        nodes = ("input", *kept)
        edges = (CellEdge(*pair, kept[pair[1]]) for pair in zip(nodes, nodes[1:]))
        return (Cell(self.name, nodes, tuple(edges)),)


def sizes(supernet: NetworkSupernet, mixing: Mixing, x: Tensor) -> Mapping[str, float]:
    """`params` and, for one image of x, `flops` (multiply-adds) of the network that a mixing leaves."""
    with supernet.under(mixing):
        parameters = sum(one.numel() for one in set(_running(supernet.network)))
    return {"params": parameters, "flops": multiply_adds(Masked(supernet, mixing), x[:1])}


def _running(module: nn.Module) -> Sequence[nn.Parameter]:
    """The parameters outside of candidates of weight 0."""
    if isinstance(module, MixedOp):
        children = [one for weight, one in zip(module.row, module.candidates) if weight]
    else:
        children = list(module.children())
    return [*module.parameters(recurse=False), *(one for child in children for one in _running(child))]
