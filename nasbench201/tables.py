"""CSV tables with a row for each NAS-Bench-201 architecture: how they are read and checked."""

import csv
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from foresight_ext.errors import UserError
from nasbench201.genotype import SPACE_SIZE, parse_genotype

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """What a table is called in messages, the columns it must have, and what an incomplete one leads to."""

    name: str
    columns: str
    incomplete: str

    def fault(self, path: Path, what: str) -> UserError:
        """What to raise of a file, on one line."""
        return UserError(" ".join(f"{self.name} '{path}' {what}".splitlines()))

    def text(self, path: Path) -> str:
        """A file's text; UserError if it can't be read."""
        try:
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as fault:
            raise self._unreadable(path, fault) from fault

    def read(
        self, path: Path, text: str, wanted: Callable[[str], bool]
    ) -> tuple[list[str], dict[str, list[str]]]:
        """The architectures of a CSV and the cells of its `wanted` columns, by their names.

        UserError if there are none of them, or for the first row that is not of the header's length.
        """
        try:
            header, *rows = [row for row in csv.reader(text.split("\n")) if row] or [[]]
        except csv.Error as fault:
            raise self._unreadable(path, fault) from fault
        header = [name.strip() for name in header]
        held = {name: number for number, name in enumerate(header) if wanted(name)}
        if twice := next((name for name in ("arch", *held) if header.count(name) > 1), None):
            raise self.fault(path, f"names the column '{twice}' more than once: once is allowed")
        if "arch" not in header or not held:
            raise self.fault(path, f"lacks columns: its first line must name {self.columns}")
        for number, row in enumerate(rows, 1):
            if len(row) != len(header):
                raise self.fault(
                    path, f"is damaged: row {number} has {len(row)} cells, it must have {len(header)}"
                )
        archs = [row[header.index("arch")].strip() for row in rows]
        return archs, {name: [row[column] for row in rows] for name, column in held.items()}

    def positions(self, path: Path, archs: Sequence[str]) -> MappingProxyType[str, int]:
        """The row of each architecture; UserError for none, for one that does not parse or comes twice."""
        if not archs:
            raise self.fault(path, f"is empty: it must hold {self.columns}")
        for arch in archs:
            try:
                parse_genotype(arch)
            except UserError as fault:
                raise self.fault(path, f"is damaged: {fault}") from fault
        positions = {arch: position for position, arch in enumerate(archs)}
        if len(positions) < len(archs):
            twice = Counter(archs).most_common(1)[0][0]
            raise self.fault(path, f"lists '{twice}' more than once: once is allowed")
        return MappingProxyType(positions)

    def warn_if_incomplete(self, path: Path, architectures: int) -> None:
        """Say how many architectures a table holds, where that is not all."""
        if architectures < SPACE_SIZE:
            told = "'%s' holds %d of %d architectures: %s"
            _log.warning(told, path, architectures, SPACE_SIZE, self.incomplete)

    def _unreadable(self, path: Path, fault: Exception) -> UserError:
        return self.fault(path, f"cannot be read ({fault}): it must be a UTF-8 CSV with {self.columns}")
