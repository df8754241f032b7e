"""Draws a NAS-Bench-201 cell: python -m nasbench201.visualize ARCH|FOLDER|FILE.json [--out PATH]."""

import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.visualize", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import entry_point
from foresight_ext.commands.visualize import draw_cells
from foresight_ext.drawing import Cell, CellEdge
from foresight_ext.errors import UserError
from foresight_ext.runs.results import BEST, find_network
from nasbench201.genotype import EDGES, parse_genotype

SPACE = "nas-bench-201"
NODES = ("input", "1", "2", "output")


def cell_of(genotype: str) -> Cell:
    """The cell of an architecture string, less its 'none' edges; UserError if it does not parse."""
    edges = tuple(
        CellEdge(NODES[source], NODES[target], operation)
        for (target, source), operation in zip(EDGES, parse_genotype(genotype), strict=True)
        if operation != "none"
    )
    return Cell("NAS-Bench-201 cell", NODES, edges)


def find_genotype(where: str, network_id: str | None = None) -> str:
    """The architecture string meant by a string, a run folder or a JSON file of one or more networks.

    `network_id` picks one of several networks. UserError says what is missing or wrong.
    """
    if "|" in where:
        if network_id is not None:
            raise UserError(f"--id {network_id}: an architecture string is one network; leave the option out")
        return where
    return find_network(where, network_id, (SPACE,), "an architecture string")[1]


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print and draw the cell of a NAS-Bench-201 architecture; returns the exit code."""
    return draw_cells(
        argv,
        module="nasbench201.visualize",
        description="Print and draw the cell of a NAS-Bench-201 architecture.",
        network=(
            "ARCH|FOLDER|FILE.json",
            f"an architecture string, a run folder with its {BEST}, or such a file or a pool file",
        ),
        names=("cell",),
        find_cells=lambda where, network_id: [cell_of(find_genotype(where, network_id))],
    )


if __name__ == "__main__":
    sys.exit(main())
