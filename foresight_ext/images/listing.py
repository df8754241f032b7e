"""The order of a split's image files, where a list beside its folder gives it: train.txt beside train/."""

import io
import logging
import os
import posixpath
import reprlib
from collections.abc import Sequence
from pathlib import Path

from foresight_ext.errors import UserError

_MOST_TOLD = 3  # in a message

_log = logging.getLogger(__name__)
_short = reprlib.Repr()
_short.maxstring = 80


def listing_of(split: Path) -> Path | None:
    """The list of a split's files, if there is one: what has the folder's name and ends in .txt."""
    listing = split.with_name(f"{split.name}.txt")
    return listing if os.path.lexists(listing) else None


def listed_order(listing: Path, split: Path, files: Sequence[str]) -> list[int]:
    """The places in `files` (paths relative to the split's folder) of what each line of a list names.

    A line is the path of an image relative to the folder, in UTF-8, with "/" between folders. UserError
    unless the list names every file once, and nothing else.
    """
    place = {file: number for number, file in enumerate(files)}
    order: dict[int, int] = {}  # a place, and the line that names it
    wrong = []
    for number, line in enumerate(_lines(listing), 1):
        path = posixpath.normpath(line)
        if path in place and place[path] not in order:
            order[place[path]] = number
        else:
            wrong.append((number, line, path, order.get(place.get(path, -1))))
    faults = [f"line {one[0]} {_fault(split, *one[1:])}" for one in wrong[:_MOST_TOLD]]
    if not faults and (left := [file for file in files if place[file] not in order]):
        told = ", ".join(map(_short.repr, left[:_MOST_TOLD])) + (", ..." if len(left) > _MOST_TOLD else "")
        faults.append(f"{len(left)} of the {len(files)} images in {split.name}/ are not listed ({told})")
    if faults:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise UserError(
            f"{listing}: {'; '.join(faults)}{more}: it must name each image of {split.name}/ "
            f"once, a line for each, by its path in {split.name}/, or not be there"
        )
    _log.info("images of %s/ in the order of %s", split.name, listing)
    return list(order)


def _lines(listing: Path) -> list[str]:
    if listing.exists() and not listing.is_file() and not listing.is_dir():
        raise UserError(f"{listing} cannot be read: it is no file")  # a pipe would wait for who writes to it
    try:
        text = listing.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{listing} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{listing} is no text in UTF-8: byte {error.start} can't be read") from error
    # lines end as on any system, but not at the other characters where splitlines cuts: a name may have them
    return [line.rstrip("\n") for line in io.StringIO(text, newline=None)]


def _fault(split: Path, line: str, path: str, first: int | None) -> str:
    """What is wrong with a line, whose path was named before in line `first`, if it was."""
    if not line:
        return "is empty"
    told = f"({_short.repr(line)})"
    if first is not None:
        return f"{told} is the same as line {first}"
    if path.startswith("/") or path.split("/")[0] == "..":
        return f"{told} leads out of {split.name}/"
    if os.path.lexists(split / path):
        return f"{told} is no image of a class folder"
    return f"{told} is not there"
