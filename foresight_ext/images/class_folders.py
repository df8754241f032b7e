"""Image files in class folders, root/split/class/file."""

from pathlib import Path
from typing import Any, NamedTuple

import torchvision.datasets

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
