"""Draws an architecture: python -m sota.nasbench_macro.visualize GENOTYPE|FOLDER|JSON [--out PATH]."""

import re
import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.nasbench_macro.visualize", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import entry_point
from foresight_ext.commands.visualize import draw_cells
from foresight_ext.drawing import Cell
from foresight_ext.errors import UserError
from foresight_ext.runs.results import BEST, find_network
from sota.nasbench_macro.genotype import SPACE


def _find_cells(where: str, network_id: str | None) -> Sequence[Cell]:
    genotype = where
    if not re.fullmatch(r"\d+", where):
        genotype = find_network(where, network_id, (SPACE,), "8 digits from 0 to 2")[1]
    elif network_id is not None:
        raise UserError(f"--id {network_id}: '{where}' is one architecture; leave the option out")
    from sota.nasbench_macro.space import MacroSpace  # which needs PyTorch: --help is there at once

    return MacroSpace().cells(genotype)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print and draw the chain of an architecture; returns the exit code."""
    return draw_cells(
        argv,
        module="sota.nasbench_macro.visualize",
        description="Print and draw the layers of a NAS-Bench-Macro architecture.",
        network=(
            "GENOTYPE|FOLDER|JSON",
            f"8 digits from 0 to 2, a run folder with its {BEST}, or a JSON file",
        ),
        names=("nas-bench-macro",),
        find_cells=_find_cells,
    )


if __name__ == "__main__":
    sys.exit(main())
