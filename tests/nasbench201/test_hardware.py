"""Latency and energy of NAS-Bench-201: the table, queries, limits of a search, and the picture."""

import xml.etree.ElementTree as ElementTree
from itertools import product
from random import Random

import numpy as np
import pytest
from PIL import Image

from foresight_ext.errors import UserError
from foresight_ext.search.limits import Limits, measured_of
from foresight_ext.supernets.supernet import decide
from nasbench201 import benchmark, hardware, networks_proposal, tradeoff
from nasbench201.genotype import OPERATIONS, format_genotype
from nasbench201.hardware import Hardware, find_hardware
from nasbench201.space import NASBench201Space
from tests.conftest import shared_file
from tests.running import TINY_NASBENCH201, done, read, refused

SKIP, POOL, CONV, NONE = (
    format_genotype([op] * 6) for op in ("skip_connect", "avg_pool_3x3", "nor_conv_3x3", "none")
)
# a device that can't run one, a cell that is empty, and columns that are no costs
CSV = f"phone_latency,arch,board_energy,index,latency\n2.5,{SKIP},-1,0,x\n10,{CONV},8,1,x\n0,{NONE},,2,x\n"
ACCURACIES = f"arch,cifar10\n{SKIP},80\n{CONV},93\n{NONE},10\n{POOL},95\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def accuracies(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text(ACCURACIES)
    return path


def test_costs_are_known_or_not(table, caplog):
    costs = Hardware.open(table)
    assert list(costs.costs) == ["phone_latency", "board_energy"]
    assert costs.cost(f" {SKIP}\n", "phone_latency") == 2.5
    assert costs.cost(SKIP, "board_energy") is costs.cost(NONE, "board_energy") is None
    assert costs.cost(POOL, "phone_latency") is None
    assert costs.query(SKIP) == {"phone_latency": {"cost": 2.5, "rank": 2, "share": 0.25, "of": 3}}
    assert costs.query(CONV)["board_energy"] == {"cost": 8, "rank": 1, "share": 1, "of": 1}
    told = f"'{table}' holds 3 of 15625 architectures: limits allow no other, and shares are of the largest"
    assert any(message.startswith(told) for message in caplog.messages)
    with pytest.raises(UserError, match="has no 'tv_energy': choose from phone_latency, board_energy"):
        costs.cost(SKIP, "tv_energy")
    with pytest.raises(UserError, match="does not parse"):
        costs.query("conv")


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "lacks columns: its first line must name arch and columns that end in _latency (ms) or _energy"),
        (f"arch,latency\n{SKIP},1\n", "lacks columns"),
        (f"arch,phone_latency\n{SKIP}\n", "is damaged: row 1 has 1 cells, it must have 2"),
        ("arch,phone_latency\n", "is empty"),
        (f"arch,phone_latency\n{SKIP},1\n{SKIP},2\n", f"lists '{SKIP}' more than once"),
        ("arch,phone_latency\nconv,1\n", "is damaged: architecture 'conv' does not parse"),
        (
            f"arch,phone_latency\n{SKIP},fast\n",
            f"has a wrong phone_latency ('fast' of {SKIP}): it must be a number",
        ),
        (f"arch,phone_latency\n{SKIP},-2\n", "('-2' of"),
        (f"arch,phone_latency\n{SKIP},nan\n", "('nan' of"),
        (f"arch,phone_latency\n{SKIP},inf\n", "('inf' of"),
    ],
)
def test_a_faulty_table_is_told(table, text, told):
    table.write_text(text)
    with pytest.raises(UserError) as error:
        Hardware.open(table)
    assert str(error.value).startswith(f"hardware table '{table}' ")
    assert told in str(error.value) and "\n" not in str(error.value)


def test_it_is_found_in_the_data_folder_and_is_no_benchmark(tmp_path, monkeypatch, table):
    monkeypatch.setattr(hardware, "DATA_FOLDER", tmp_path)
    monkeypatch.setattr(benchmark, "DATA_FOLDER", tmp_path)
    assert find_hardware(None) is None
    there = table.rename(tmp_path / "NASBench201_hardware.csv")
    assert find_hardware(None) == there
    assert benchmark.find_benchmark(None) is None
    (tmp_path / "nasbench201_test_accuracy.csv").write_text(ACCURACIES)
    assert benchmark.find_benchmark(None).name == "nasbench201_test_accuracy.csv"
    assert find_hardware(None) == there
    with pytest.raises(UserError, match="is not a file: give a .csv with arch and columns"):
        find_hardware(tmp_path / "none.csv")


def test_a_query_tells_costs_beside_accuracies(table, accuracies, tmp_path, monkeypatch):
    costs = [
        "cost                                        rank  of the largest",
        "phone_latency          2.5000 ms          2 of 3           25.0%",
        "board_energy           not known",
    ]
    told = done(benchmark.main, SKIP, f"--benchmark={accuracies}", f"--hardware={table}")
    assert told[0] == SKIP and told[-3:] == costs
    assert told[2].startswith("cifar10            80.00          3 of 4")
    monkeypatch.setattr(benchmark, "DATA_FOLDER", tmp_path / "data")
    assert done(benchmark.main, SKIP, f"--hardware={table}") == [SKIP, *costs]
    told = refused(benchmark.main, SKIP, f"--benchmark={accuracies}", "--hardware=none.csv")
    assert told.startswith("hardware table '") and "none.csv' is not a file" in told


# ---- limits


BUDGET = ["--metrics=params", "--pool_size=2", "--validate_rounds=1"]


def test_a_search_keeps_what_the_table_allows_and_tells_costs(tmp_path, table):
    arguments = [*TINY_NASBENCH201, *BUDGET, f"--hardware={table}", f"--out={tmp_path}"]
    text = CSV.replace(f"0,{NONE}", f"4,{NONE}")
    table.write_text(text)
    limited = [*arguments, "--at_most=phone_latency=25%"]
    told = done(networks_proposal.main, *limited)
    assert "search: networks have at most phone_latency 2.5" in told
    assert f"architecture: {SKIP}" in told  # no other is as fast
    assert "measured: phone_latency 2.5" in told
    folder = tmp_path / "nas-bench-201/zerocostpt-seed0-digits-params-random"
    assert read(folder, "summary.json")["measured"] == {"phone_latency": 2.5, "board_energy": None}
    settings = read(folder, "config.json")["settings"]
    assert settings["at_most"] == {"phone_latency": "25%"} and list(settings["measured"]) == ["phone_latency"]
    # another table is another run; what does not limit it may change
    table.write_text(text.replace(",8,", ",9,"))
    assert "finished before, nothing to compute: --force would start afresh" in done(
        networks_proposal.main, *limited
    )
    table.write_text(text.replace("2.5", "2.4"))
    assert "is a run with other settings (measured {'phone_latency'" in refused(
        networks_proposal.main, *limited
    )


def test_the_largest_network_within_a_measured_limit(tmp_path, table):
    arguments = [*TINY_NASBENCH201, "--max_params", f"--hardware={table}", f"--out={tmp_path}"]
    told = done(networks_proposal.main, *arguments, "--at_most=phone_latency=9.5,params=2k")
    assert f"architecture: {SKIP}" in told or f"architecture: {NONE}" in told
    assert "params: 1,332" in told
    assert f"architecture: {CONV}" in done(
        networks_proposal.main, *arguments, "--at_most=phone_latency=10", "--force"
    )


@pytest.mark.parametrize(
    "limit, told",
    [
        (
            "tv_latency=3",
            "there is no size 'tv_latency': choose from params, flops, phone_latency, board_energy",
        ),
        ("board_energy=7.5", "board_energy=7.5: the smallest architecture has 8"),
        (
            "board_energy=9,phone_latency=9",
            "board_energy=9,phone_latency=9: no architecture is within all of",
        ),
    ],
)
def test_limits_that_can_not_be_are_told_before_anything_is_made(tmp_path, table, limit, told):
    out = tmp_path / "out"
    arguments = [*TINY_NASBENCH201, f"--hardware={table}", f"--at_most={limit}", f"--out={out}"]
    assert told in refused(networks_proposal.main, *arguments)
    assert not out.exists()


def test_a_limit_without_a_table_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "DATA_FOLDER", tmp_path)
    told = refused(
        networks_proposal.main, *TINY_NASBENCH201, "--at_most=raspi4_latency=3", f"--out={tmp_path / 'out'}"
    )
    assert told == (
        "--at_most raspi4_latency: no table of latencies and energies: put a *nasbench201*hardware*.csv into "
        f"'{tmp_path}', or give --hardware FILE"
    )


def test_whether_a_real_limit_can_still_be_met_is_what_brute_force_says(tmp_path):
    path = shared_file("data/nasbench201_hardware.csv")
    space = NASBench201Space().smallest()
    space.measured = Hardware.open(path).costs
    supernet = space.build_supernet(10)
    most = {"raspi4_latency": "10%", "edgetpu_latency": 1.0}
    limits = Limits(supernet, lambda mixing: {}, most, measured=measured_of(space))
    raspi4, edgetpu = space.measured["raspi4_latency"], space.measured["edgetpu_latency"]
    assert (len(raspi4), len(edgetpu)) == (15625, 10926)
    fit = {
        kept
        for kept in product(range(5), repeat=6)
        if raspi4[(arch := format_genotype([OPERATIONS[one] for one in kept]))] <= 0.1 * max(raspi4.values())
        and edgetpu.get(arch, 2.0) <= 1.0
    }
    draw = Random(0)
    refusals = 0
    for _ in range(15):
        mixing, decided = tuple((0.2,) * 5 for _ in range(6)), {}
        for edge in draw.sample(range(6), 6):
            allowed = [one for one in range(5) if limits(mixing, edge, one)]
            for one in range(5):
                with_it = {**decided, edge: one}
                assert (one in allowed) == any(all(kept[e] == o for e, o in with_it.items()) for kept in fit)
            refusals += 5 - len(allowed)
            decided[edge] = draw.choice(allowed)
            mixing = decide(mixing, edge, decided[edge])
        assert tuple(decided[edge] for edge in range(6)) in fit
    assert refusals > 30
    arguments = [
        *TINY_NASBENCH201,
        "--pool_size=2",
        "--validate_rounds=1",
        f"--hardware={path}",
        f"--out={tmp_path}",
    ]
    told = done(networks_proposal.main, *arguments, "--at_most=raspi4_latency=10%,edgetpu_latency=1")
    folder = told[-1].removeprefix("run: ")
    for network in read(tmp_path / folder, "networks_pool.json")["networks"]:
        assert raspi4[network["genotype"]] <= 9.89 and edgetpu[network["genotype"]] <= 1


# ---- the picture


def test_the_front_is_what_nothing_undercuts():
    costs, accuracies = np.array([3, 1, 2, 2, 1, 4]), np.array([7, 5, 5, 6, 5, 7])
    assert [(costs[one], accuracies[one]) for one in tradeoff.pareto_front(costs, accuracies)] == [
        (1, 5),
        (2, 6),
        (3, 7),
    ]
    draw = np.random.default_rng(0)
    costs, accuracies = draw.integers(0, 30, 200), draw.integers(0, 30, 200)
    front = {(costs[one], accuracies[one]) for one in tradeoff.pareto_front(costs, accuracies)}
    points = list(zip(costs, accuracies))
    better = lambda a, b: a != b and a[0] <= b[0] and a[1] >= b[1]  # noqa: E731
    assert front == {one for one in points if not any(better(other, one) for other in points)}


def test_the_picture_shows_what_was_found_and_tells_how_far_it_is(tmp_path, table, accuracies):
    folder = tmp_path / "a_run"
    folder.mkdir()
    (folder / "best_networks.json").write_text(f'{{"networks": "{NONE}"}}')
    out = tmp_path / "picture.svg"
    arguments = [f"--benchmark={accuracies}", f"--hardware={table}", f"--out={out}"]
    told = done(tradeoff.main, str(folder), SKIP, *arguments, "--dataset=cifar10")
    assert told == [
        "3 architectures, 3 of them on the Pareto front",
        f"a_run: 10.00% on cifar10, phone_latency 0.0000 ms; 0.00 below the best that costs no more, {NONE}",
        f"{SKIP}: 80.00% on cifar10, phone_latency 2.5000 ms; 0.00 below the best that costs no more, {SKIP}",
        f"wrote {out}",
    ]
    words = {(one.text or "").strip() for one in ElementTree.parse(out).iter() if one.tag.endswith("text")}
    assert {"a_run", SKIP, "Pareto front", "latency on phone (ms)", "test accuracy on cifar10 (%)"} <= words
    first = out.read_bytes()
    assert (
        refused(tradeoff.main, *arguments)
        == f"'{out}' exists already: give --force to overwrite it, or another --out"
    )
    done(tradeoff.main, str(folder), SKIP, *arguments, "--force")
    assert out.read_bytes() == first
    png = tmp_path / "picture.png"
    done(tradeoff.main, *arguments[:2], f"--out={png}", "--cost=board_energy")
    assert Image.open(png).size == (1600, 1000)


def test_mistakes_about_the_picture_are_told(tmp_path, table, accuracies, monkeypatch):
    monkeypatch.setattr(hardware, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.setattr(benchmark, "DATA_FOLDER", tmp_path / "data")
    out = f"--out={tmp_path / 'picture.svg'}"
    both = [f"--benchmark={accuracies}", f"--hardware={table}", out]
    for arguments, told in (
        ([out], "no table of latencies and energies: put a *nasbench201*hardware*.csv into"),
        ([both[1], out], "no benchmark in '"),
        ([*both, "--cost=tv_latency"], "has no 'tv_latency': choose from phone_latency, board_energy"),
        ([*both, "--dataset=cifar100"], "lacks the data set 'cifar100': choose from cifar10"),
        ([*both, POOL], f"accuracy and phone_latency of {POOL} are not both known"),
        ([*both, "nowhere"], "'nowhere' is neither an architecture string nor a run folder nor a JSON file"),
        ([*both[:2], f"--out={tmp_path / 'picture.txt'}"], "the suffix must be one of .svg, .png, .pdf"),
    ):
        assert told in refused(tradeoff.main, *arguments)
    table.write_text(f"arch,phone_latency\n{SKIP},-1\n")
    assert "knows it of no architecture of" in refused(tradeoff.main, *both)
