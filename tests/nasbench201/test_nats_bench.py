"""NATS-Bench's topology folder in miniature: simple and full, damaged, malicious; the lean unpickler."""

import bz2
import io
import mmap
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from foresight_ext.errors import UserError
from nasbench201 import authors_files, benchmark
from nasbench201.benchmark import Benchmark, find_benchmark, main
from nasbench201.lean_pickle import LeanUnpickler, stand_in
from tests.nasbench201.authors_format import (
    CONV,
    RUNS,
    SKIP,
    Malicious,
    Unknown,
    arch_state,
    check_expected,
    fault_of,
)
from tests.running import done


def pack(path, content, protocol=4):
    """As the package's pickle_save does."""
    with bz2.BZ2File(path, "wb") as file:
        pickle.dump(content, file, protocol=protocol)


def entry(index, arch, weights=False):
    """What the file of an architecture holds; a full one has the trained weights of each run."""
    full = arch_state(index, arch, RUNS[arch], epochs=3)
    if weights:
        for run in full["all_results"].values():
            run["net_state_dict"] = OrderedDict(w=torch.ones(2, 3), b=torch.nn.Parameter(torch.ones(1)))
            run["net_state_dict"]["array"] = np.arange(3.0)
    return {"12": arch_state(index, arch, {}, epochs=1), "200": full}


def folder_of(path, weights=False, protocol=4):
    path.mkdir()
    pack(path / "meta.pickle.pbz2", {"meta_archs": list(RUNS), "evaluated_indexes": {0, 1, 2, 3}}, protocol)
    for index, arch in enumerate(RUNS):
        pack(path / f"{index:06d}.pickle.pbz2", entry(index, arch, weights), protocol)
    return path


@pytest.mark.parametrize(("name", "weights"), [("simple", False), ("full", True)])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_folder_gives_the_authors_numbers(tmp_path, name, weights, protocol):
    folder = folder_of(tmp_path / f"NATS-tss-v1_0-3ffb9-{name}", weights, protocol)
    check_expected(Benchmark.open(folder))


def test_it_is_read_once_and_again_after_a_change(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "DATA_FOLDER", tmp_path)
    folder = folder_of(tmp_path / "NATS-tss-v1_0-3ffb9-simple")
    assert find_benchmark(None) == folder
    told = done(main, CONV)
    assert told[2] == "cifar10            93.00          1 of 4                 0.00"
    compact = tmp_path / "NATS-tss-v1_0-3ffb9-simple.compact.csv"
    assert find_benchmark(None) == folder
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "read_folder", lambda path, kind: pytest.fail("the folder was read again"))
        check_expected(Benchmark.open(folder))
    (folder / "000003.pickle.pbz2").unlink()
    assert len(Benchmark.open(folder)) == 3
    # the compact file alone will do
    folder.rename(tmp_path / "elsewhere")
    assert find_benchmark(None) == compact
    assert len(Benchmark.open(compact)) == 3


def test_files_without_leading_zeros(tmp_path):
    folder = folder_of(tmp_path / "nats")
    for index in range(4):
        (folder / f"{index:06d}.pickle.pbz2").rename(folder / f"{index}.pickle.pbz2")
    check_expected(Benchmark.open(folder))


def faults(path):
    with pytest.raises(UserError) as caught:
        Benchmark.open(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("kind", ["malicious", "unknown"])
@pytest.mark.parametrize("file", ["meta", "000001"])
def test_a_disallowed_class_is_not_executed(tmp_path, kind, file):
    folder, marker = folder_of(tmp_path / "nats"), tmp_path / "marker"
    path = folder / f"{file}.pickle.pbz2"
    evil = Malicious(marker) if kind == "malicious" else Unknown()
    pack(path, {"meta_archs": list(RUNS), "evil": evil})
    named = f"{os.mkdir.__module__}.mkdir" if kind == "malicious" else f"{Unknown.__module__}.Unknown"
    told = f"benchmark '{path}' cannot be read (it names {named}, which is not allowed): "
    assert faults(folder).startswith(told)
    assert not marker.exists()


def test_weights_that_would_execute_something_are_not_loaded(tmp_path):
    folder, marker = folder_of(tmp_path / "nats"), tmp_path / "marker"
    content = entry(0, CONV)

    class Storage:  # a pickle within, which torch would load
        def __reduce__(self):
            return torch.storage._load_from_bytes, (pickle.dumps(Malicious(marker)),)

    content["200"]["all_results"]["cifar10", 777]["net_state_dict"] = Storage()
    pack(folder / "000000.pickle.pbz2", content)
    check_expected(Benchmark.open(folder))
    assert not marker.exists()


def test_damaged_and_foreign_files_are_told(tmp_path):
    folder = folder_of(tmp_path / "nats")
    path = folder / "000002.pickle.pbz2"
    whole = path.read_bytes()
    for part in (whole[:0], whole[: len(whole) // 2], whole[:-3], b"not bzip2"):
        path.write_bytes(part)
        assert f"benchmark '{path}' cannot be read (" in faults(folder)
    pack(path, {"12": entry(2, CONV)["12"]})
    assert "is no topology file of NATS-Bench or damaged (KeyError '200'): it must hold results" in faults(
        folder
    )
    state = entry(2, CONV)
    del state["200"]["all_results"]["cifar10", 888]["eval_acc1es"]["ori-test@2"]
    pack(path, state)
    assert "(KeyError 'ori-test@2')" in faults(folder)
    state = entry(2, CONV)
    del state["200"]["dataset_seed"]["cifar100"]
    pack(path, state)
    assert "(KeyError 'cifar100')" in faults(folder)
    pack(path, entry(2, SKIP))
    pack(folder / "meta.pickle.pbz2", [1, 2])
    assert "is no meta file of NATS-Bench or damaged (TypeError" in faults(folder)
    pack(folder / "meta.pickle.pbz2", {"meta_archs": ["64:64:64:64:64"]})
    assert "is damaged: architecture '64:64:64:64:64' does not parse" in faults(folder)
    (folder / "meta.pickle.pbz2").unlink()
    assert "is not a file: give a NAS-Bench-201 .pth, NATS-tss-v1_0-3ffb9-simple with its" in fault_of(folder)


# ---- the lean unpickler


def lean(tmp_path, content, reduce=lambda held, unpickler: held, key="full"):
    path = tmp_path / "content.pickle"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        unpickler = LeanUnpickler(data, 0, key, reduce)
        return everything(unpickler.load(), unpickler)


def everything(held, unpickler):
    if isinstance(held, dict):
        return {key: everything(value, unpickler) for key, value in unpickler.opened(held).items()}
    if isinstance(held, list | tuple):
        return type(held)(everything(one, unpickler) for one in held)
    return held


def test_it_reads_what_pickle_writes(tmp_path):
    shared = [f"a text that is shared {number}" for number in range(3)]
    numbers = {key: float(number) for number, key in enumerate(shared)}
    content = {
        "numbers": [
            0,
            1,
            255,
            256,
            65535,
            65536,
            -1,
            2**31 - 1,
            2**40,
            -(2**70),
            0.5,
            -1e300,
            True,
            False,
            None,
        ],
        "texts": ["", "short", "x" * 40, "x" * 41, "y" * 300, "\u00fc\u4e2d", "u(G}.", *shared],
        "plain": {number: number / 7 for number in range(2500)},  # more than are set at once
        "first": numbers,
        "again": {key: -value for key, value in numbers.items()},  # keys from the memo
        "nested": OrderedDict({(1, "two"): [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "d": {"e": {}}}),
        "numpy": {"a": np.float64(0.1), "b": np.float32(0.5), "c": np.int64(-3), "d": np.float64(0.1)},
    }
    found = lean(tmp_path, content)
    assert found == content
    assert list(found["plain"]) == list(range(2500))


def test_what_was_reduced_is_forgotten_and_texts_are_not(tmp_path):
    key, held = "a key that all share", []
    content = {
        number: {"full": {key: float(number), "list": [number], f"own {number}": 1.0}, "less": {"x": 1}}
        for number in range(5)
    }

    def reduce(full, unpickler):
        full = unpickler.opened(full)
        held.append(len(unpickler._memo))
        return full[key], full["list"]

    found = lean(tmp_path, content, reduce)
    assert found == {number: {"full": (float(number), [number])} for number in range(5)}
    steps = np.diff(held)
    assert steps.max() <= 2  # texts only: lists and dicts are gone


def test_other_protocols_and_opcodes_are_refused(tmp_path):
    path = tmp_path / "content.pth"
    for content in (
        pickle.dumps({}, protocol=4),
        b"\x80\x02I1\n.",
        b"\x80\x02X\xff\xff\xff\x7fab",
        b"\x80\x02cos",
    ):
        path.write_bytes(content)
        assert "cannot be read (" in fault_of(path)
    # a memory of much more than the file is not asked for
    path.write_bytes(b"\x80\x02\x8a\xff" + b"\x01" * 20)
    assert "cannot be read (EOFError)" in fault_of(path)


def test_stand_ins_take_no_objects_and_no_attributes():
    dtype, encode = stand_in("numpy", "dtype"), stand_in("_codecs", "encode")
    with pytest.raises(ValueError, match="numbers of the type O8"):
        dtype("O8", False, True)
    with pytest.raises(KeyError):
        dtype("f8").__setstate__((3, "O8,"))
    with pytest.raises(ValueError, match="bytes in rot13"):
        encode("x", "rot13")
    tampered = b"\x80\x02c_codecs\nencode\n}X\x04\x00\x00\x00evilK\x01sb."
    with pytest.raises(TypeError):
        authors_files._Restricted(io.BytesIO(tampered)).load()
    assert not hasattr(encode, "evil")
