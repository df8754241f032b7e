"""Genotypes of NAS-Bench-Macro: 8 digits in the order of the layers, such as 02012100."""

import re

from foresight_ext.errors import UserError

SPACE = "nas-bench-macro"
# the candidates of every layer, in the order of the digits: identity (where a layer changes the shape a 1x1
# convolution), and inverted residuals by their kernel size and expansion
RESIDUALS = ((3, 3), (5, 6))
NAMES = ("identity", "3x3_3", "5x5_6")
# (channels as a multiple of the stem's, stride)
LAYERS = ((2, 2), (2, 1), (4, 2), (4, 1), (4, 1), (8, 2), (8, 1), (8, 1))
HEAD = 40  # channels after the layers, as such a multiple
SPACE_SIZE = len(NAMES) ** len(LAYERS)


def parse_genotype(text: str) -> tuple[int, ...]:
    """The digit of each layer; UserError if it is no genotype."""
    stripped = text.strip()
    if not re.fullmatch(f"[0-2]{{{len(LAYERS)}}}", stripped):
        digits = f"{len(LAYERS)} digits from 0 to {len(NAMES) - 1}"
        raise UserError(f"architecture '{text}' does not parse: it must be {digits}, such as 02012100")
    return tuple(map(int, stripped))
