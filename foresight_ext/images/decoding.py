"""How an image file is decoded, or named as what it is."""

from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from foresight_ext.errors import UserError, reason


def decoded(source: str | IO[bytes], name: str) -> Image.Image:
    """An image file in colour, known by a name in messages; UserError if it is damaged."""
    try:
        with Image.open(source) as image:
            return in_eight_bits(image).convert("RGB")
    except UserError as error:
        raise UserError(f"{name} {error}") from None
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not an image, or damaged") from error
    except Exception as error:  # on a damaged image Pillow raises SyntaxError and ValueError, too
        raise UserError(f"{name} cannot be read as an image: {reason(error)}") from error


def in_eight_bits(image: Image.Image) -> Image.Image:
    """The same picture with eight bits a channel; UserError if its numbers have no scale that is known.

    Pillow itself cuts 16-bit numbers off at 255, which leaves white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.float64) / 257  # 65535 is 255
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    if image.mode in ("I", "F"):
        kind = {"I": "32-bit whole numbers", "F": "32-bit fractions"}[image.mode]
        raise UserError(f"holds {kind}, whose scale is unknown: save it with 8 or 16 bits a channel")
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        return image.convert("RGBA")  # the same colours; of what is clear Pillow would warn
    return image
