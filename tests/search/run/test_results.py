"""What a whole run leaves and prints, with and without a benchmark."""

import io
import json
import math
import re
from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image

from nasbench201.genotype import EDGE_NAMES, OPERATIONS, format_genotype, parse_genotype
from nasbench201.networks_proposal import main
from tests.running import read
from tests.search.run.runs import (
    BEST,
    DECISIONS,
    MEMBERS,
    NAME,
    OTHER,
    POOL,
    ROUNDS,
    SMALL,
    done,
    expected_scalars,
    journal,
    refused,
    scalars,
    table,
)


def test_config_tells_every_option_versions_revision_and_machine(uninterrupted, capsys):
    config = read(uninterrupted.folder, "config.json")
    with pytest.raises(SystemExit):
        main(["--help"])
    second_names = {"help", "metric", "no_skip_training"}
    options = set(re.findall(r"--([a-z_]+)", capsys.readouterr().out)) - second_names
    told = {**config["settings"], **config["other_options"]}
    assert set(told) == options | {"search_space"}
    assert not set(config["settings"]) & set(config["other_options"])
    given = {"batch_size": 8, "pool_size": MEMBERS, "validate_rounds": ROUNDS, "cells": 1, "init_channels": 4}
    assert {name: told[name] for name in given} == given
    assert (told["seed"], told["dataset"], told["metrics"], told["edge_decision"]) == (
        0,
        "digits",
        "jacob",
        "random",
    )
    assert "data" not in config["settings"]  # where images lie makes no result
    assert told["data"] is None
    assert told["out"] == str(uninterrupted.folder.parents[1])
    assert (told["threads"], told["device"], told["force"], told["stage"]) == (1, "cpu", False, "all")
    environment = config["environment"]
    assert environment["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", environment["git_revision"] or "0" * 40)
    assert environment["machine"]["device"] == "the CPU"


def test_pool_and_best_have_the_official_layout(uninterrupted):
    pool = read(uninterrupted.folder, POOL)
    assert list(pool) == ["search_space", "dataset", "pool_size", "networks"]
    assert (pool["search_space"], pool["dataset"], pool["pool_size"]) == ("nas-bench-201", "digits", MEMBERS)
    assert [list(network) for network in pool["networks"]] == [["id", "genotype"]] * MEMBERS
    assert [network["id"] for network in pool["networks"]] == ["0", "1"]
    genotypes = [network["genotype"] for network in pool["networks"]]
    assert all(len(parse_genotype(genotype)) == 6 for genotype in genotypes)

    best = read(uninterrupted.folder, BEST)
    assert list(best) == ["search_space", "dataset", "networks"]
    assert (best["search_space"], best["dataset"]) == ("nas-bench-201", "digits")
    assert best["networks"] in genotypes


def test_the_pool_is_what_the_decisions_say(uninterrupted):
    genotypes = [network["genotype"] for network in read(uninterrupted.folder, POOL)["networks"]]
    entries = journal(uninterrupted.folder, "search")
    assert [entry["member"] for entry in entries] == [0] * 6 + [1] * 6
    for member, genotype in enumerate(genotypes):
        decided = {entry["choice"]: entry["candidate"] for entry in entries if entry["member"] == member}
        assert format_genotype([decided[edge] for edge in EDGE_NAMES]) == genotype
    for entry in entries:
        assert len(entry["scores"]) == len(OPERATIONS)
        assert entry["candidate"] == OPERATIONS[entry["scores"].index(min(entry["scores"]))]


def test_summary(uninterrupted):
    folder = uninterrupted.folder
    summary = read(folder, "summary.json")
    keys = ["search_space", "dataset", "seed", "metrics", "edge_decision", "genotype", "scores", "seconds"]
    assert list(summary) == [*keys, "test_accuracy", "rank"]
    assert [summary[key] for key in keys[:5]] == ["nas-bench-201", "digits", 0, "jacob", "random"]
    by_genotype = defaultdict(list)
    for entry in journal(folder, "validation"):
        by_genotype[entry["genotype"]].append(entry["score"])
    assert [len(scores) for scores in by_genotype.values()] == [ROUNDS] * MEMBERS
    assert summary["scores"] == {genotype: math.fsum(scores) for genotype, scores in by_genotype.items()}
    assert list(summary["scores"]) == [network["genotype"] for network in read(folder, POOL)["networks"]]
    assert summary["genotype"] == max(summary["scores"], key=summary["scores"].get)
    assert summary["genotype"] == read(folder, BEST)["networks"]
    assert list(summary["seconds"]) == ["search", "validation"]
    for stage, seconds in summary["seconds"].items():
        total = sum(entry["seconds"] for entry in journal(folder, stage))
        assert seconds == pytest.approx(total, abs=1e-3)
        assert seconds > 0
    assert summary["test_accuracy"] is None
    assert summary["rank"] is None


def test_tensorboard_has_operation_scores_pool_scores_and_the_cell(uninterrupted):
    found, board = scalars(uninterrupted.folder)
    assert len(found) == DECISIONS * len(OPERATIONS) + MEMBERS
    assert found == expected_scalars(uninterrupted.folder)
    assert board.Tags()["images"] == ["NAS-Bench-201 cell"]
    [picture] = board.Images("NAS-Bench-201 cell")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        assert image.width > 100
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # not blank


def test_pictures_of_the_cell(uninterrupted):
    operations = parse_genotype(read(uninterrupted.folder, BEST)["networks"])
    svg = (uninterrupted.folder / "nas-bench-201-cell.svg").read_text()
    for operation in set(operations) - {"none"}:
        assert svg.count(f">{operation}<") == operations.count(operation)
    with Image.open(uninterrupted.folder / "nas-bench-201-cell.png") as image:
        image.verify()
        assert image.format == "PNG"


def test_what_is_printed_is_in_the_log_with_the_time(uninterrupted):
    printed = uninterrupted.out.splitlines()
    assert printed[0] == "nas-bench-201 on digits, seed 0, on the CPU"
    assert printed[-2:] == [f"report: {uninterrupted.folder}/report.html", f"run: {uninterrupted.folder}"]
    assert "search: 2 discretisations of 6 decisions" in printed
    assert "validation: 2 distinct networks, 30 minibatches each" in printed
    genotypes = [network["genotype"] for network in read(uninterrupted.folder, POOL)["networks"]]
    scores = read(uninterrupted.folder, "summary.json")["scores"]
    for member, genotype in enumerate(genotypes):
        assert f"search: member {member} is {genotype}" in printed
        assert f"validation: {scores[genotype]:.4f} for {genotype}" in printed
        assert f"{scores[genotype]:12.4f}     1x  {genotype}" in printed
    assert f"architecture: {read(uninterrupted.folder, BEST)['networks']}" in printed
    assert uninterrupted.says("Traceback") == 0
    log = (uninterrupted.folder / "log.txt").read_text().splitlines()
    assert [re.sub(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line) for line in log] == printed[:-2]


def test_the_scores_are_listed_best_first(uninterrupted):
    listed = [float(score) for score in re.findall(r"^ *([\d.]+) +\dx  \|", uninterrupted.out, re.M)]
    assert len(listed) == MEMBERS
    assert listed == sorted(listed, reverse=True)


def test_equal_networks_of_the_pool_are_validated_once(out, calls, tmp_path):
    pool = read(out / NAME, POOL)
    second = pool["networks"][1]["genotype"]
    pool["networks"][0]["genotype"] = second
    (tmp_path / "pool.json").write_text(json.dumps(pool))
    result = done(out, *SMALL, "--stage=validation", f"--pool={tmp_path / 'pool.json'}")
    assert calls == {"decisions": 0, "minibatches": ROUNDS}
    assert result.says("validation: 1 distinct network, 30 minibatches each") == 1
    assert re.search(rf" 2x  {re.escape(second)}$", result.out, re.M)
    assert read(result.folder, BEST)["networks"] == second


# ---- benchmark


def test_with_a_benchmark_accuracy_and_rank_are_told(out, tmp_path):
    best = read(out / NAME, BEST)["networks"]
    others = [format_genotype([operation] * 6) for operation in ("none", "skip_connect", "avg_pool_3x3")]
    rows = [f"{best},93.5,70,40.25"]
    rows += [f"{arch},{values}" for arch, values in zip(others, ["94,70,30", "10,72.5,20", "93.5,71,10"])]
    result = done(out, *SMALL, table(tmp_path / "bench.csv", rows))
    summary = read(out / NAME, "summary.json")
    assert summary["test_accuracy"] == {"cifar10": 93.5, "cifar100": 70.0, "imagenet16-120": 40.25}
    assert summary["rank"] == {"cifar10": 2, "cifar100": 3, "imagenet16-120": 1}
    printed = result.out.splitlines()
    assert "cifar10: 93.50% test accuracy, rank 2 of 4, 0.50 below the best" in printed
    assert "cifar100: 70.00% test accuracy, rank 3 of 4, 2.50 below the best" in printed
    assert "imagenet16-120: 40.25% test accuracy, rank 1 of 4, 0.00 below the best" in printed
    assert result.says("no benchmark") == 0
    assert result.says("bench.csv' holds 4 of 15625 architectures: ranks are among those") == 1


def test_without_a_benchmark_that_is_said_at_the_start_and_at_the_end(uninterrupted):
    printed = uninterrupted.out.splitlines()
    said = [index for index, line in enumerate(printed) if line.startswith("no benchmark: ")]
    assert len(said) == 2
    assert said[0] == 1
    assert said[1] > printed.index(f"architecture: {read(uninterrupted.folder, BEST)['networks']}")
    for index in said:
        assert "NAS-Bench-201-v1_1-096897.pth" in printed[index]
        assert "--benchmark FILE" in printed[index]


def test_an_architecture_that_the_benchmark_lacks_is_said(out, tmp_path):
    result = done(out, *SMALL, table(tmp_path / "bench.csv", [f"{OTHER},1,2,3"]))
    summary = read(out / NAME, "summary.json")
    assert summary["test_accuracy"] is None
    assert summary["rank"] is None
    assert result.says(f"no test accuracy and no rank: benchmark '{tmp_path}/bench.csv' lacks '|") == 1


def test_a_damaged_benchmark_is_refused_before_anything_is_made(tmp_path):
    option = table(tmp_path / "bench.csv", [f"{OTHER},1,2"])
    assert "row 1 has 3 cells" in refused(tmp_path / "out", *SMALL, option)
    assert not (tmp_path / "out").exists()
