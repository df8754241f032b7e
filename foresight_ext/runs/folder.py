"""Run folders: what was asked, a journal of what is done, and nothing overwritten without --force."""

import fcntl
import json
import logging
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from foresight_ext.errors import UserError
from foresight_ext.files import HOME, NO_ROOM, naming, write_json
from foresight_ext.runs.environment import notes_of
from foresight_ext.runs.journal import Journal

CONFIG = "config.json"
LOG = "log.txt"
_LOCK = ".lock"
_PACKAGE = "foresight_ext"
BESIDE = "use --save NAME for a run beside it, or --force to overwrite it"


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
    and the `remedy`) unless `force`, which empties it. `notes` are written beside them.
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
            self._lock = (path / _LOCK).open("wb")
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise UserError(f"--out: {path} can't be made: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UserError(f"{path} is in use by another process: wait for it, or use --save NAME") from None
        except OSError as error:
            self._lock.close()
            reason = f"{error.strerror}: its file system may know no locks"
            raise UserError(f"--out: {path} can't be locked: {reason}") from error
        try:
            if force and config.is_file():
                self._empty()
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

    def same_data(self, **splits: dict[str, Any]) -> None:
        """Keep what the splits of the data set are, or compare it with what the run was begun on.

        UserError that shows the difference: a run does not go on with other images under the same path.
        """
        config = self.path / CONFIG
        content = json.loads(config.read_text(encoding="utf-8"))
        there = content.get("data")
        if there is None:
            write_json(config, {**content, "data": splits})
            return
        different = [
            f"{split}: {key} {there[split][key]} there, {value} now"
            for split, now in splits.items()
            for key, value in now.items()
            if split in there and there[split].get(key) != value
        ]
        if different:
            raise UserError(f"{self.path} was begun on other images ({'; '.join(different)}): {self.remedy}")

    def close(self) -> None:
        """End the log, and let other processes in."""
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            logging.getLogger(_PACKAGE).setLevel(self._level)
            with naming(self.path / LOG):  # it may still hold a line that found no room
                self._log.close()
        for journal in self._journals.values():
            journal.close()
        self._lock.close()

    def journal(self, name: str) -> "Journal":
        """The journal of a stage."""
        if name not in self._journals:
            self._journals[name] = Journal(self.path / f"{name}.jsonl")
        return self._journals[name]

    def log_to_file(self) -> None:
        """Write what is logged to log.txt as well, with the time, until `close`."""
        self._log = _LogFile(self.path / LOG, encoding="utf-8")
        # what a library says of its work is for the log, whether or not a command prints it too
        self._level = logging.getLogger(_PACKAGE).level
        logging.getLogger(_PACKAGE).setLevel(logging.INFO)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logging.getLogger().addHandler(self._log)

    def _empty(self) -> None:
        # config.json last: until then the folder is known to be a run, also if this process is killed
        for entry in sorted(self.path.iterdir(), key=lambda entry: entry.name == CONFIG):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()


def compare_settings(path: Path, settings: dict[str, Any], remedy: str = BESIDE) -> None:
    """UserError that shows the difference, and the remedy, if the run in a folder has other settings."""
    config = path / CONFIG
    try:
        there = dict(json.loads(config.read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{config} is damaged: use --force to start afresh, or --save NAME") from None
    asked = json.loads(json.dumps(settings))
    different = [
        f"{key} {there.get(key)} there, {asked.get(key)} asked for"
        for key in dict.fromkeys([*there, *asked])
        if there.get(key) != asked.get(key)
    ]
    if different:
        raise UserError(f"{path} is a run with other settings ({'; '.join(different)}): {remedy}")


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
