"""The NAS-Bench-201 reader, on miniature files in the authors' own format and on a CSV of the whole space."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from nasbench201 import benchmark as module
from nasbench201.benchmark import BENCHMARKED, Benchmark, find_benchmark, main
from tests import PROJECT_ROOT
from tests.conftest import shared_file
from tests.nasbench201.authors_format import CONV, CSV, RUNS, SKIP, check_expected, save


@pytest.fixture(scope="module", params=["zip", "legacy"])
def pth(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp(request.param) / "mini.pth", as_zip=request.param == "zip")


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
