"""NAS-Bench-Macro: golden values of the official code, its benchmark's file, and its commands."""

import itertools
import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.search.scoring import operation_scores
from foresight_ext.supernets.supernet import decide, remove
from sota.nasbench_macro import networks_proposal, visualize
from sota.nasbench_macro.benchmark import Benchmark
from sota.nasbench_macro.genotype import LAYERS, SPACE_SIZE
from sota.nasbench_macro.space import MacroSpace
from tests.conftest import golden, shared_file
from tests.running import done, read, refused
from tests.sota.steps import follow

OWN = json.loads((Path(__file__).parent / "golden_chains.json").read_text())["nas-bench-macro"]
JACOB = PROXIES.get("jacob")
TINY = [
    "--dataset=digits",
    "--init_channels=2",
    "--batch_size=4",
    "--pool_size=2",
    "--device=cpu",
    "--threads=1",
]
RUN = "nas-bench-macro/zerocostpt-seed0-digits-jacob-random"


def images(seed, batch=16, size=32):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def seeded_supernet(seed):
    torch.manual_seed(seed)
    return MacroSpace().begin(10)


def agree(supernet, x, mixings, expected):
    """Whether scores and the diagonal of K are the golden ones."""
    kernels = supernet.kernels(x, mixings, JACOB.new_kernel)
    assert [float(kernel.log_det()) for kernel in kernels] == pytest.approx(
        expected["score_float64"], rel=1e-5
    )
    diagonals = [set(kernel.matrix().diagonal().tolist()) for kernel in kernels]
    assert diagonals == [{diagonal} for diagonal in expected["K_diagonal"]]


# ---- golden values


@pytest.mark.parametrize("index", [0, 1])
def test_official_supernet_scores(index):
    case = golden("nasbench_macro_scores.json")["supernet"][index]
    supernet, mixing = seeded_supernet(case["seed"])
    parameters = sum(parameter.detach().double().sum().item() for parameter in supernet.parameters())
    assert parameters == pytest.approx(case["checksums"]["param_sum"], rel=1e-9)
    x = images(8000 + case["seed"])
    with torch.no_grad():
        output = supernet.eval()(x, mixing)[0]
    assert output.tolist() == pytest.approx(case["output_row0_nothing_removed"], abs=1e-5)
    for layer, expected in case["undecided"].items():
        agree(supernet, x, [remove(mixing, int(layer), digit) for digit in range(3)], expected)
    for decided in case["decided_sets"]:
        after = mixing
        for layer, digit in decided["decided"].items():
            after = decide(after, int(layer), digit)
        for layer, expected in decided["scores"].items():
            agree(supernet, x, [remove(after, int(layer), digit) for digit in range(3)], expected)


@pytest.mark.parametrize("index", [0, 1])
def test_official_discretisation(index):
    case = golden("nasbench_macro_scores.json")["discretisation"][index]
    first = int(re.search(r"manual_seed\((\d+)\+i\)", case["inputs"])[1])
    supernet, mixing = seeded_supernet(case["seed"])
    found = follow(supernet, mixing, case, "random", lambda step: images(first + step))
    assert MacroSpace().genotype(found) == case["genotype"]
    held = Benchmark(shared_file("data/nas-bench-macro_cifar10.json")).query(case["genotype"])["cifar10"]
    assert (held["accuracy"], held["rank"], held["of"]) == (
        pytest.approx(case["mean_acc"]),
        case["rank"],
        SPACE_SIZE,
    )


def test_own_golden_scores():
    supernet, mixing = seeded_supernet(OWN["seed"])
    batch = Batch(images(OWN["images"], OWN["batch"]), torch.zeros(OWN["batch"]))
    for layer, expected in OWN["removal"].items():
        found = operation_scores(JACOB, supernet, mixing, [int(layer)], batch)[int(layer)]
        assert found == pytest.approx(expected, rel=1e-5)


# ---- the space


class OnZeros(nn.Module):
    """A layer as the official code has it: candidates of weight 0 run on zeros."""

    def __init__(self, mixed):
        super().__init__()
        self.mixed = mixed

    def forward(self, x):
        pairs = zip(self.mixed.row, self.mixed.candidates)
        return sum(weight * candidate(x if weight else x * 0) for weight, candidate in pairs)


@pytest.mark.parametrize("size", [8, 13, 16])
def test_zeros_of_removed_candidates_are_counted_as_if_they_ran(size):
    torch.manual_seed(0)
    supernet, mixing = MacroSpace(init_channels=2).begin(10)
    mixing = decide(remove(remove(mixing, 0, 1), 5, 0), 2, 2)
    x, layers = images(1, 6, size), supernet.network.layers
    [found] = supernet.kernels(x, [mixing], JACOB.new_kernel)
    for number, layer in enumerate(layers):
        layer.row = mixing[number]
    expected = JACOB.new_kernel(x)

    def record(module, inputs):
        expected.add(inputs[0], relus=1)

    supernet.network.layers = nn.Sequential(*map(OnZeros, layers))
    for module in supernet.network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(record)
    with torch.no_grad():
        supernet.network.eval()(x)
    assert torch.equal(found.matrix(), expected.matrix())


@pytest.mark.parametrize("proxy", ["params", "flops"])
def test_what_is_removed_is_not_counted_and_by_size_the_largest_wins(proxy):
    supernet, mixing = MacroSpace(init_channels=2).begin(10)
    batch = Batch(images(0, 1, 16), torch.zeros(1))
    for layer in range(len(LAYERS)):
        scores = operation_scores(PROXIES.get(proxy), supernet, mixing, [layer], batch)[layer]
        assert scores[0] > scores[1] > scores[2]
        mixing = decide(mixing, layer, 2)
    network = MacroSpace(init_channels=2).build_network("2" * 8, 10)
    [found] = PROXIES.get(proxy).score_mixings(supernet, [mixing], batch)
    assert found == PROXIES.get(proxy).score(network, batch)


def test_every_genotype_is_one_of_the_space():
    space = MacroSpace()
    every = ["".join(digits) for digits in itertools.islice(itertools.product("012", repeat=8), 0, None, 100)]
    assert [space.read_genotype(one) for one in every] == every
    mixing = tuple(tuple(float(digit == layer % 3) for digit in range(3)) for layer in range(len(LAYERS)))
    assert space.genotype(mixing) == "01201201"


@pytest.mark.parametrize("text", ["", "0120120", "012012013", "01201203"])
def test_malformed_genotypes_are_told(text):
    told = f"architecture '{text}' does not parse: it must be 8 digits from 0 to 2, such as 02012100"
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
        MacroSpace().read_genotype(text)


def test_a_networks_parameters_are_the_benchmarks():
    content = json.loads(shared_file("data/nas-bench-macro_cifar10.json").read_text())
    for genotype in ("02012100", "22222222", "00000000", "11111111"):
        network = MacroSpace().build_network(genotype, 10)
        assert sum(one.numel() for one in network.parameters()) == content[genotype]["params"]


# ---- the benchmark


@pytest.fixture
def miniature(tmp_path):
    """A file in the published layout."""
    accuracies = {"22222222": 90.5, "00000000": 80.0, "11111111": 92.0, "02012100": 90.5}
    content = {
        name: {"test_acc": [accuracy] * 3, "mean_acc": accuracy, "std": 0.0, "params": 1, "flops": 1}
        for name, accuracy in accuracies.items()
    }
    path = tmp_path / "macro.json"
    path.write_text(json.dumps(content))
    return path


def test_accuracy_and_rank(miniature):
    benchmark = Benchmark(miniature)
    held = {"accuracy": 90.5, "rank": 2, "regret": 1.5, "of": 4}
    assert benchmark.query("22222222") == benchmark.query("02012100") == {"cifar10": held}
    with pytest.raises(UserError, match="lacks '12222222'"):
        benchmark.query("12222222")


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "[]",
            "is no file of NAS-Bench-Macro: it must be a JSON object with a 'mean_acc' for each architecture",
        ),
        (
            "{",
            "is no file of NAS-Bench-Macro: it must be a JSON object with a 'mean_acc' for each architecture",
        ),
        ('{"22222222": {}}', "is no file of NAS-Bench-Macro: it must be a JSON object with a 'mean_acc'"),
        ('{"2": {"mean_acc": 1}}', "is no file of NAS-Bench-Macro: architecture '2' does not parse"),
        (
            '{"22222222": {"mean_acc": NaN}}',
            "is damaged: '22222222' has the accuracy nan: it must be a percentage",
        ),
    ],
)
def test_what_is_no_benchmark_is_told_before_anything_is_made(tmp_path, text, told):
    path = tmp_path / "macro.json"
    path.write_text(text)
    out = tmp_path / "out"
    found = refused(networks_proposal.main, *TINY, f"--benchmark={path}", f"--out={out}")
    assert found.startswith(f"--benchmark {path} {told}")
    path.unlink()
    found = refused(networks_proposal.main, *TINY, f"--benchmark={path}", f"--out={out}")
    assert found == f"--benchmark {path} can't be read: No such file or directory"
    assert not out.exists()


# ---- commands


def test_the_pool_is_the_result_and_told_with_its_ranks(tmp_path, miniature):
    arguments = [*TINY, f"--out={tmp_path}", f"--benchmark={miniature}"]
    lines = done(networks_proposal.main, *arguments)
    pool = [network["genotype"] for network in read(tmp_path / RUN, "networks_pool.json")["networks"]]
    assert lines[-1] == f"run: {tmp_path / RUN}"
    assert not (tmp_path / RUN / "best_networks.json").exists()
    told = [line for line in lines if line.startswith("found ")]
    assert pool == ["22222222"] * 2
    assert told == ["found 2x: 22222222: cifar10: 90.50% test accuracy, rank 2 of 4"]


def test_validation_is_offered(tmp_path, miniature):
    arguments = [*TINY, f"--out={tmp_path}", "--stage=all", "--validate_rounds=2"]
    lines = done(networks_proposal.main, *arguments, f"--benchmark={miniature}")
    assert "cifar10: 90.50% test accuracy, rank 2 of 4, 1.50 below the best" in lines
    summary = read(tmp_path / RUN, "summary.json")
    assert (summary["genotype"], summary["rank"]) == ("22222222", {"cifar10": 2})


def test_an_architecture_is_drawn(tmp_path):
    out = tmp_path / "chain.svg"
    lines = done(visualize.main, "02012100", f"--out={out}")
    assert "  layer1 <-- 5x5_6 ----- layer0" in lines and out.is_file()
    assert refused(visualize.main, "02012100", "--id=1").startswith("--id 1: '02012100' is one architecture")
    assert refused(visualize.main, "0201").startswith("architecture '0201' does not parse")
