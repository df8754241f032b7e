"""Architectures by name: tables of text, and Genotypes that somebody pasted into a module."""

from collections.abc import Iterator, Mapping

from foresight_ext.errors import UserError
from foresight_ext.registry import Registry
from sota.cnn.notation import Genotype, read_table, sound


class Architectures(Registry[Genotype]):
    """Tables by name, and the Genotypes that somebody pasted into a module, by their variables' names.

    An architecture is read when it is asked for, so that a slip in one is no trouble to the others. `module`
    are the module's variables.
    """

    def __init__(self, kind: str, module: Mapping[str, object] | None = None):
        super().__init__(kind)
        self._tables: dict[str, list[str]] = {}
        self._module = {} if module is None else module

    def get(self, name: str) -> Genotype:
        """The genotype of that name; UserError if there is none, or says what is wrong with it."""
        self.check(name)
        pasted = self._module.get(name)
        if name not in self._tables:
            return sound(pasted if isinstance(pasted, Genotype) else super().get(name), name)
        if isinstance(pasted, Genotype):
            raise UserError(f"architecture '{name}' stands twice in sota/cnn/genotypes.py: rename yours")
        return read_table(self._tables[name], name)

    def add(self, text: str) -> None:
        """Register all architectures of a text, a name and a table each; ValueError if a name is taken."""
        for line in filter(None, map(str.strip, text.splitlines())):
            if "@" not in line:
                self._take(line, "")
                table = self._tables[line] = []
            else:
                table.append(line)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or isinstance(self._module.get(str(name)), Genotype)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(super().__iter__())
        names.update((name, None) for name, one in self._module.items() if isinstance(one, Genotype))
        return iter(names)
