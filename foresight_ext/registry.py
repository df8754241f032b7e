"""A name-to-object table that refuses duplicates and says what it holds when a name is unknown."""

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterator
from typing import Generic, TypeVar

from foresight_ext.errors import UserError
from foresight_ext.loading import named

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Maps names to objects of one kind, in order of registration, each with a line that says what it is.

    `kind` is what an entry is called in messages, e.g. "proxy". An entry is registered as it is, or declared
    by the place where it stands, from which it is imported when it is first asked for: names and lines are
    there without PyTorch. Installed packages declare entries, too, by entry points of the group `group`.
    """

    def __init__(self, kind: str, group: str = ""):
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        self._places: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        self._of_packages: dict[str, str] = {}  # places, too
        self._unread = group  # the group of entry points, until it is looked up

    def register(self, name: str, entry: Entry, line: str = "") -> Entry:
        """Add an entry and return it; ValueError if the name is taken."""
        self._take(name, line)
        self._entries[name] = entry
        return entry

    def declare(self, name: str, place: str, line: str) -> None:
        """Add the entry that stands at "module:attribute"; ValueError if the name is taken."""
        self._take(name, line)
        self._places[name] = place

    def check(self, name: str) -> None:
        """UserError that lists the known names, the closest first, if there is no entry of that name."""
        if name not in self:
            close = difflib.get_close_matches(name.lower(), self, n=len(self), cutoff=0.4)
            names = close + [known for known in self if known not in close]
            raise UserError(f"unknown {self.kind} '{name}': choose from {', '.join(names)}")

    def get(self, name: str) -> Entry:
        """The entry of that name; UserError if there is none."""
        self.check(name)
        if name in self._of_packages:
            try:
                return named(self._of_packages[name])
            except UserError as error:
                raise UserError(f"the {self.kind} '{name}' {self._lines[name]}: {error}") from error
        if name not in self._entries:
            module, _, attribute = self._places[name].partition(":")
            self._entries[name] = getattr(importlib.import_module(module), attribute)
        return self._entries[name]

    def line(self, name: str) -> str:
        """What the entry of that name is, in one line; UserError if the name is unknown."""
        self.check(name)
        return self._lines[name]

    def _take(self, name: str, line: str) -> None:
        if name in self._lines:
            raise ValueError(f"the {self.kind} '{name}' is registered already")
        self._lines[name] = line

    def _names(self) -> dict[str, str]:
        """All names with their lines; installed packages are looked at when names are first asked for.

        UserError if a package's entry has the name of another one.
        """
        if self._unread:
            lines, places = dict(self._lines), {}
            for point in importlib.metadata.entry_points(group=self._unread):
                of = f"of the package {point.dist.name}" if point.dist else "of a package"
                if point.name in lines:
                    told = f"the entry point '{point.name}' ({self._unread}) {of}: there is a {self.kind}"
                    raise UserError(f"{told} of that name: rename it, or uninstall the package")
                lines[point.name], places[point.name] = of, f"{point.module}:{point.attr}"
            self._lines, self._of_packages, self._unread = lines, places, ""
        return self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()
