"""Image files in class folders, root/split/class/file, and how one is decoded."""

from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torchvision.datasets
from PIL import Image, UnidentifiedImageError

from foresight_ext.errors import UserError, reason
from foresight_ext.images.listing import listed_order, listing_of


class ClassFolders(torchvision.datasets.ImageFolder):
    """Image files by their class folder, without hidden files and folders, such as .ipynb_checkpoints."""

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        names, _ = super().find_classes(str(directory))
        shown = [name for name in names if not name.startswith(".")]
        if not shown:
            raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
        return shown, {name: number for number, name in enumerate(shown)}

    @staticmethod
    def make_dataset(directory: str | Path, *arguments: Any, **named: Any) -> list[tuple[str, int]]:
        found = torchvision.datasets.ImageFolder.make_dataset(directory, *arguments, **named)
        shown = [(path, label) for path, label in found if not _hidden(Path(path).relative_to(directory))]
        if {label for _, label in found} != {label for _, label in shown}:
            raise FileNotFoundError(f"Found nothing but hidden files in some class folder of {directory}.")
        return shown


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


class SplitFiles(NamedTuple):
    """A split's files, each with its label, and the names of the classes.

    `listed` is the name of the list that gives the files' order; without one they are sorted by path.
    """

    samples: list[tuple[str, int]]
    classes: list[str]
    listed: str | None


def class_folders(root: Path, split: str) -> SplitFiles:
    """The files and classes of root/split, in the order of its list if it has one (see listing.py).

    UserError if no classes or other ones lie there, or if the list is not one of all files.
    """
    try:
        found = ClassFolders(str(root / split))
    except OSError as error:
        raise UserError(f"--data {root}: in {split}/: {reason(error)}") from error
    train = root / "train"
    if train.is_dir() and found.classes != found.find_classes(str(train))[0]:
        raise UserError(f"--data {root}: {split}/ and train/ have different class folders")
    listing = listing_of(root / split)
    if listing is None:
        return SplitFiles(found.samples, found.classes, None)
    names = [Path(path).relative_to(root / split).as_posix() for path, _ in found.samples]
    order = listed_order(listing, root / split, names)
    return SplitFiles([found.samples[place] for place in order], found.classes, listing.name)


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
