"""Finds image files that can't be used before long work starts; splits found whole are remembered."""

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from foresight_ext.errors import UserError
from foresight_ext.files import write_text
from foresight_ext.images.batches import digest
from foresight_ext.images.decoding import decoded
from foresight_ext.runs.progress import Progress

_AT_ONCE = 256  # images that Ctrl-C waits for
_MOST_TOLD = 5  # in a message

_log = logging.getLogger(__name__)


def stats_of(files: Sequence[str]) -> list[os.stat_result]:
    """What the file system says of image files; UserError for a link to nowhere and for what is no file."""
    stats = []
    for path in files:
        try:
            stats.append(Path(path).stat())
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(stats[-1].st_mode):
            raise UserError(f"{path} is no file that holds an image, but a pipe, a socket or a device")
    return stats


def check_images(split: Path, files: Sequence[str], stats: Sequence[os.stat_result], workers: int) -> None:
    """UserError that names the images of a split's folder that can't be used: one look over all files.

    A PNG is found damaged by its checksums, a JPEG by its header and its missing end; any other file, and
    one that is found damaged so, is decoded, so that none is refused which could be read. What is not found
    are a JPEG's changed bytes between header and end, which decode to other colours, and a PNG that was
    written wrong with right checksums: those are told when they are read, if they can't be decoded.

    A split without a fault is remembered in a hidden file beside its folder, where that can be written,
    until a file's name, size or time of change is another one; their order makes no difference.
    """
    memory = split.with_name(f".{split.name}-checked")
    kinds = sorted(f"{path} {one.st_size} {one.st_mtime_ns}" for path, one in zip(files, stats))
    now = digest(kinds)
    if _remembered(memory) == now:
        return
    with Progress(f"looking for damaged images in {split}", len(files)) as progress:
        faults = []
        for fault in _looked_at(files, workers):
            faults.extend([fault] if fault else [])
            progress.step()
    if faults:
        several = f"{len(faults)} of {len(files)} images can't be used: " if len(faults) > 1 else ""
        more = f"; and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
        raise UserError(several + "; ".join(faults[:_MOST_TOLD]) + more)
    try:
        write_text(memory, now)
    except OSError as error:
        _log.info("%s can't be written (%s): images are looked at again next time", memory, error.strerror)


def _remembered(memory: Path) -> str | None:
    try:
        return memory.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _looked_at(files: Sequence[str], workers: int) -> Iterator[str | None]:
    """What is wrong with each file, None if nothing."""
    if workers <= 1:
        yield from map(_fault, files)
        return
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(files), _AT_ONCE):
            yield from pool.map(_fault, files[start : start + _AT_ONCE])


def _fault(path: str) -> str | None:
    if not _surely_whole(path):
        try:
            decoded(path, path)
        except UserError as error:
            return str(error)
    return None


def _surely_whole(path: str) -> bool:
    """Whether a quick look tells that; if not, decoding it will tell."""
    try:
        with Path(path).open("rb") as file, Image.open(file) as image:
            if image.format == "PNG":
                image.verify()
                return True
            if image.format == "JPEG":  # its pixels can't hold these two bytes
                file.seek(-2, os.SEEK_END)
                return file.read() == b"\xff\xd9"
    except Exception:  # on a damaged image Pillow raises nearly anything
        return False
    return False
