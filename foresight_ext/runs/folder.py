"""Run folders: what was asked, a journal of what is done, and nothing overwritten without --force."""

import errno
import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from foresight_ext.errors import UserError
from foresight_ext.files import HOME, NO_ROOM, naming, write_json, write_text
from foresight_ext.runs.config import BESIDE, CONFIG, compare_data, compare_settings, read_config, written
from foresight_ext.runs.environment import notes_of
from foresight_ext.runs.journal import Journal

LOG = "log.txt"
CHOICES = "choices.txt"
_LOCK = ".lock"
_PACKAGE = "foresight_ext"
# what a file system says that only lets read
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class _LogFile(logging.FileHandler):
    """A log that can't be written ends the run: what has no room for a line has none for a result."""

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            with naming(Path(self.baseFilename)):
                raise
        super().handleError(record)


class RunFolder:
    """The folder of one run, held by one process at a time, until `close` or the end of a `with`.

    `settings` make the result; a folder with other settings is refused (UserError that shows the difference
    and the `remedy`) unless `force`, which empties it. `notes` are written beside them. A run that lies where
    nothing can be written is `read_only`: then nothing is locked either.
    """

    def __init__(
        self, path: Path, settings: dict[str, Any], notes: dict[str, Any], force: bool, remedy: str = BESIDE
    ):
        self.path = path
        self.remedy = remedy
        self._journals: dict[str, Journal] = {}
        self._log: logging.Handler | None = None
        config = path / CONFIG
        try:
            if path.is_dir() and not config.is_file() and any(e.name[0] != "." for e in path.iterdir()):
                raise UserError(f"{path} holds something else than a run: use --save NAME or --out DIR")
            path.mkdir(parents=True, exist_ok=True)
            self._lock: IO[bytes] | None = (path / _LOCK).open("wb")
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            if error.errno not in _READ_ONLY or not os.access(config, os.R_OK):
                raise UserError(f"--out: {path} can't be made: {error.strerror}") from error
            self._lock, self._why = None, str(error.strerror)
            if force:
                raise UserError(f"--force: {path} can't be emptied: {self._why}") from error
        else:
            _hold(path, self._lock)
        try:
            if force and config.is_file():
                _empty(path)
            if config.is_file():
                compare_settings(path, settings, remedy)
            else:
                write_json(config, {"settings": settings, **notes})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written: what is finished can be told all the same."""
        return self._lock is None

    def must_write(self) -> None:
        """UserError where the folder is read-only: for what has something left to compute."""
        if self.read_only:
            raise UserError(
                f"--out: {self.path} can't be written ({self._why}), and its run is not finished: "
                "copy it to another --out to go on"
            )

    def same_data(self, root: Path | None, **splits: dict[str, Any]) -> None:
        """Keep what the splits of a data set are, or compare it with what the run was begun on.

        UserError that shows the difference: a run does not go on with other images. Where they lie, `root`,
        is kept as well: it makes no difference, but a finished run need not open images that it knows.
        """
        compare_data(self.path, root, splits, self.remedy)
        content = read_config(self.path)
        now = {**content["data"], "root": written(root), **splits}
        if now != content["data"] and not self.read_only:
            write_json(self.path / CONFIG, {**content, "data": now})

    def keep_choices(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Keep what each score in the search's journal belongs to: a line for each place of a decision.

        The place and the names are separated by tabs.
        """
        text = "".join("\t".join([place, *names]) + "\n" for place, names in choices.items())
        file = self.path / CHOICES
        if not self.read_only and not (file.is_file() and file.read_text(encoding="utf-8") == text):
            write_text(file, text)

    def close(self) -> None:
        """End the log, and let other processes in."""
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            logging.getLogger(_PACKAGE).setLevel(self._level)
            with naming(self.path / LOG):  # it may still hold a line that found no room
                self._log.close()
        for journal in self._journals.values():
            journal.close()
        if self._lock is not None:
            self._lock.close()

    def journal(self, name: str) -> "Journal":
        """The journal of a stage."""
        if name not in self._journals:
            self._journals[name] = Journal(self.path / f"{name}.jsonl", self.read_only)
        return self._journals[name]

    def log_to_file(self) -> None:
        """Write what is logged to log.txt as well, with the time, until `close`; not where that can't be."""
        if self.read_only:
            return
        self._log = _LogFile(self.path / LOG, encoding="utf-8")
        # what a library says of its work is for the log, whether or not a command prints it too
        self._level = logging.getLogger(_PACKAGE).level
        logging.getLogger(_PACKAGE).setLevel(logging.INFO)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logging.getLogger().addHandler(self._log)


def start_afresh(path: Path) -> None:
    """Empty a run's folder, if there is one, for a run that others will begin; UserError if it is in use."""
    if (path / CONFIG).is_file():
        with (path / _LOCK).open("wb") as lock:
            _hold(path, lock)
            _empty(path)


def _hold(path: Path, lock: IO[bytes]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        told = f"{path} is in use by another process: wait for it, or use --save NAME"
        raise UserError(told) from None
    except OSError as error:
        lock.close()
        reason = f"{error.strerror}: its file system may know no locks"
        raise UserError(f"--out: {path} can't be locked: {reason}") from error


def _empty(path: Path) -> None:
    # config.json last: until then the folder is known to be a run, also if this process is killed
    for entry in sorted(path.iterdir(), key=lambda entry: entry.name == CONFIG):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


@dataclass(frozen=True)
class Place:
    """Where runs are kept, under which name, and whether one that is there is overwritten (`force`).

    `options` are those of the command line, for config.json: they are recorded and make no result.
    """

    out: Path = HOME / "runs"
    save: str = "run"
    force: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, path: Path, settings: dict[str, Any], device: str, remedy: str = BESIDE) -> RunFolder:
        """The folder of a run that computes on a device (in words), with its log."""
        folder = RunFolder(path, settings, notes_of(self.options, settings, device), self.force, remedy)
        folder.log_to_file()
        return folder
