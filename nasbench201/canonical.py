"""Which architectures are one network: what a cell computes, whatever its nodes are called."""

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product

from nasbench201.genotype import EDGES, INCOMING, format_genotype, parse_genotype

_OUTPUT = 3
_HAS_WEIGHTS = ("nor_conv_1x1", "nor_conv_3x3")
# a sum as its sorted terms: the input, or (operation, which of several equal ones, the sum that it reads)
_Sum = tuple
_INPUT: _Sum = (("input",),)


def pruned(genotype: str) -> str:
    """The architecture with `none` on every edge that reads nothing or whose result goes nowhere.

    15,625 architectures come to 9,445. UserError if the genotype does not parse.
    """
    operations = list(parse_genotype(genotype))
    for _ in range(2):  # what is pruned may leave another edge without use
        for edge, (target, source) in enumerate(EDGES):
            feeds = source == 0 or any(operations[other] != "none" for other, _ in INCOMING[source])
            is_read = target == _OUTPUT or any(
                operations[other] != "none" for other, (_, start) in enumerate(EDGES) if start == target
            )
            if not (feeds and is_read):
                operations[edge] = "none"
    return format_genotype(operations)


@cache
def canonical(genotype: str) -> str:
    """A text that two architectures share if and only if their cells compute the same function.

    `none` is no edge, `skip_connect` the value itself, and the order of nodes and of terms makes no
    difference; what no output depends on is left out. Two convolutions of one value are two, because they
    have weights of their own, and one whose result is used twice is one. An operation that reads nothing
    counts as `none`: it is 0 until its batch norm is trained. UserError if the genotype does not parse.
    """
    operations = parse_genotype(genotype)
    apart = _sums(operations, (0,) * len(EDGES))
    alike: dict[_Sum, list[int]] = {}
    for edge, (_, source) in enumerate(EDGES):
        if operations[edge] in _HAS_WEIGHTS:
            alike.setdefault((operations[edge], apart[source]), []).append(edge)
    # which of several convolutions of one value is called the first makes no difference: the least text
    texts = []
    for orders in product(*(permutations(edges) for edges in alike.values())):
        numbers = [0] * len(EDGES)
        for edges in orders:
            for number, edge in enumerate(edges):
                numbers[edge] = number
        texts.append(repr(_sums(operations, numbers)[_OUTPUT]))
    return min(texts)


def _sums(operations: Sequence[str], numbers: Sequence[int]) -> list[_Sum]:
    """What each node of a cell is the sum of; `numbers` tell convolutions of one value apart."""
    nodes = [_INPUT]
    for target in (1, 2, 3):
        terms: list[tuple] = []
        for edge, source in INCOMING[target]:
            if operations[edge] == "skip_connect":
                terms += nodes[source]
            elif operations[edge] != "none" and nodes[source]:
                terms.append((operations[edge], numbers[edge], nodes[source]))
        nodes.append(tuple(sorted(terms, key=repr)))
    return nodes
