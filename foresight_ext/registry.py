"""A name-to-object table that refuses duplicates and says what it holds when a name is unknown."""

import difflib
import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar

from foresight_ext.errors import UserError

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Maps names to objects of one kind, in order of registration, each with a line that says what it is.

    `kind` is what an entry is called in messages, e.g. "proxy". An entry is registered as it is, or declared
    by the place where it stands, from which it is imported when it is first asked for: names and lines are
    there without PyTorch.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        self._places: dict[str, str] = {}
        self._lines: dict[str, str] = {}

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
            close = difflib.get_close_matches(name.lower(), self._lines, n=len(self._lines), cutoff=0.4)
            names = close + [known for known in self if known not in close]
            raise UserError(f"unknown {self.kind} '{name}': choose from {', '.join(names)}")

    def get(self, name: str) -> Entry:
        """The entry of that name; UserError if there is none."""
        self.check(name)
        if name not in self._entries:
            module, _, attribute = self._places[name].partition(":")
            self._entries[name] = getattr(importlib.import_module(module), attribute)
        return self._entries[name]

    def line(self, name: str) -> str:
        """What the entry of that name is, in one line; UserError if the name is unknown."""
        self.check(name)
        return self._lines[name]

    def _take(self, name: str, line: str) -> None:
        if name in self:
            raise ValueError(f"the {self.kind} '{name}' is registered already")
        self._lines[name] = line

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        return name in self._lines
