"""Latency and energy of NAS-Bench-201 architectures on devices, from a CSV such as HW-NAS-Bench's."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from foresight_ext.commands.parser import Parser, user_path
from foresight_ext.errors import UserError
from foresight_ext.files import DATA_FOLDER
from nasbench201.genotype import parse_genotype
from nasbench201.tables import Kind

# what the columns of costs end in, and the unit
UNITS = MappingProxyType({"_latency": "ms", "_energy": "mJ"})
_KIND = Kind(
    "hardware table",
    "arch and columns that end in _latency (ms) or _energy (mJ)",
    "limits allow no other, and shares are of the largest of those",
)
# what stands in HW-NAS-Bench where nothing is known, as of nearly a third of architectures on the Edge TPU
_UNKNOWN = -1.0


def is_cost(name: str) -> bool:
    """Whether a name is that of a cost, by its end."""
    return name.endswith(tuple(UNITS)) and name.isidentifier()


def unit_of(cost: str) -> str:
    """The unit of a cost."""
    return next(unit for end, unit in UNITS.items() if cost.endswith(end))


def is_hardware_file(name: str) -> bool:
    """Whether a file in the data folder is found without being named."""
    name = name.lower()
    return name.endswith(".csv") and "hardware" in name and ("nasbench201" in name or "nas-bench-201" in name)


def add_hardware_option(parser: Parser) -> None:
    """Which table of latencies and energies to ask."""
    parser.option(
        "--hardware",
        type=user_path,
        default=None,
        metavar="FILE",
        help="a .csv of latencies and energies of NAS-Bench-201 architectures, such as HW-NAS-Bench's; none "
        f"means what lies in {DATA_FOLDER}",
    )


def find_hardware(path: str | Path | None) -> Path | None:
    """The table to use: `path`, or for None what lies in the project's data folder, if anything.

    Raises UserError if `path` is given but is no file.
    """
    if path is not None:
        if not Path(path).is_file():
            raise _KIND.fault(Path(path), f"is not a file: give a .csv with {_KIND.columns}")
        return Path(path)
    return next((one for one in sorted(DATA_FOLDER.glob("[!.]*")) if is_hardware_file(one.name)), None)


def hardware_of(options: argparse.Namespace, needed: str = "") -> "Hardware | None":
    """What add_hardware_option asked, None if there is no table; UserError then if it is `needed`."""
    path = find_hardware(options.hardware)
    if path is None and needed:
        where = f"put a *nasbench201*hardware*.csv into '{DATA_FOLDER}', or give --hardware FILE"
        raise UserError(f"{needed}: no table of latencies and energies: {where}")
    return None if path is None else Hardware.open(path)


@dataclass(frozen=True, eq=False, repr=False)
class Hardware:
    """What NAS-Bench-201 architectures cost on devices: latencies in ms, energies in mJ.

    `costs` are by their names, such as raspi4_latency: architecture -> cost, where that is known.
    Source: Li et al., HW-NAS-Bench, ICLR 2021, whose units these are.
    """

    path: Path
    costs: Mapping[str, Mapping[str, float]]

    @classmethod
    def open(cls, path: str | Path) -> "Hardware":
        """Read a CSV: `arch`, and columns of costs. A cell that is empty or -1 is not known.

        Raises UserError if the file is missing or damaged, or has no such column.
        """
        found = find_hardware(Path(path))
        assert found is not None  # a path was given
        archs, cells = _KIND.read(found, _KIND.text(found), is_cost)
        _KIND.positions(found, archs)
        _KIND.warn_if_incomplete(found, len(archs))
        costs = {name: _numbers(found, name, archs, column) for name, column in cells.items()}
        return cls(found, MappingProxyType(costs))

    def cost(self, arch: str, name: str) -> float | None:
        """A cost of an architecture, None where it is not known. UserError for what is neither."""
        parse_genotype(arch)
        return self._column(name).get(arch.strip())

    def query(self, arch: str) -> dict[str, dict[str, float | int]]:
        """By name, where it is known: cost, rank (1 + how many are cheaper), share of the largest, of."""
        parse_genotype(arch)
        answer: dict[str, dict[str, float | int]] = {}
        for name, column in self.costs.items():
            cost = column.get(arch.strip())
            if cost is not None:
                every = np.fromiter(column.values(), float)
                rank = 1 + int((every < cost).sum())
                largest = float(every.max())
                share = cost / largest if largest else 0.0
                answer[name] = {"cost": cost, "rank": rank, "share": share, "of": len(column)}
        return answer

    def _column(self, name: str) -> Mapping[str, float]:
        if name not in self.costs:
            raise _KIND.fault(self.path, f"has no '{name}': choose from {', '.join(self.costs)}")
        return self.costs[name]


def _numbers(path: Path, name: str, archs: list[str], cells: list[str]) -> Mapping[str, float]:
    """A column's known costs."""
    found = {}
    for arch, cell in zip(archs, cells):
        try:
            cost = float(cell.strip() or _UNKNOWN)
        except ValueError:
            cost = math.nan
        if cost == _UNKNOWN:
            continue
        if not 0 <= cost < math.inf:
            told = f"has a wrong {name} ('{cell}' of {arch}): it must be a number from 0 on"
            raise _KIND.fault(path, f"{told}, or -1 where it is not known")
        found[arch] = cost
    return MappingProxyType(found)
