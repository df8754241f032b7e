"""Draws both cells of an architecture: python -m sota.cnn.visualize NAME|FOLDER|FILE.json [--out PATH]."""

import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.visualize", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import entry_point
from foresight_ext.commands.visualize import draw_cells
from foresight_ext.drawing import Cell, CellEdge
from foresight_ext.runs.results import BEST
from sota.cnn.candidates import CELL_TYPES
from sota.cnn.genotypes import find_genotype
from sota.cnn.notation import Genotype, check_genotype

NODES = ("c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}")
_TITLES = {"normal": "normal cell", "reduce": "reduction cell"}


def cells_of(genotype: Genotype, name: str) -> tuple[Cell, Cell]:
    """Normal and reduction cell, less 'none' edges; UserError names the architecture and what is wrong."""
    check_genotype(genotype, name)
    normal, reduce = (_cell(genotype, cell) for cell in CELL_TYPES)
    return normal, reduce


def _cell(genotype: Genotype, cell: str) -> Cell:
    edges = [
        CellEdge(NODES[source], NODES[2 + number // 2], operation)
        for number, (operation, source) in enumerate(getattr(genotype, cell))
        if operation != "none"
    ]
    edges += [CellEdge(NODES[node], NODES[-1], "") for node in getattr(genotype, f"{cell}_concat")]
    return Cell(_TITLES[cell], NODES, tuple(edges))


def _find_cells(where: str, network_id: str | None) -> tuple[Cell, Cell]:
    name, genotype = find_genotype(where, network_id)
    return cells_of(genotype, name)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print and draw both cells of a DARTS architecture; returns the exit code."""
    return draw_cells(
        argv,
        module="sota.cnn.visualize",
        description="Print and draw both cells of a DARTS architecture.",
        network=(
            "NAME|FOLDER|FILE.json",
            f"a name of sota/cnn/genotypes.py, a run folder with its {BEST}, or such a file or a pool file",
        ),
        names=CELL_TYPES,
        find_cells=_find_cells,
    )


if __name__ == "__main__":
    sys.exit(main())
