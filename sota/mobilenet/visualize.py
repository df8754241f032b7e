"""Draws an architecture's chain: python -m sota.mobilenet.visualize NAME|GENOTYPE|FOLDER|JSON."""

import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.mobilenet.visualize", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import entry_point
from foresight_ext.commands.visualize import draw_cells
from foresight_ext.drawing import Cell
from sota.mobilenet.genotypes import NETWORK, find_genotype


def _find_cells(where: str, network_id: str | None) -> Sequence[Cell]:
    _, genotype = find_genotype(where, network_id)
    from sota.mobilenet.space import MobileNetSpace  # which needs PyTorch: --help is there at once

    return MobileNetSpace().cells(genotype)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print and draw the chain of an architecture; returns the exit code."""
    return draw_cells(
        argv,
        module="sota.mobilenet.visualize",
        description="Print and draw the layers of a MobileNet-like architecture.",
        network=NETWORK,
        names=("mobilenet",),
        find_cells=_find_cells,
    )


if __name__ == "__main__":
    sys.exit(main())
