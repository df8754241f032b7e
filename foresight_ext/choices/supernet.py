"""The supernet that a network with MixedOps is, and the stand-alone network that a genotype leaves of it."""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from foresight_ext.choices.fast import Form
from foresight_ext.choices.genotype import Genotype, checked, parse
from foresight_ext.choices.mixed import MixedNode, MixedOp, Zero
from foresight_ext.choices.mixed import Node as KeptNode
from foresight_ext.choices.tracing import Untraceable
from foresight_ext.errors import UserError
from foresight_ext.functional import mode, only_logits
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.supernet import Choice, Mixing, Node, Supernet

_log = logging.getLogger(__name__)
# no part of a supernet, whose copies are others
_FORMS: "WeakKeyDictionary[NetworkSupernet, Form | None]" = WeakKeyDictionary()


class NetworkSupernet(Supernet):
    """A network with MixedOps, run under a mixing. Choices are in the order in which they stand in it.

    Between two runs its MixedOps have the weights that they had before.
    """

    def __init__(self, network: nn.Module, softmax: bool = True):
        super().__init__()
        found = Found.of(network)
        if not found.choices:
            raise UserError("the network has no MixedOp: there is nothing to choose")
        self.network = network
        self.choices, self.nodes = found.choices, found.nodes
        self.softmax = softmax
        self.operations = found.operations
        self._numbers: dict[nn.Module, int] = {
            one: number for number, several in enumerate(found.operations) for one in several
        }
        self._adds = tuple(
            tuple(float(not isinstance(one, Zero)) for one in operations[0].candidates)
            for operations in self.operations
        )

    def forward(self, x: Tensor, mixing: Mixing) -> Tensor:
        with self.under(mixing):
            return only_logits(self.network, self.network(x))

    @contextmanager
    def under(self, mixing: Mixing) -> Iterator[None]:
        """Let the network's MixedOps have the mixing's weights while this is entered."""
        before = [(one, one.row) for operations in self.operations for one in operations]
        try:
            for operations, row in zip(self.operations, mixing):
                for one in operations:
                    one.row = row
            yield
        finally:
            for one, row in before:
                one.row = row

    def kernels(
        self, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
    ) -> list[AgreementKernel]:
        form = self._form()
        if form is None:
            return super().kernels(x, mixings, new_kernel)
        with mode(self.network, False):
            return form.kernels(x, mixings, new_kernel)

    def _form(self) -> Form | None:
        """The fast form; None if the network has none, which is said once."""
        if self not in _FORMS:
            try:
                with mode(self.network, False):
                    _FORMS[self] = Form(self.network, self._numbers)
            except Untraceable as why:
                _log.warning("the network is scored in the plain form, exactly but slower: %s", why)
                _FORMS[self] = None
        return _FORMS[self]

    def new_mixing(self) -> Mixing:
        if self.softmax:
            return super().new_mixing()
        return tuple((1.0,) * len(choice.candidates) for choice in self.choices)

    def effective(self, mixing: Mixing) -> Mixing:
        """Zeros add nothing, and what stands in a candidate that does not run has no weight."""
        return tuple(
            tuple(weight * adds for weight, adds in zip(row, adding))
            if self.runs(mixing, number)
            else (0.0,) * len(row)
            for number, (row, adding) in enumerate(zip(mixing, self._adds))
        )


def supernet_of(network: nn.Module, *, softmax: bool = True, in_place: bool = False) -> NetworkSupernet:
    """The supernet that a network with MixedOps is.

    Args:
        network: any network; its forward pass stays its own.
        softmax: whether a search starts from the softmax of small noise (the method's weights); else each
            candidate has the weight 1.
        in_place: whether the network itself becomes part of the supernet, not a copy.

    Raises:
        UserError: no MixedOp; MixedOps of one choice with other candidates or groups; a module that is a
            candidate in two places; a name that can't stand in a genotype.
    """
    return NetworkSupernet(network if in_place else copy.deepcopy(network), softmax)


def fixed(build: Callable[[], nn.Module], genotype: Genotype | str) -> nn.Module:
    """The stand-alone network of a genotype: build() with each MixedOp replaced by its candidate.

    The genotype is a mapping, or the text of one: a line or a JSON object.

    Nothing of the search is left in it. UserError if the genotype does not fit: a choice that is missing,
    unknown, or names another candidate.
    """
    network = builder(build)()
    found = Found.of(network)
    if not isinstance(genotype, str | Mapping):
        kind = type(genotype).__name__
        raise UserError(f"the genotype is a {kind}: it must be a mapping, or the text of one")
    if isinstance(genotype, str):
        kept = parse(genotype, found.choices, found.nodes)
    else:
        kept = checked(genotype, found.choices, found.nodes)
    becomes: dict[nn.Module, nn.Module] = {}
    for choice, operations in zip(found.choices, found.operations):
        if choice.name in kept:
            number = choice.candidates.index(kept[choice.name])
            becomes.update((one, one.candidates[number]) for one in operations)

    def plain(module: nn.Module) -> nn.Module:
        while module in becomes:  # a candidate may be a MixedOp itself
            module = becomes[module]
        return module

    for node in found.places:
        running = [number for number, edge in enumerate(node.edges) if edge in becomes]
        becomes[node] = KeptNode([plain(node.edges[number]) for number in running], running)
    for module in [*network.modules(), *becomes.values()]:
        for name, child in list(module._modules.items()):
            if child in becomes:
                setattr(module, name, plain(child))
    return plain(network)


def builder(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The same; UserError if it is no function that makes networks, but a network, say."""
    if isinstance(build, nn.Module) or not callable(build):
        kind = "network" if isinstance(build, nn.Module) else type(build).__name__
        raise UserError(f"build is a {kind}: it must be a function that makes the network")
    return build


@dataclass
class Found:
    """A network's choices in the order in which they stand, with the MixedOps of each, and its nodes."""

    choices: tuple[Choice, ...] = ()
    operations: list[list[MixedOp]] = field(default_factory=list)
    nodes: tuple[Node, ...] = ()
    places: list[MixedNode] = field(default_factory=list)

    @classmethod
    def of(cls, network: nn.Module) -> "Found":
        """What supernet_of finds; the same errors."""
        seeker = _Seeker()
        seeker.visit(network, "", None)
        places, numbers = list(seeker.places.values()), list(seeker.places)
        nodes: dict[tuple[int, ...], Node] = {}
        for place in seeker.nodes:
            names = [seeker.names[edge] for edge in place.edges]
            edges = tuple(map(numbers.index, names))
            if len(set(edges)) < len(edges):
                raise UserError(
                    f"the node of {', '.join(names)} has several edges of one choice: give each its own"
                )
            groups = {places[edge][0].group for edge in edges}
            if len(groups) > 1 or nodes.get(edges, place).keep != place.keep:
                raise UserError(
                    f"the node of {', '.join(names)} has edges of several groups, or keeps other numbers"
                )
            nodes[edges] = Node("node of " + "+".join(names), edges, place.keep, *groups)
        choices = tuple(choice for choice, _ in places)
        return cls(choices, [operations for _, operations in places], tuple(nodes.values()), seeker.nodes)


class _Seeker:
    """Walks through a network. `places` are its choices by their names, with their MixedOps."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[Choice, list[MixedOp]]] = {}
        self.names: dict[nn.Module, str] = {}
        self.nodes: list[MixedNode] = []
        self._given: dict[str, bool] = {}  # whether a choice's name was given
        self._owners: dict[nn.Module, str] = {}
        self._seen: set[nn.Module] = set()

    def visit(self, module: nn.Module, path: str, within: tuple[str, int] | None) -> None:
        """`path` leads from the network, or the candidate that it stands in, to the module."""
        if module in self._seen:
            return  # one module in two places is one decision
        self._seen.add(module)
        if isinstance(module, MixedOp):
            self._visit_mixed(module, path, within)
            return
        if isinstance(module, MixedNode):
            self.nodes.append(module)
        for name, child in module.named_children():
            self.visit(child, f"{path}.{name}" if path else name, within)

    def _visit_mixed(self, module: MixedOp, path: str, within: tuple[str, int] | None) -> None:
        name = module.choice or path or ("" if within else module.group)
        if any(letter in name for letter in ",=/ \t\n"):
            raise UserError(f"the place '{name}' can't stand in a genotype: give the MixedOp a choice='NAME'")
        outer = None
        if within is not None:
            holder = self.places[within[0]][0]
            outer = list(self.places).index(within[0]), within[1]
            name = "/".join(filter(None, (holder.name, holder.candidates[within[1]], name)))
        choice = Choice(name, module.names, module.group, outer)
        if name in self.places and (told := self._conflict(self.places[name][0], choice, module)):
            raise UserError(told)
        self._given.setdefault(name, module.choice is not None)
        self.places.setdefault(name, (choice, []))[1].append(module)
        self.names[module] = name
        for number, candidate in enumerate(module.candidates):
            if candidate in self._owners:
                raise UserError(
                    f"'{name}': its candidate '{module.names[number]}' is one of '{self._owners[candidate]}' "
                    "too, and would share its weights: make each one's own"
                )
            self._owners[candidate] = name
            self.visit(candidate, "", (name, number))

    def _conflict(self, first: Choice, second: Choice, module: MixedOp) -> str:
        """What is wrong if both places have one name; empty if they are one choice."""
        several = f"the choice '{first.name}' stands in several places"
        if first.candidates != second.candidates:
            both = " and ".join(", ".join(one.candidates) for one in (first, second))
            return f"{several} with other candidates: {both}"
        if first.group != second.group:
            return f"{several} with other groups: '{first.group}' and '{second.group}'"
        if self._given[first.name] != (module.choice is not None):
            return f"the choice '{first.name}' has the name of another's place: give it another name"
        return ""
