"""Test accuracy, rank and distance to the optimum of architectures, from a NAS-Bench-201 file."""

import logging
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.benchmark", file=sys.stderr)
    sys.exit(2)

import numpy as np

from foresight_ext.commands.parser import Parser, entry_point, user_path
from foresight_ext.errors import UserError
from foresight_ext.files import DATA_FOLDER, write_text
from nasbench201.authors_files import (
    DATASETS,
    FOLDER_NAMES,
    META,
    PTH_NAMES,
    is_folder,
    read_folder,
    read_pth,
    state_of,
)
from nasbench201.genotype import parse_genotype
from nasbench201.hardware import add_hardware_option, hardware_of, is_hardware_file, unit_of
from nasbench201.tables import Kind

BENCHMARKED = DATASETS
_KIND = Kind("benchmark", f"arch and one or more of {', '.join(BENCHMARKED)}", "ranks are among those")
_RUNS = "_runs"  # ends the name of a column of single runs
_COMPACT_SUFFIX = ".compact.csv"
_COMPACT_STAMP = re.compile(r"# compact form of (?P<pth>.+): size \d+, mtime_ns \d+, crc32 (?P<crc32>\d+)")

_log = logging.getLogger(__name__)


def add_benchmark_option(parser: Parser) -> None:
    """Which benchmark file to ask."""
    parser.option(
        "--benchmark",
        type=user_path,
        default=None,
        metavar="FILE",
        help="a NAS-Bench-201 .pth or .csv, or NATS-Bench's topology folder; none means what lies in "
        f"{DATA_FOLDER}",
    )


def find_benchmark(path: str | Path | None) -> Path | None:
    """The benchmark file to use: `path`, or for None what lies in the project's data folder, if anything.

    Raises UserError if `path` is given but is no file.
    """
    if path is not None:
        path = Path(path)
        if not path.is_file() and not is_folder(path):
            one = f"give a NAS-Bench-201 .pth, {FOLDER_NAMES[0]} with its {META}, or a .csv"
            raise _KIND.fault(path, f"is not a file: {one} with {_KIND.columns}")
        return path
    for name in PTH_NAMES:
        if (DATA_FOLDER / name).is_file():
            return DATA_FOLDER / name
    for name in FOLDER_NAMES:
        if is_folder(DATA_FOLDER / name):
            return DATA_FOLDER / name
    for candidate in sorted(DATA_FOLDER.glob("[!.]*")):
        name = candidate.name.lower()
        ours = any(part in name for part in ("nasbench201", "nas-bench-201", "nats-tss"))
        if ours and name.endswith(".csv") and not is_hardware_file(name):
            # a compact file may be out of date: what it was made from decides, where it is still there
            stem = candidate.name.removesuffix(_COMPACT_SUFFIX)
            pth, folder = candidate.with_name(f"{stem}.pth"), candidate.with_name(stem)
            return pth if pth.is_file() else folder if is_folder(folder) else candidate
    return None


@dataclass(frozen=True, eq=False, repr=False)
class Benchmark:
    """The test accuracy, in percent, of NAS-Bench-201 architectures after 200 epochs, mean over the runs.

    Source: Dong and Yang, NAS-Bench-201, ICLR 2020. Methods raise UserError for an architecture string that
    does not parse and for an architecture or a data set that the file lacks.
    """

    path: Path
    _positions: Mapping[str, int]
    _accuracy: Mapping[str, np.ndarray]
    _rank: Mapping[str, np.ndarray]
    _best_run: Mapping[str, np.ndarray]

    @classmethod
    def open(cls, path: str | Path) -> "Benchmark":
        """Open a .pth or a folder of the benchmark's authors (or the compact file beside it) or a CSV.

        Raises UserError if the file is missing, damaged or of another kind.
        """
        benchmark = _open(path)
        _KIND.warn_if_incomplete(benchmark.path, len(benchmark))
        return benchmark

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the data sets the file holds."""
        return tuple(self._accuracy)

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def accuracy(self, arch: str, dataset: str) -> float:
        """Test accuracy in percent."""
        return float(self._column(self._accuracy, dataset)[self._position(arch)])

    def best_run(self, arch: str, dataset: str) -> float:
        """Test accuracy in percent of the best single run; the mean where the file tells no single runs."""
        columns = self._best_run if dataset in self._best_run else self._accuracy
        return float(self._column(columns, dataset)[self._position(arch)])

    @property
    def single_runs(self) -> tuple[str, ...]:
        """The data sets whose single runs the file tells: a CSV's columns such as cifar10_runs."""
        return tuple(self._best_run)

    def rank(self, arch: str, dataset: str) -> int:
        """1 + the number of architectures in the file that are strictly better."""
        return int(self._column(self._rank, dataset)[self._position(arch)])

    def optimum(self, dataset: str) -> float:
        """The best test accuracy in the file, in percent."""
        return float(self._column(self._accuracy, dataset).max())

    def regret(self, arch: str, dataset: str) -> float:
        """Distance to the optimum, in percentage points of test accuracy."""
        return self.optimum(dataset) - self.accuracy(arch, dataset)

    def query(self, arch: str) -> dict[str, dict[str, float | int]]:
        """Per data set: accuracy (percent), rank, regret (percentage points), of (architectures ranked)."""
        return {
            dataset: {
                "accuracy": self.accuracy(arch, dataset),
                "rank": self.rank(arch, dataset),
                "regret": self.regret(arch, dataset),
                "of": len(self),
            }
            for dataset in self.datasets
        }

    def _position(self, arch: str) -> int:
        parse_genotype(arch)
        position = self._positions.get(arch.strip())
        if position is None:
            told = f"it must be one of the {len(self)} architectures in it"
            raise _KIND.fault(self.path, f"lacks '{arch}': {told}")
        return position

    def _column(self, columns: Mapping[str, np.ndarray], dataset: str) -> np.ndarray:
        if dataset not in columns:
            held = ", ".join(self.datasets)
            raise _KIND.fault(self.path, f"lacks the data set '{dataset}': choose from {held}")
        return columns[dataset]


def _open(path: str | Path) -> Benchmark:
    found = find_benchmark(Path(path))
    assert found is not None  # a path was given
    suffix = found.suffix.lower()
    if _is_the_authors(found):
        return _open_authors(found)
    if suffix != ".csv":
        told = "it must be .pth, .csv or NATS-Bench's folder"
        raise _KIND.fault(found, f"has the unknown suffix '{suffix}': {told}")
    return _read_csv(found)


def _build(
    path: Path,
    archs: Sequence[str],
    cells: Mapping[str, Sequence[Any]],
    runs: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Benchmark:
    """Check what was read and rank it; UserError names the first fault.

    `cells` are accuracies by data set, `runs` those of single runs with spaces between.
    """
    positions = _KIND.positions(path, archs if cells else ())
    accuracy, rank = {}, {}
    for dataset, column in cells.items():
        values = _percentages(path, dataset, column)
        # the .pth's means carry single-precision noise of about 1e-6, which must not break a tie; different
        # means of up to three runs on 3,000 to 10,000 images lie 1e-3 or more apart
        rounded = values.round(4)
        rank[dataset] = 1 + len(rounded) - np.searchsorted(np.sort(rounded), rounded, side="right")
        accuracy[dataset] = values
        values.flags.writeable = rank[dataset].flags.writeable = False
    best = {}
    for dataset, column in runs.items():
        single = [cell.split() or ["nan"] for cell in column]  # a gap is a fault
        _percentages(path, dataset, [one for cell in single for one in cell])
        best[dataset] = np.array([max(map(float, cell)) for cell in single])
        best[dataset].flags.writeable = False
    return Benchmark(
        path,
        positions,
        MappingProxyType(accuracy),
        MappingProxyType(rank),
        MappingProxyType(best),
    )


def _percentages(path: Path, dataset: str, column: Sequence[Any]) -> np.ndarray:
    try:
        values = np.array(column, dtype=float)
        wrong = values[~((values >= 0) & (values <= 100))]
        if wrong.size:
            raise ValueError(wrong[0])
    except (TypeError, ValueError) as fault:
        what = f"has a wrong {dataset} accuracy ({fault})"
        raise _KIND.fault(path, f"{what}: it must be a percentage from 0 to 100") from fault
    return values


def _read_csv(path: Path) -> Benchmark:
    text = _KIND.text(path)
    first, _, body = text.partition("\n")
    stamp = _COMPACT_STAMP.fullmatch(first)
    if stamp and zlib.crc32(body.encode()) != int(stamp["crc32"]):
        raise _KIND.fault(path, f"is damaged: delete it, and it will be made again from {stamp['pth']}")
    known = {*BENCHMARKED, *(name + _RUNS for name in BENCHMARKED)}
    archs, cells = _KIND.read(path, body if stamp else text, known.__contains__)
    held = {name: cells[name] for name in BENCHMARKED if name in cells}
    return _build(path, archs, held, {name: cells[name + _RUNS] for name in held if name + _RUNS in cells})


def accuracies(path: Path | None) -> dict[str, dict[str, float]]:
    """Every architecture's test accuracy in percent: data set -> architecture -> accuracy.

    Empty without a file, and where only a .pth or a folder lies that was never read, which takes minutes.
    UserError if the file is damaged.
    """
    there = path is not None and (path.is_file() or is_folder(path))
    found = path if there else find_benchmark(None)
    if found is None or (_is_the_authors(found) and not _compact(found)[2]):
        return {}
    benchmark = _open(found)
    return {name: dict(zip(benchmark, column.tolist())) for name, column in benchmark._accuracy.items()}


def _is_the_authors(path: Path) -> bool:
    """Whether it is read once and has a compact file beside it."""
    return path.is_dir() or path.suffix.lower() == ".pth"


def _compact(path: Path) -> tuple[Path, str, bool]:
    """The compact file beside a .pth or a folder, how it begins up to its checksum, and whether it is there
    and does."""
    compact = path.with_name((path.name if path.is_dir() else path.stem) + _COMPACT_SUFFIX)
    size, changed = state_of(path)
    stamp = f"# compact form of {path.name}: size {size}, mtime_ns {changed}, crc32 "
    if not compact.is_file():
        return compact, stamp, False
    with compact.open(encoding="utf-8", errors="replace") as stream:
        return compact, stamp, stream.readline().startswith(stamp)


def _open_authors(path: Path) -> Benchmark:
    """Read the compact file beside what the authors made; make it first if it is missing or out of date."""
    compact, stamp, fresh = _compact(path)
    if fresh:
        return _read_csv(compact)
    _log.info("reading '%s', once: what queries need is kept in %s", path, compact.name)
    archs, cells = (read_folder if path.is_dir() else read_pth)(path, _KIND)
    benchmark = _build(path, archs, cells)
    rows = zip(archs, *(map(repr, benchmark._accuracy[name].tolist()) for name in cells), strict=True)
    body = "".join(",".join(row) + "\n" for row in (("arch", *cells), *rows))
    try:
        write_text(compact, f"{stamp}{zlib.crc32(body.encode())}\n{body}")
    except OSError as fault:
        what = "folder" if path.is_dir() else ".pth"
        told = "cannot write '%s' (%s): the %s will be read again next time"
        _log.warning(told, compact, fault.strerror, what)
    return benchmark


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print what is known of architectures: accuracy, rank, distance to the optimum, and what they cost on
    devices; returns the exit code."""
    parser = Parser("nasbench201.benchmark", "Accuracy, latency and energy of NAS-Bench-201 architectures.")
    parser.add_argument("archs", nargs="+", metavar="ARCH", help="an architecture, |op~0|+|op~0|op~1|+...")
    add_benchmark_option(parser)
    add_hardware_option(parser)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path, hardware = find_benchmark(options.benchmark), hardware_of(options)
    if path is None and hardware is None:
        raise no_benchmark()
    benchmark = None if path is None else Benchmark.open(path)
    answers = [
        (benchmark.query(arch) if benchmark else {}, hardware.query(arch) if hardware else {})
        for arch in options.archs
    ]
    for arch, (accuracies, costs) in zip(options.archs, answers):
        print(arch)
        if accuracies:
            print(f"{'data set':<14}  {'accuracy':>8}  {'rank':>14}  {'distance to optimum':>19}")
        for dataset, held in accuracies.items():
            rank = f"{held['rank']} of {held['of']}"
            print(f"{dataset:<14}  {held['accuracy']:>8.2f}  {rank:>14}  {held['regret']:>19.2f}")
        if hardware is not None:
            print(f"{'cost':<18}  {'':>12}  {'rank':>14}  {'of the largest':>14}")
        for name in hardware.costs if hardware is not None else ():
            if name not in costs:
                print(f"{name:<18}  {'not known':>12}")
                continue
            held = costs[name]
            rank = f"{held['rank']} of {held['of']}"
            cost, share = f"{held['cost']:.4f} {unit_of(name):<2}", f"{100 * held['share']:.1f}%"
            print(f"{name:<18}  {cost:>12}  {rank:>14}  {share:>14}")
    return 0


def no_benchmark() -> UserError:
    """What to raise where a benchmark is needed, and there is none."""
    return UserError(
        f"no benchmark in '{DATA_FOLDER}': put {', '.join(PTH_NAMES)} or a *nasbench201*.csv there, "
        "or give --benchmark FILE, or NATS-Bench's folder"
    )


if __name__ == "__main__":
    sys.exit(main())
