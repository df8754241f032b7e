"""Architectures of the MobileNet-like space by name; add yours to the table: "mine": "5 -1 4 2 ...".

Print them with their parameters and multiply-adds: python -m sota.mobilenet.genotypes [NAME|21 NUMBERS ...]
"""

import difflib
import re
import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.mobilenet.genotypes", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, entry_point, whole_number
from foresight_ext.errors import UserError
from foresight_ext.runs.results import BEST, find_network
from sota.mobilenet.genotype import SPACE, format_genotype, parse_genotype

# A number for each of the 21 layers: 0, 1 are 3x3 with expansion 3 and 6, 2, 3 are 5x5, 4, 5 are 7x7;
# -1 leaves the layer out (not in layers 0, 4, 8, 12, 16 and 20, which change the number of channels).
ARCHITECTURES = {
    # 3x3 convolutions with expansion 6 in every layer, as in MobileNetV2
    "all_3x3_6": "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "largest": "5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5",
    "smallest": "0 -1 -1 -1 0 -1 -1 -1 0 -1 -1 -1 0 -1 -1 -1 0 -1 -1 -1 0",
}
# what --arch and its like mean
NETWORK = (
    "NAME|GENOTYPE|FOLDER|JSON",
    f"a name of sota/mobilenet/genotypes.py, 21 numbers, a run folder with its {BEST}, or a JSON file",
)


def find_genotype(where: str, network_id: str | None = None) -> tuple[str, str]:
    """Name and genotype meant by a name of this file, 21 numbers, a run folder or a JSON file.

    `network_id` picks one of a file's networks. UserError says what is missing or wrong.
    """
    named = where in ARCHITECTURES
    if named or re.fullmatch(r"[-\d\s,()\[\]]+", where):
        if network_id is not None:
            raise UserError(f"--id {network_id}: '{where}' is one architecture; leave the option out")
        numbers = parse_genotype(ARCHITECTURES.get(where, where))
        return where if named else "genotype", format_genotype(numbers)
    close = difflib.get_close_matches(where, ARCHITECTURES, n=3)
    known = f"an architecture of sota/mobilenet/genotypes.py ({', '.join(close or ARCHITECTURES)})"
    name, text = find_network(where, network_id, (SPACE,), known)
    return name, format_genotype(parse_genotype(text))


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print the size of architectures; returns the exit code."""
    parser = Parser("sota.mobilenet.genotypes", "Print the parameters and multiply-adds of architectures.")
    parser.add_argument(
        "networks", nargs="*", metavar=NETWORK[0], help=f"{NETWORK[1]} (default: all names of the file)"
    )
    parser.option("--image_size", type=whole_number(1), default=224, help="side of the images in pixels")
    parser.option("--classes", type=whole_number(1), default=1000, help="classes of the data set")
    options = parser.parse_args(argv)
    found = [find_genotype(where) for where in options.networks or ARCHITECTURES]

    # imported here: the architectures and what draws them need no PyTorch
    import torch

    from foresight_ext.measures.complexity import complexity
    from sota.mobilenet.space import MobileNetSpace

    print("Millions of parameters and of multiply-adds")
    width = max(len(name) for name, _ in found)
    for name, genotype in found:
        with torch.device("meta"):
            network = MobileNetSpace().build_network(genotype, options.classes)
        one = complexity(network, (3, options.image_size, options.image_size))
        print(f"{name:<{width}}  {one.parameters / 1e6:>7.3f} {one.multiply_adds / 1e6:>8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
