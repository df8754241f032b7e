"""Benchmark files that are damaged, malicious, of another kind, or asked for what they lack."""

import os
import pickle

import pytest
import torch

from foresight_ext.errors import UserError
from nasbench201.benchmark import Benchmark, find_benchmark
from tests.nasbench201.authors_format import (
    CONV,
    CSV,
    POOL,
    RUNS,
    Malicious,
    Unknown,
    check_expected,
    content,
    fault_of,
    save,
)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("kind", ["malicious", "unknown"])
def test_pickle_with_a_disallowed_class_is_not_executed(tmp_path, kind, as_zip):
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    evil = {**content(), "evil": Malicious(marker) if kind == "malicious" else Unknown()}
    torch.save(evil, path, _use_new_zipfile_serialization=as_zip)
    named = f"{os.mkdir.__module__}.mkdir" if kind == "malicious" else f"{Unknown.__module__}.Unknown"
    fault = fault_of(path)
    assert f"it names {named}, which is not allowed" in fault
    assert not marker.exists()


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_truncated_pth(tmp_path, as_zip, fraction):
    path = tmp_path / "cut.pth"
    whole = save(tmp_path / "mini.pth", as_zip=as_zip).read_bytes()
    path.write_bytes(whole[: int(len(whole) * fraction)])
    assert "cannot be read" in fault_of(path)
    assert not path.with_name("cut.compact.csv").exists()


def test_pth_of_another_kind(tmp_path):
    path = tmp_path / "other.pth"
    for other in (torch.nn.Linear(2, 2).state_dict(), torch.ones(3), [1, 2], "text"):
        torch.save(other, path)
        assert "it must hold 'meta_archs' and 'arch2infos' with 'full' results" in fault_of(path)
    torch.save({**content(), "arch2infos": {0: {"less": {}}}}, path)
    assert "KeyError 'full' at entry 0" in fault_of(path)
    torch.save({**content(), "meta_archs": [CONV]}, path)
    assert "IndexError list index out of range at entry 1" in fault_of(path)
    torch.save({**content(), "meta_archs": ["a", "b", "c", "d"]}, path)
    assert "is damaged: architecture 'a' does not parse" in fault_of(path)
    torch.save({**content(), "arch2infos": {}}, path)
    assert "is empty" in fault_of(path)
    path.write_text("not a pickle")
    assert "cannot be read" in fault_of(path)
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps({"meta_archs": []}, protocol=protocol))
        assert "cannot be read" in fault_of(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, 100.5])
def test_pth_with_a_value_that_is_no_percentage(tmp_path, value):
    runs = {**RUNS, CONV: {**RUNS[CONV], "cifar100": {888: value}}}
    told = "nan" if value is None else value
    assert f"has a wrong cifar100 accuracy ({told}): " in fault_of(save(tmp_path / "mini.pth", runs))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lacks columns: its first line must name arch and one or more of cifar10, cifar100"),
        ("name,cifar10\nx,1\n", "lacks columns"),
        (f"arch,accuracy\n{CONV},1\n", "lacks columns"),
        ("arch,cifar10\n", "is empty"),
        (f"arch,cifar10,cifar10\n{CONV},1,2\n", "names the column 'cifar10' more than once: once is allowed"),
        (CSV[:-4], "is damaged: row 2 has 2 cells, it must have 3"),
        (CSV + f"{POOL},1,2,3\n", "is damaged: row 3 has 4 cells, it must have 3"),
        (CSV + f"{POOL[:-3]},1,2\n", "is damaged: architecture"),
        (CSV + f"{POOL.replace('avg', 'max')},1,2\n", "has the unknown operation 'max_pool_3x3'"),
        (CSV + f"{CONV},93,70\n", f"lists '{CONV}' more than once"),
        (CSV + f"{POOL},,2\n", "wrong cifar10 accuracy (could not convert string to float: '')"),
        (CSV + f"{POOL},1,much\n", "wrong cifar100 accuracy (could not convert string to float: 'much')"),
        (CSV + f"{POOL},nan,2\n", "wrong cifar10 accuracy (nan): it must be a percentage from 0 to 100"),
        (CSV + f"{POOL},inf,2\n", "has a wrong cifar10 accuracy (inf)"),
        (CSV + f"{POOL},-1,2\n", "has a wrong cifar10 accuracy (-1.0)"),
        (CSV + f"{POOL},101,2\n", "has a wrong cifar10 accuracy (101.0)"),
        (CSV + "x" * 200_000, "cannot be read (field larger than field limit (131072))"),
    ],
)
def test_faulty_csv(tmp_path, text, told):
    path = tmp_path / "own.csv"
    path.write_text(text)
    assert told in fault_of(path)


def test_other_faulty_files(tmp_path, monkeypatch):
    missing = tmp_path / "missing.pth"
    told = (
        "is not a file: give a NAS-Bench-201 .pth, NATS-tss-v1_0-3ffb9-simple with its meta.pickle.pbz2, or a"
    )
    assert f"{told} .csv with arch and" in fault_of(missing)
    assert "is not a file" in fault_of(tmp_path)
    path = tmp_path / "own.json"
    path.write_text(CSV)
    assert "has the unknown suffix '.json': it must be .pth, .csv or NATS-Bench's folder" in fault_of(path)
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\x80\x02}q\x00")
    assert "cannot be read ('utf-8' codec can't decode byte 0x80" in fault_of(path)
    with pytest.raises(UserError, match="is not a file"):
        find_benchmark(missing)


def test_damaged_compact_file(tmp_path):
    path = save(tmp_path / "mini.pth")
    Benchmark.open(path)
    compact = path.with_name("mini.compact.csv")
    whole = compact.read_text()
    for damaged in (whole[:-1], whole[: whole.rindex("|none~0|+")], whole.replace("93.0", "39.0")):
        compact.write_text(damaged)
        assert fault_of(compact) == (
            f"benchmark '{compact}' is damaged: delete it, and it will be made again from mini.pth"
        )
        with pytest.raises(UserError, match="delete it"):
            Benchmark.open(path)
    compact.unlink()
    check_expected(Benchmark.open(path))


def test_unknown_architectures_and_data_sets(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(CSV)
    benchmark = Benchmark.open(path)
    with pytest.raises(UserError, match="architecture 'conv' does not parse"):
        benchmark.query("conv")
    with pytest.raises(UserError, match="unknown operation 'max_pool_3x3'"):
        benchmark.rank(POOL.replace("avg", "max"), "cifar10")
    with pytest.raises(UserError) as caught:
        benchmark.accuracy(POOL, "cifar10")
    told = f"benchmark '{path}' lacks '{POOL}': it must be one of the 2 architectures in it"
    assert str(caught.value) == told
    for dataset in ("imagenet16-120", "svhn"):
        for method in ("accuracy", "rank", "regret", "optimum"):
            with pytest.raises(UserError) as caught:
                getattr(benchmark, method)(*([] if method == "optimum" else [CONV]), dataset)
            told = f"benchmark '{path}' lacks the data set '{dataset}': choose from cifar10, cifar100"
            assert str(caught.value) == told
