"""The layers of the MobileNet-like chain, and its genotypes: 21 numbers such as 1 -1 4 2 ..."""

import re
from collections.abc import Sequence

from foresight_ext.errors import UserError

SPACE = "mobilenet"
# kernel size and expansion of each inverted residual, in the order that numbers and ties follow
RESIDUALS = ((3, 3), (3, 6), (5, 3), (5, 6), (7, 3), (7, 6))
# a layer's candidates; identity, which comes last, is none where channels or size change
NAMES = (*(f"{kernel}x{kernel}_{expansion}" for kernel, expansion in RESIDUALS), "identity")
IDENTITY = -1  # as a number

STEM, FIRST, HEAD = 40, 24, 1728  # channels before and after the layers
# (channels, layers, stride of the first)
STAGES = ((32, 4, 2), (56, 4, 2), (112, 4, 2), (128, 4, 1), (256, 4, 2), (432, 1, 1))
# (channels, stride, whether the layer starts a stage)
LAYERS = tuple(
    (channels, 1 if number else stride, number == 0)
    for channels, layers, stride in STAGES
    for number in range(layers)
)
STARTS = tuple(number for number, (*_, starts) in enumerate(LAYERS) if starts)


def candidates(layer: int) -> tuple[str, ...]:
    """The names of a layer's candidates."""
    return NAMES[:-1] if layer in STARTS else NAMES


def format_genotype(numbers: Sequence[int]) -> str:
    """The genotype of a number for each layer, as a line."""
    return " ".join(map(str, numbers))


def parse_genotype(text: str) -> tuple[int, ...]:
    """The number of each layer. Commas and brackets may stand around them; UserError names the fault."""
    parts = re.sub(r"[\[\](),]", " ", text).split()
    try:
        numbers = tuple(map(int, parts))
    except ValueError:
        numbers = ()
    if len(numbers) != len(LAYERS):
        raise UserError(f"architecture '{text}' does not parse: it must be {len(LAYERS)} whole numbers")
    for layer, number in enumerate(numbers):
        if not IDENTITY <= number < len(RESIDUALS) or (number == IDENTITY and layer in STARTS):
            least = 0 if layer in STARTS else IDENTITY
            allowed = f"from {least} to {len(RESIDUALS) - 1}"
            raise UserError(f"architecture '{text}': layer {layer} is {number}: it must be {allowed}")
    return numbers
