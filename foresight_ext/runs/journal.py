"""A journal of what a stage has done: one JSON object a line, appended as it happens."""

import errno
import io
import json
import math
import os
from pathlib import Path
from typing import Any

from foresight_ext.errors import UserError
from foresight_ext.files import naming


class Journal:
    """What a stage has done, one JSON object a line, appended as it happens.

    Every entry tells its `seconds`, which add up. A line that a killed process left half-written is dropped.
    With `read_only` the file, which may be missing, is left as it is. `remedy` says in messages what to do
    about a damaged file.
    """

    def __init__(self, path: Path, read_only: bool = False, remedy: str = "--force starts the run afresh"):
        self.path = path
        self.remedy = remedy
        self.entries: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._file: io.FileIO | io.BytesIO
        if not read_only:
            self._file = path.open("a+b", buffering=0)  # what finds no room is not tried again later
        else:
            self._file = io.BytesIO(path.read_bytes() if path.is_file() else b"")
        whole = 0
        for number, line in enumerate(self._lines(), start=1):
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
        self._file.truncate(sum(map(len, self._lines()[:count])))

    def close(self) -> None:
        """Nothing more will be added."""
        self._file.close()

    def damaged(self, number: int) -> UserError:
        """What to raise if entry `number`, counted from 1, makes no sense."""
        return UserError(f"{self.path} is damaged in line {number}: {self.remedy}")

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; once this returns it outlives the process."""
        self.entries.append(entry)
        self.seconds += entry["seconds"]
        line = json.dumps(entry).encode() + b"\n"
        with naming(self.path):
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _lines(self) -> list[bytes]:
        """The file's whole lines."""
        self._file.seek(0)
        *lines, _ = self._file.read().split(b"\n")
        return [line + b"\n" for line in lines]


def json_score(score: float) -> float | str:
    """A score for JSON, which has no infinities and no NaN: those become words that float() reads."""
    return score if math.isfinite(score) else str(score)
