"""Genotype strings of NAS-Bench-201, such as |skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|."""

import re
from collections.abc import Sequence

from foresight_ext.errors import UserError

# candidate operations in the order that mixing weights and ties follow
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# (target node, source node) of each edge, in the order that mixing weights and ties follow
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
SPACE_SIZE = len(OPERATIONS) ** len(EDGES)
# node -> its (edge, source) pairs
INCOMING = {
    node: tuple((edge, source) for edge, (target, source) in enumerate(EDGES) if target == node)
    for node in (1, 2, 3)
}
EDGE_NAMES = tuple(f"{target}<-{source}" for target, source in EDGES)

_PATTERN = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")


def format_genotype(operations: Sequence[str]) -> str:
    """The string of a cell, given the operation on each of the six edges in the order of EDGES."""
    parts = [
        "|" + "|".join(f"{op}~{source}" for (to, source), op in zip(EDGES, operations) if to == target) + "|"
        for target in (1, 2, 3)
    ]
    return "+".join(parts)


def parse_genotype(genotype: str) -> tuple[str, ...]:
    """The operation on each of the six edges, in the order of EDGES; UserError names the fault."""
    match = _PATTERN.fullmatch(genotype.strip())
    if match is None:
        raise UserError(
            f"architecture '{genotype}' does not parse: it must look like "
            "|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of " + ", ".join(OPERATIONS)
        )
    for edge, operation in zip(EDGE_NAMES, match.groups()):
        if operation not in OPERATIONS:
            raise UserError(
                f"architecture '{genotype}' has the unknown operation '{operation}' on edge {edge}: "
                f"choose from {', '.join(OPERATIONS)}"
            )
    return match.groups()
