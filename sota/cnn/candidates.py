"""The DARTS cell's edges and the candidate operations of the spaces S1 to S6 (Zela et al. 2020)."""

NODES = range(4)
# (node, input) of the 14 edges; inputs 0 and 1 are the outputs of the two cells before, 2 + n is node n
EDGES = tuple((node, source) for node in NODES for source in range(2 + node))
# node -> its (edge, input) pairs
INCOMING = tuple(
    tuple((edge, source) for edge, (to, source) in enumerate(EDGES) if to == node) for node in NODES
)
CELL_TYPES = ("normal", "reduce")
CONCAT = tuple(2 + node for node in NODES)  # a cell's output is all of its nodes

_SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


_S5 = tuple(_SHORT.values())
# all operations of reported architectures
OPERATIONS = ("none", *_S5, "noise")


def _edges(pairs: str) -> tuple[tuple[str, ...], ...]:
    """Candidates of each edge from short names: pairs joined by +, a line for each node."""
    return tuple(tuple(_SHORT[name] for name in pair.split("+")) for pair in pairs.split())


# S1: the two operations of each edge that weigh most at the end of a DARTS search
_S1 = (
    _edges(
        """
        skip+dil3 skip+dil5
        skip+dil5 skip+sep3 skip+dil3
        max+skip skip+sep3 skip+sep3 skip+dil3
        skip+sep3 max+skip skip+dil3 dil3+dil5 dil3+dil5
        """
    ),
    _edges(
        """
        max+avg max+dil3
        max+avg max+avg skip+dil5
        max+avg max+sep3 skip+dil3 skip+dil5
        max+avg max+avg skip+dil5 skip+dil5 skip+dil5
        """
    ),
)

# space -> candidates of each edge of the normal and of the reduction cell
CANDIDATES: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]] = {
    "s1": _S1,
    **{
        name: ((candidates,) * len(EDGES),) * 2
        for name, candidates in {
            "s2": ("skip_connect", "sep_conv_3x3"),
            "s3": ("none", "skip_connect", "sep_conv_3x3"),
            "s4": ("noise", "sep_conv_3x3"),
            "s5": _S5,
            "s6": ("sep_conv_5x5",),  # the largest architecture, a baseline
        }.items()
    },
}
