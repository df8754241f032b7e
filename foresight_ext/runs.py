"""Run folders: what was asked, a journal of what is done, and nothing overwritten without --force."""

import argparse
import fcntl
import json
import logging
import math
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foresight_ext.errors import UserError
from foresight_ext.files import PROJECT_ROOT, write_json

CONFIG = "config.json"
LOG = "log.txt"
_LOCK = ".lock"
BESIDE = "use --save NAME for a run beside it, or --force to overwrite it"


class RunFolder:
    """The folder of one run, held by one process at a time, until `close`.

    `settings` are the options that make the result; a folder with other settings is refused (UserError
    that shows the difference and the `remedy`) unless `force`, which empties it. `notes` are written beside
    them.
    """

    def __init__(
        self, path: Path, settings: dict[str, Any], notes: dict[str, Any], force: bool, remedy: str = BESIDE
    ):
        self.path = path
        self._log: logging.Handler | None = None
        config = path / CONFIG
        try:
            if path.is_dir() and not config.is_file() and any(e.name[0] != "." for e in path.iterdir()):
                raise UserError(f"{path} holds something else than a run: use --save NAME or --out DIR")
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / _LOCK).open("w")
        except OSError as error:
            raise UserError(f"--out: {path} can't be made: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path} is in use by another process: wait for it, or use --save NAME") from None
        except OSError as error:
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

    def close(self) -> None:
        """End the log, and let other processes in."""
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
            self._log.close()
        self._lock.close()

    def journal(self, name: str) -> "Journal":
        """The journal of a stage."""
        return Journal(self.path / f"{name}.jsonl")

    def log_to_file(self) -> None:
        """Write what is logged to log.txt as well, with the time, until `close`."""
        self._log = logging.FileHandler(self.path / LOG, encoding="utf-8")
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


class Journal:
    """What a stage has done, one JSON object a line, appended as it happens.

    Every entry tells its `seconds`, which add up. A line that a killed process left half-written is dropped.
    """

    def __init__(self, path: Path):
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._file = path.open("a+b")
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self.seconds += entry["seconds"]
            except (KeyError, TypeError, ValueError):
                raise self.damaged(number) from None
            self.entries.append(entry)
            whole += len(line)
        self._file.truncate(whole)

    def cut(self, count: int) -> None:
        """Keep the first `count` entries only."""
        for entry in self.entries[count:]:
            self.seconds -= entry["seconds"]
        del self.entries[count:]
        self._file.seek(0)
        self._file.truncate(sum(len(line) for _, line in zip(range(count), self._file)))

    def damaged(self, number: int) -> UserError:
        """What to raise if entry `number`, counted from 1, makes no sense."""
        return UserError(f"{self.path} is damaged in line {number}: --force starts the run afresh")

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; once this returns it outlives the process."""
        self.entries.append(entry)
        self.seconds += entry["seconds"]
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()


def plain(score: float) -> float | str:
    """A score for JSON, which has no infinities and no NaN: those become words that float() reads."""
    return score if math.isfinite(score) else str(score)


def notes_of(options: argparse.Namespace, settings: dict[str, Any], device: str) -> dict[str, Any]:
    """What config.json tells besides the settings: the other options, and the environment."""
    others = {name: value for name, value in vars(options).items() if name not in settings}
    others = {name: str(value) if isinstance(value, Path) else value for name, value in others.items()}
    return {"other_options": others, "environment": environment(device)}


def environment(device: str) -> dict[str, Any]:
    """Versions, git revision and machine, for config.json."""
    versions = {"python": platform.python_version()}
    for package in ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "nas-bench-201"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "git_revision": _git_revision(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "device": device,
        },
    }


def _git_revision() -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
