"""A pool from elsewhere, such as one of the official code, that is validated as it is."""

from dataclasses import dataclass
from pathlib import Path

from foresight_ext.errors import UserError
from foresight_ext.images.batches import digest
from foresight_ext.runs.results import read_pool
from foresight_ext.search.space import Space


@dataclass(frozen=True)
class GivenPool:
    """The genotypes of a pool as their space writes them, and the data set that it names (empty: none)."""

    genotypes: list[str]
    dataset: str

    @property
    def recorded(self) -> str:
        """What tells the pool from another one, for config.json."""
        return f"{len(self.genotypes)} of digest {digest(self.genotypes)}"

    @classmethod
    def read(cls, file: Path, space: Space) -> "GivenPool":
        """The pool of a file; UserError if it can't be read, or for the first network not of the space."""
        networks, dataset = read_pool(file, space.name)
        genotypes = []
        for name, genotype in networks.items():
            try:
                genotypes.append(space.read_genotype(genotype))
            except UserError as error:
                raise UserError(f"--pool {file}: network {name}: {error}") from error
        return cls(genotypes, dataset)
