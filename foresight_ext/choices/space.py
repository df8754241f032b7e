"""A function that builds a network with MixedOps, as a search space."""

import inspect
import re
from collections.abc import Callable
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from foresight_ext.choices.genotype import Genotype, as_text, of_mixing, parse
from foresight_ext.choices.supernet import Found, NetworkSupernet, builder, fixed, supernet_of
from foresight_ext.choices.trying import candidates_compared, shape
from foresight_ext.drawing import Cell, CellEdge
from foresight_ext.errors import UserError, reason
from foresight_ext.functional import mode
from foresight_ext.images.batches import Images, digest
from foresight_ext.randomness import global_streams_kept, seeded
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Mixing
from foresight_ext.training.recipe import Recipe
from foresight_ext.training.spec import TrainSpec

# how a network of one's own is trained unless it is said otherwise
RECIPE = Recipe(epochs=100, batch_size=64, learning_rate=0.025)


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
        self.train_spec = TrainSpec(self.build_network, RECIPE)

    def network(self, classes: int) -> nn.Module:
        """A new network with its MixedOps (`classes` is 0 if unknown); UserError if `build` returns none."""
        network = self.build(classes=classes) if self.takes_classes and classes else self.build()
        if not isinstance(network, nn.Module):
            raise UserError(f"build returned a {type(network).__name__}: it must return an nn.Module")
        if any(one.is_meta for one in network.parameters()):
            raise UserError("build returned a network on the meta device, without numbers: it must have some")
        return network

    @cached_property
    def found(self) -> Found:
        """The choices, which are the same in every network that `build` makes."""
        return self._first[0]

    @cached_property
    def _first(self) -> tuple[Found, str]:
        """The choices of a network, and what tells it from another one with the same choices."""
        with global_streams_kept():
            network, again = self.network(2), self.network(2)
        found, other = Found.of(network), Found.of(again)
        if again is network:
            raise UserError("build returned the same network twice: it must make a new one each time")
        if (found.choices, found.nodes) != (other.choices, other.nodes):
            raise UserError("build makes networks of other choices each time: they must be the same")
        for name, value in chain(network.named_parameters(), network.named_buffers()):
            if is_lazy(value):
                raise UserError(f"'{name}' of a lazy module has no size yet: build networks of other modules")
        # an object without a text of its own is shown with its address, another one in each process
        parts = [repr(found.choices), re.sub(r" at 0x[0-9a-f]+", "", repr(network))]
        parts += [f"{name} {tuple(one.shape)}" for name, one in network.state_dict().items()]
        parameters = sum(one.numel() for one in network.parameters())
        return found, f"{parameters} parameters, digest {digest(parts)}"

    def settings(self) -> dict[str, Any]:
        """What tells the network from another one of the same name: its choices, and a digest of the rest."""
        found = self.found
        settings: dict[str, Any] = {"softmax": self.softmax}
        for choice in found.choices:
            settings[f"choice {choice.name}"] = ", ".join(choice.candidates)
        for node in found.nodes:
            settings[node.name] = f"keeps {node.keep}"
        return {**settings, "supernet": self._first[1]}

    def check(self, images: Images, device: torch.device) -> None:
        with global_streams_kept(), seeded(0):
            supernet = self.build_supernet(images.classes).to(device)
            batch = images.unaugmented(torch.tensor([0]), device)
            try:
                with torch.no_grad(), mode(supernet, False), candidates_compared(supernet):
                    logits = supernet(batch.inputs, supernet.new_mixing())
            except UserError:
                raise
            except Exception as error:  # of any kind: it is the user's network
                told = f"the network fails on images of {shape(batch.inputs)}"
                raise UserError(f"{told}: {reason(error)}") from error
        _ = self.found
        of_classes = batch.targets.dim() == 1 and not batch.targets.is_floating_point()
        if of_classes and logits.dim() == 2 and logits.shape[1] < images.classes:
            told = f"the network has {logits.shape[1]} logits, the images have {images.classes} classes"
            raise UserError(f"{told}: let the function that builds it take `classes`")

    def build_supernet(self, classes: int) -> NetworkSupernet:
        return supernet_of(self.network(classes), softmax=self.softmax, in_place=True)

    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        return super().after_member(mixing, genotype) if self.softmax else mixing

    def search_images(self, images: int) -> int:
        return images

    def written(self, kept: Genotype) -> str:
        """A genotype as text; a space may write its own in another way."""
        return as_text(kept)

    def kept(self, genotype: str) -> dict[str, str]:
        """What a genotype's text keeps: the other way round; UserError if it is none."""
        return parse(genotype, self.found.choices, self.found.nodes)

    def genotype(self, mixing: Mixing) -> str:
        return self.written(of_mixing(self.found.choices, mixing))

    def read_genotype(self, text: str) -> str:
        return self.written(self.kept(text))

    def build_network(self, genotype: str, classes: int) -> nn.Module:
        return fixed(lambda: self.network(classes), self.kept(genotype))

    def cells(self, genotype: str) -> tuple[Cell, ...]:
        """The choices as a chain, in the order in which they stand."""
        kept = self.kept(genotype)
        nodes = ("input", *kept)
        edges = (CellEdge(*pair, kept[pair[1]]) for pair in zip(nodes, nodes[1:]))
        return (Cell(self.name, nodes, tuple(edges)),)
