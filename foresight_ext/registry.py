"""A name-to-object table that refuses duplicates and says what it holds when a name is unknown."""

import difflib
from collections.abc import Iterator
from typing import Any

from foresight_ext.errors import UserError


class Registry:
    """Maps names to objects of one kind, in order of registration.

    `kind` is what an entry is called in messages, e.g. "proxy".
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, Any] = {}

    def register(self, name: str, entry: Any) -> Any:
        """Add an entry and return it; ValueError if the name is taken."""
        if name in self._entries:
            raise ValueError(f"the {self.kind} '{name}' is registered already")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> Any:
        """The entry of that name; UserError lists the known names, the closest first."""
        if name not in self._entries:
            close = difflib.get_close_matches(name.lower(), self._entries, n=len(self._entries), cutoff=0.4)
            names = close + [known for known in self._entries if known not in close]
            raise UserError(f"unknown {self.kind} '{name}': choose from {', '.join(names)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
