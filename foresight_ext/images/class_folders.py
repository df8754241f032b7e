"""Image files in class folders, root/split/class/file, and how one is decoded."""

from pathlib import Path
from typing import IO

import torchvision.datasets
from PIL import Image, UnidentifiedImageError

from foresight_ext.errors import UserError, reason


def class_folders(root: Path, split: str) -> torchvision.datasets.ImageFolder:
    """The files and classes of root/split; UserError if none or other classes lie there."""
    try:
        found = torchvision.datasets.ImageFolder(str(root / split))
    except OSError as error:
        raise UserError(f"--data {root}: in {split}/: {reason(error)}") from error
    train = root / "train"
    if train.is_dir() and found.classes != sorted(entry.name for entry in train.iterdir() if entry.is_dir()):
        raise UserError(f"--data {root}: {split}/ and train/ have different class folders")
    return found


def decoded(source: str | IO[bytes], name: str) -> Image.Image:
    """An image file in colour, known by a name in messages; UserError if it is damaged."""
    try:
        with Image.open(source) as image:
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not an image, or damaged") from error
    except Exception as error:  # on a damaged image Pillow raises SyntaxError and ValueError, too
        raise UserError(f"{name} cannot be read as an image: {reason(error)}") from error
