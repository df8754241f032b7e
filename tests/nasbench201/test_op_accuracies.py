"""What operations are worth by the benchmark, and the published correlations of scores with that."""

import json

import pytest
import torch

from foresight_ext.errors import UserError
from foresight_ext.images import datasets
from foresight_ext.measures import PROXIES
from foresight_ext.search.atlas_scoring import state_scores
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.ranking import picked, table_correlation, worth
from nasbench201.benchmark import Benchmark
from nasbench201.genotype import EDGE_NAMES, OPERATIONS
from nasbench201.op_accuracies import architecture, operation_accuracies, standing
from nasbench201.space import NASBench201Space
from tests.conftest import golden, shared_file


@pytest.fixture(scope="module")
def benchmark():
    return Benchmark.open(shared_file("data/nasbench201_test_accuracy.csv"))


@pytest.fixture(scope="module")
def accuracies(benchmark):
    return operation_accuracies(benchmark)


@pytest.fixture(scope="module")
def published():
    content = json.loads(shared_file("facts/op_scores_published.json").read_text())
    assert content["operations"] == list(OPERATIONS)
    return {
        name: {number: edges[edge] for number, edge in enumerate(EDGE_NAMES)}
        for name, edges in content["scores"].items()
    }


def correlations(rows, kind, accuracies):
    """With best-acc and avg-acc, as they are printed in the paper."""
    return tuple(
        round(table_correlation(worth(rows, kind), accuracies[f"{name} cifar10"]), 3)
        for name in ("best-acc", "avg-acc")
    )


def test_best_accuracies_are_the_published_ones(accuracies, published):
    """To the last digit, as the best single run."""
    assert accuracies["best-acc cifar10"] == published["best-acc"]
    assert correlations(published["avg-acc"], "one_hot", accuracies)[1] == 1


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("jacob, removal (lower = more important)", "removal", (0.767, 0.833)),
        ("jacob, one-hot edge", "one_hot", (0.1, 0.033)),
        ("synflow, removal (lower = more important)", "removal", (0.633, 0.933)),
        ("DARTS-PT (accuracy left after removal; lower = more important)", "removal", (0.417, 0.667)),
    ],
)
def test_published_correlations(name, kind, expected, accuracies, published):
    assert correlations(published[name], kind, accuracies) == expected


def test_the_published_pick(benchmark, published):
    found = picked(published["jacob, removal (lower = more important)"], "removal")
    assert architecture(found) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    assert standing(benchmark, found)["cifar10"] == {"rank": 15, "error": 5.805}


def test_published_correlations_while_discretising(accuracies):
    """Tables of the edges left at each decision of the logs, compared with best-acc: means of four seeds."""
    best, runs = accuracies["best-acc cifar10"], golden("nasbench201_gpu_logs.json")["runs"]
    assert len(runs) == 4
    for decision, expected in enumerate((0.76, 0.70, 0.72, 0.62, 0.74, 0.70)):
        steps = [run["steps"][decision] for run in runs]
        tables = [dict(zip(step["row_edges"], step["rows"])) for step in steps]
        assert all(list(table) == list(range(decision, 6)) for table in tables)
        mean = sum(table_correlation(worth(table, "removal"), best) for table in tables) / 4
        assert mean == pytest.approx(expected, abs=0.0051)


def test_own_scores_are_close_to_the_published(class_folder_cifar10, published, accuracies):
    """Seed 1 as published, on 16 images in place of 256 and JPEG files in place of the original pixels."""
    data = datasets.load("folder", datasets.Request(class_folder_cifar10))
    jacob = PROXIES.get("jacob")
    device = torch.device("cpu")
    search = PoolSearch(NASBench201Space(), data, jacob, ORDERS.get("order"), 1, 16, device)
    draws = search.draw()
    batch = data.render(draws.batches[0], device)
    scored = state_scores(jacob, search.supernet, draws.mixing, range(6), batch)
    removal, one_hot = (worth(getattr(scored, kind), kind) for kind in ("removal", "one_hot"))
    theirs = worth(published["jacob, removal (lower = more important)"], "removal")
    assert table_correlation(removal, theirs) > 0.8
    assert table_correlation(one_hot, published["jacob, one-hot edge"]) > 0.7
    best = accuracies["best-acc cifar10"]
    assert table_correlation(removal, best) == pytest.approx(0.767, abs=0.15)
    assert table_correlation(one_hot, best) < 0.3


def test_operations_need_the_whole_benchmark(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text(f"arch,cifar10\n{architecture([0] * 6)},10\n")
    with pytest.raises(
        UserError, match="some.csv' holds 1 of 15625 architectures: what an operation is worth"
    ):
        operation_accuracies(Benchmark.open(path))


def test_single_runs(tmp_path):
    path, other = tmp_path / "runs.csv", tmp_path / "wrong.csv"
    path.write_text(
        f"arch,cifar10,cifar10_runs,cifar100\n{architecture([0] * 6)},20,10 30 20,50\n"
        f"{architecture([1] * 6)},40,40,60\n"
    )
    asked = Benchmark.open(path)
    assert asked.single_runs == ("cifar10",)
    assert asked.best_run(architecture([0] * 6), "cifar10") == 30
    assert asked.best_run(architecture([1] * 6), "cifar10") == 40
    assert asked.best_run(architecture([0] * 6), "cifar100") == 50  # their mean
    for cell in ("10 x", "10 101", ""):
        other.write_text(path.read_text().replace("10 30 20", cell))
        with pytest.raises(UserError, match=r"wrong.csv' has a wrong cifar10 accuracy \("):
            Benchmark.open(other)
