"""The NAS-Bench-201 reader, on miniature files in the authors' own format and on a CSV of the whole space."""

import json
import os
import pickle
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from nas_201_api import ArchResults, ResultsCount

from foresight_ext.errors import UserError
from nasbench201 import benchmark as module
from nasbench201.benchmark import BENCHMARKED, Benchmark, find_benchmark, main
from tests import PROJECT_ROOT
from tests.conftest import shared_file

SKIP, POOL, CONV, NONE = (
    f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|"
    for op in ("skip_connect", "avg_pool_3x3", "nor_conv_3x3", "none")
)
# architecture -> data set of the authors' file -> seed -> test accuracy after the last epoch
RUNS = {
    CONV: {
        "cifar10": {777: 94.0, 888: 93.0, 999: 92.0},
        "cifar100": {777: 70.0, 888: 71.0},
        "ImageNet16-120": {777: 40.0},
    },
    SKIP: {"cifar10": {777: 93.0}, "cifar100": {888: 70.5}, "ImageNet16-120": {777: 46.5, 888: 47.5}},
    POOL: {
        "cifar10": {777: 80.0, 999: 81.0},
        "cifar100": {777: 60.0, 888: 61.0, 999: 65.0},
        "ImageNet16-120": {777: 41.0},
    },
    NONE: {"cifar10": {777: 10.0}, "cifar100": {777: 1.0}, "ImageNet16-120": {777: 0.8}},
}
# worked out by hand: accuracy, rank, distance to the optimum
EXPECTED = {
    CONV: {"cifar10": (93.0, 1, 0.0), "cifar100": (70.5, 1, 0.0), "imagenet16-120": (40.0, 3, 7.0)},
    SKIP: {"cifar10": (93.0, 1, 0.0), "cifar100": (70.5, 1, 0.0), "imagenet16-120": (47.0, 1, 0.0)},
    POOL: {"cifar10": (80.5, 3, 12.5), "cifar100": (62.0, 3, 8.5), "imagenet16-120": (41.0, 2, 6.0)},
    NONE: {"cifar10": (10.0, 4, 83.0), "cifar100": (1.0, 4, 69.5), "imagenet16-120": (0.8, 4, 46.2)},
}
SETS = {
    "cifar10-valid": ("ori-test", "x-valid"),
    "cifar10": ("ori-test",),
    "cifar100": ("ori-test", "x-valid", "x-test"),
    "ImageNet16-120": ("ori-test", "x-valid", "x-test"),
}
CSV = "arch,cifar10,cifar100\n" + f"{CONV},93,70\n{SKIP},94,71\n"


def arch_state(index, arch, runs, epochs):
    """One architecture's state; every set but the test sets, and every epoch but the last, holds decoys."""
    results = ArchResults(index, arch)
    for dataset, names in SETS.items():
        test = names[-1] if dataset != "cifar10-valid" else None
        for seed, accuracy in runs.get(dataset, {777: 99.0}).items():
            config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10}
            run = ResultsCount(dataset, None, {}, {}, np.float64(1.5), 2.5, config, seed, epochs, [0.01])
            ones = {epoch: np.float32(1) for epoch in range(epochs)}
            run.update_train_info(OrderedDict(ones), ones, ones, ones)
            accuracies = {f"{name}@{epoch}": 99.0 for name in names for epoch in range(epochs)}
            if test:
                accuracies[f"{test}@{epochs - 1}"] = np.float64(accuracy) if seed == 777 else accuracy
            times = defaultdict(float, dict.fromkeys(accuracies, np.float64(0.5)))
            run.update_eval(accuracies, dict.fromkeys(accuracies, 0.1), dict(times))
            results.update(dataset, seed, run)
    return results.state_dict()


def content(runs=RUNS):
    infos = {}
    for index, (arch, by_dataset) in enumerate(runs.items()):
        full = arch_state(index, arch, by_dataset, epochs=3)
        infos[index] = {"full": full, "less": arch_state(index, arch, {}, epochs=1)}
    return {
        "meta_archs": list(runs),
        "arch2infos": OrderedDict(infos),
        "evaluated_indexes": set(infos),
        # kinds of data that other releases hold
        "total_archs": np.int64(len(runs)),
        "extra": defaultdict(list, {"weights": [torch.ones(3), np.arange(2), np.float32(1)]}),
    }


def save(path, runs=RUNS, *, as_zip=True):
    torch.save(content(runs), path, _use_new_zipfile_serialization=as_zip)
    return path


@pytest.fixture(scope="module", params=["zip", "legacy"])
def pth(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp(request.param) / "mini.pth", as_zip=request.param == "zip")


def check_expected(benchmark):
    assert benchmark.datasets == BENCHMARKED
    assert list(benchmark) == list(RUNS)
    assert len(benchmark) == 4
    for arch, answers in EXPECTED.items():
        query = benchmark.query(arch)
        assert json.loads(json.dumps(query)) == query
        for dataset, (accuracy, rank, regret) in answers.items():
            assert benchmark.accuracy(arch, dataset) == pytest.approx(accuracy)
            assert benchmark.rank(arch, dataset) == rank
            assert benchmark.regret(arch, dataset) == pytest.approx(regret)
            assert query[dataset] == {
                "accuracy": benchmark.accuracy(arch, dataset),
                "rank": rank,
                "regret": benchmark.regret(arch, dataset),
                "of": 4,
            }
    assert [benchmark.optimum(name) for name in BENCHMARKED] == pytest.approx([93.0, 70.5, 47.0])


def test_reads_the_authors_format(pth):
    check_expected(Benchmark.open(pth))


@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_reads_scalars_of_numpy_1_and_2(tmp_path, package):
    path = save(tmp_path / "mini.pth", as_zip=False)
    pickled = path.read_bytes()
    other = pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(other.replace(b"numpy.core.multiarray", f"{package}.multiarray".encode()))
    assert f"c{package}.multiarray\nscalar\n".encode() in path.read_bytes()
    check_expected(Benchmark.open(path))


def test_second_query_leaves_the_pth_alone(pth, monkeypatch):
    first = Benchmark.open(pth)

    def refuse(path, kind):
        raise AssertionError("the .pth was read again")

    monkeypatch.setattr(module, "read_pth", refuse)
    second = Benchmark.open(pth)
    check_expected(second)
    assert [second.query(arch) for arch in RUNS] == [first.query(arch) for arch in RUNS]  # to the last bit
    compact = pth.with_name("mini.compact.csv")
    assert compact.read_text().splitlines()[1] == "arch,cifar10,cifar100,imagenet16-120"
    check_expected(Benchmark.open(compact))


def test_second_query_needs_neither_torch_nor_memory(pth):
    Benchmark.open(pth)
    code = (
        "import sys; from pathlib import Path; from nasbench201.benchmark import Benchmark; "
        f"Benchmark.open(sys.argv[1]).query('{CONV}'); "
        "assert not {'torch', 'nas_201_api'} & set(sys.modules); "
        # not getrusage: its peak includes the parent's, from before the new program was executed
        "status = Path('/proc/self/status'); print(status.read_text() if status.exists() else '')"
    )
    command = [sys.executable, "-c", code, pth]
    run = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        if line.startswith("VmHWM:"):
            assert int(line.split()[1]) < 200_000  # kB


def test_compact_file_is_made_again_after_a_change(tmp_path):
    path = save(tmp_path / "mini.pth")
    assert Benchmark.open(path).accuracy(CONV, "cifar10") == 93
    save(path, {**RUNS, CONV: {**RUNS[CONV], "cifar10": {777: 50.0}}})
    assert Benchmark.open(path).accuracy(CONV, "cifar10") == 50
    save(path, {arch: RUNS[arch] for arch in (CONV, SKIP)})
    assert len(Benchmark.open(path)) == 2
    # the same size and another time: rebuilt; nothing changed: not
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    before = path.with_name("mini.compact.csv").read_text()
    Benchmark.open(path)
    assert path.with_name("mini.compact.csv").read_text() != before


def test_folder_that_cannot_be_written(tmp_path, monkeypatch, caplog):
    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "write_text", refuse)
    check_expected(Benchmark.open(save(tmp_path / "mini.pth")))
    told = f"cannot write '{tmp_path / 'mini.compact.csv'}' (Permission denied): "
    assert caplog.messages.count(told + "the .pth will be read again next time") == 1


def test_ties_survive_single_precision_noise(tmp_path):
    runs = {
        CONV: {"cifar10": {777: 93.1, 888: 93.2, 999: 93.3}},
        SKIP: {"cifar10": {777: 93.3, 888: 93.1, 999: 93.2 - 1e-6}},
    }
    benchmark = Benchmark.open(save(tmp_path / "mini.pth", runs))
    assert benchmark.rank(CONV, "cifar10") == benchmark.rank(SKIP, "cifar10") == 1


def test_csv_with_other_columns_and_a_data_set_missing(tmp_path, caplog):
    path = tmp_path / "own.CSV"
    text = f"index,imagenet16-120,arch,cifar10\r\n0,30,{CONV},93\r\n1,31,{SKIP},93\r\n\r\n"
    path.write_bytes(text.encode("utf-8-sig"))
    benchmark = Benchmark.open(str(path))
    assert benchmark.datasets == ("cifar10", "imagenet16-120")
    assert benchmark.query(f" {CONV}\n") == {
        "cifar10": {"accuracy": 93.0, "rank": 1, "regret": 0.0, "of": 2},
        "imagenet16-120": {"accuracy": 30.0, "rank": 2, "regret": 1.0, "of": 2},
    }
    assert f"'{path}' holds 2 of 15625 architectures: ranks are among those" in caplog.messages


def test_is_immutable(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(CSV)
    benchmark = Benchmark.open(path)
    with pytest.raises(AttributeError):
        benchmark.path = path
    with pytest.raises(TypeError):
        benchmark._accuracy["cifar10"] = 0
    with pytest.raises(ValueError):
        benchmark._accuracy["cifar10"][0] = 0


def test_finds_files_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DATA_FOLDER", tmp_path / "data")
    assert find_benchmark(None) is None
    data = tmp_path / "data"
    data.mkdir()
    (data / "other.csv").write_text(CSV)
    (data / ".NAS-Bench-201-half-written.csv").write_text("")
    assert find_benchmark(None) is None

    own = data / "my_NASBench201_copy.csv"
    own.write_text(CSV)
    assert find_benchmark(None) == own
    own.unlink()
    compact = data / "NAS-Bench-201-v1_1-096897.compact.csv"
    compact.write_text(CSV)
    assert find_benchmark(None) == compact
    older = data / "NAS-Bench-201-v1_0-e61699.pth"
    older.touch()
    assert find_benchmark(None) == older
    newest = data / "NAS-Bench-201-v1_1-096897.pth"
    newest.touch()
    assert find_benchmark(None) == newest
    assert find_benchmark(str(compact)) == compact


def test_compact_file_of_a_renamed_pth_gives_way_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DATA_FOLDER", tmp_path)
    pth = save(tmp_path / "nas-bench-201-mini.pth")
    Benchmark.open(pth)
    assert find_benchmark(None) == pth
    pth.unlink()
    check_expected(Benchmark.open(find_benchmark(None)))


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Unknown:
    """A harmless class that is not on the list."""


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


def fault_of(path):
    with pytest.raises(UserError) as caught:
        Benchmark.open(path)
    message = str(caught.value)
    assert message.startswith(f"benchmark '{path}' ")
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 0.99])
def test_truncated_pth(pth, tmp_path, fraction):
    path = tmp_path / "cut.pth"
    whole = pth.read_bytes()
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
    assert "has the unknown suffix '.json': it must be .pth or .csv" in fault_of(path)
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


def test_shell_prints_a_table(tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text(CSV)
    assert main([CONV, SKIP, "--benchmark", str(path)]) == 0
    head = "data set        accuracy            rank  distance to optimum\n"
    assert capsys.readouterr().out == (
        f"{CONV}\n{head}"
        "cifar10            93.00          2 of 2                 1.00\n"
        "cifar100           70.00          2 of 2                 1.00\n"
        f"{SKIP}\n{head}"
        "cifar10            94.00          1 of 2                 0.00\n"
        "cifar100           71.00          1 of 2                 0.00\n"
    )


def test_shell_faults_are_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for arguments, told in (
        ([], "the following arguments are required: ARCH"),
        ([CONV, "--bench", "x.csv"], "unrecognized arguments: --bench x.csv"),
        ([CONV, "--benchmark"], "argument --benchmark needs a value"),
        ([CONV, "--benchmark", "nowhere.csv"], f"benchmark '{tmp_path / 'nowhere.csv'}' is not a file"),
        (
            [CONV],
            f"no benchmark in '{tmp_path / 'data'}': put NAS-Bench-201-v1_1-096897.pth, "
            "NAS-Bench-201-v1_0-e61699.pth or a *nasbench201*.csv there, or give --benchmark FILE",
        ),
    ):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: {told}")
        assert err.count("\n") == 1
    path = tmp_path / "own.csv"
    path.write_text(CSV)
    assert main([CONV, "two\nlines", "--benchmark", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("error: architecture 'two lines' does not parse")


def test_shell_reads_a_pth_once(tmp_path):
    path = save(tmp_path / "mini.pth")
    command = [sys.executable, "-m", "nasbench201.benchmark", CONV, "--benchmark", str(path)]
    first = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    second = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert "cifar10            93.00          1 of 4                 0.00" in first.stdout
    told = f"reading '{path}', once: what queries need is kept in mini.compact.csv"
    assert first.stderr.splitlines()[0] == told
    assert "reading" not in second.stderr


def test_the_whole_space():
    path = shared_file("data/nasbench201_test_accuracy.csv")
    start = time.perf_counter()
    benchmark = Benchmark.open(path)
    assert time.perf_counter() - start < 5  # about 0.1 s on an idle machine
    assert len(benchmark) == 15625
    assert [round(benchmark.optimum(name), 2) for name in BENCHMARKED] == [94.37, 73.51, 47.31]
    for name in BENCHMARKED:
        best = [arch for arch in benchmark if benchmark.rank(arch, name) == 1]
        assert [benchmark.regret(arch, name) for arch in best] == [0] * len(best)
        ranks = np.array([benchmark.rank(arch, name) for arch in benchmark])
        accuracies = np.array([benchmark.accuracy(arch, name) for arch in benchmark])
        for position in (0, 1, 7000, 15624):
            assert ranks[position] == 1 + (accuracies > accuracies[position]).sum()
