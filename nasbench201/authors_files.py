"""The files of NAS-Bench-201's authors: the .pth, and NATS-Bench's folder of a compressed pickle each."""

import bz2
import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from foresight_ext.errors import UserError
from foresight_ext.runs.progress import Progress
from nasbench201.lean_pickle import LeanUnpickler, Refused, stand_in
from nasbench201.tables import Kind

# the .pth, newest first, and NATS-Bench's folders
PTH_NAMES = ("NAS-Bench-201-v1_1-096897.pth", "NAS-Bench-201-v1_0-e61699.pth")
FOLDER_NAMES = ("NATS-tss-v1_0-3ffb9-simple", "NATS-tss-v1_0-3ffb9-full")
# our name of a data set -> the name and the evaluation set under which its test accuracy is held
_ENTRIES = {
    "cifar10": ("cifar10", "ori-test"),
    "cifar100": ("cifar100", "x-test"),
    "imagenet16-120": ("ImageNet16-120", "x-test"),
}
DATASETS = tuple(_ENTRIES)
_MAGIC = 0x1950A86A20F9469CFC6C  # what torch.save's older files begin with
_MEBI = 2**20
_ENDING = ".pickle.pbz2"
META = f"meta{_ENDING}"

# what a damaged or foreign entry raises
_FAULTS = (AttributeError, LookupError, TypeError, ValueError)
Accuracies = dict[str, float]
Columns = tuple[list[str], dict[str, list[float]]]


def accuracies_of(
    state: Any,
    opened: Callable[[Any], Any] = lambda held: held,
    item: Callable[[Any, str], Any] = lambda held, key: held[key],
) -> Accuracies:
    """The test accuracies (percent) of one architecture by our names of the data sets, mean over the runs.

    `state` is the state dict of the authors' ArchResults, whose get_metrics computes the same; `opened` makes
    its dicts readable, `item` gives one value. LookupError, TypeError or ValueError if it is none.
    """
    seeds, results = opened(opened(state)["dataset_seed"]), opened(state["all_results"])
    found = {}
    for name, (entry, which) in _ENTRIES.items():
        if entry in seeds:
            last = []
            for seed in seeds[entry]:
                run = opened(results[entry, seed])
                last.append(item(run["eval_acc1es"], f"{which}@{run['epochs'] - 1}"))
            found[name] = float(np.mean(np.array(last, dtype=float)))
    return found


def read_pth(path: Path, kind: Kind) -> Columns:
    """The architectures of a .pth and their accuracies, read one architecture at a time.

    UserError if it is damaged, or names what it has no need to.
    """
    rows: list[Accuracies] = []

    def reduce(full: Any, unpickler: LeanUnpickler) -> Any:
        try:
            rows.append(accuracies_of(full, unpickler.opened, unpickler.item))
        except _FAULTS as fault:
            raise _foreign(kind, path, fault, len(rows)) from fault
        while progress.done < min(unpickler.position // _MEBI, progress.total):
            progress.step(f"{len(rows)} architectures")
        return rows[-1]

    with _telling(kind, path, "the whole .pth as NAS-Bench-201's authors made it"), path.open("rb") as file:
        progress = Progress("benchmark (MiB)", path.stat().st_size // _MEBI)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, progress:
            unpickler = LeanUnpickler(data, 0, "full", reduce)
            if data[:4] == b"PK\x03\x04":
                unpickler.position = _in_zip(file)
            else:
                if unpickler.load() != _MAGIC:
                    raise ValueError("no file of torch.save")
                _ = unpickler.load(), unpickler.load()  # its version, and that of the machine
            content = unpickler.opened(unpickler.load())
            infos = unpickler.opened(content.get("arch2infos")) if isinstance(content, dict) else None
    archs: list[str] = []
    try:
        if not isinstance(content, dict):
            raise TypeError(type(content).__name__)
        names, infos = content["meta_archs"], infos if infos is not None else content["arch2infos"]
        found = []
        for index in sorted(infos):
            found.append(infos[index]["full"])
            archs.append(str(names[index]))
        return archs, _columns(found)
    except _FAULTS as fault:
        raise _foreign(kind, path, fault, len(archs)) from fault


def _columns(rows: list[Accuracies]) -> dict[str, list[float]]:
    """The rows as columns, of what the first one holds."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _in_zip(file: Any) -> int:
    """Where the pickle lies in a .pth that is a zip."""
    with zipfile.ZipFile(file) as content:
        [pickled] = [one for one in content.infolist() if one.filename.endswith("/data.pkl")]
    if pickled.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed a second time")
    file.seek(pickled.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return pickled.header_offset + 30 + int(name) + int(extra)


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return stand_in(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("a file of torch.save")


def is_folder(path: Path) -> bool:
    """Whether a path is NATS-Bench's folder."""
    return (path / META).is_file()


def state_of(path: Path) -> tuple[int, int]:
    """The size of a file, or of all of a folder's, and when it was last changed (ns)."""
    states = [one.stat() for one in path.glob(f"*{_ENDING}")] if path.is_dir() else [path.stat()]
    return sum(one.st_size for one in states), max(one.st_mtime_ns for one in states)


def read_folder(path: Path, kind: Kind) -> Columns:
    """The same of NATS-Bench's folder, simple or full; architectures whose file is missing are left out."""
    archs: list[str] = []
    rows: list[Accuracies] = []
    meta = _load(path / META, kind)
    try:
        names = [str(name) for name in meta["meta_archs"]]
    except _FAULTS as fault:
        told = f"is no meta file of NATS-Bench or damaged ({type(fault).__name__} {fault})"
        raise kind.fault(path / META, f"{told}: it must hold 'meta_archs'") from fault
    files = {index: file for index in range(len(names)) if (file := _file_of(path, index)) is not None}
    with Progress("benchmark", len(files)) as progress:
        for index, file in files.items():
            content = _load(file, kind)
            try:
                rows.append(accuracies_of(content["200"]))
                if rows[-1].keys() != rows[0].keys():
                    raise KeyError(*(rows[0].keys() ^ rows[-1].keys()))
            except _FAULTS as fault:
                told = f"{type(fault).__name__} {fault}"
                wanted = "it must hold results of training for 200 epochs, as NATS-Bench's authors made it"
                raise kind.fault(
                    file, f"is no topology file of NATS-Bench or damaged ({told}): {wanted}"
                ) from fault
            archs.append(names[index])
            progress.step()
    return archs, _columns(rows)


def _file_of(folder: Path, index: int) -> Path | None:
    several = (folder / f"{index:06d}{_ENDING}", folder / f"{index}{_ENDING}")
    return next((file for file in several if file.is_file()), None)


def _load(path: Path, kind: Kind) -> Any:
    with _telling(kind, path, "as NATS-Bench's authors made it"), bz2.open(path) as file:
        content = _Restricted(file, encoding="latin1").load()
        if file.read(1):  # the sum of checks comes last
            raise ValueError("more than a pickle")
        return content


@contextmanager
def _telling(kind: Kind, path: Path, wanted: str) -> Iterator[None]:
    """Whatever a damaged pickle raises becomes one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as fault:
        why = str(fault) if isinstance(fault, Refused) else type(fault).__name__
        raise kind.fault(path, f"cannot be read ({why}): it must be {wanted}") from fault


def _foreign(kind: Kind, path: Path, fault: Exception, entry: int) -> UserError:
    reason = f"{type(fault).__name__} {fault} at entry {entry}"
    allowed = "it must hold 'meta_archs' and 'arch2infos' with 'full' results"
    return kind.fault(path, f"is not a NAS-Bench-201 file or damaged ({reason}): {allowed}")
