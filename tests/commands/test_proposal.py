"""Whole proposals: search, validation, training; alone, in turn, after a kill, with the scripts' defaults."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from foresight_ext.images.datasets import DATASETS
from foresight_ext.runs.journal import Journal
from foresight_ext.search.run import SearchRun
from foresight_ext.training import run as training
from nasbench201 import networks_proposal as nasbench201_proposal
from nasbench201 import train as nasbench201_train
from sota.cnn import networks_proposal, networks_proposal_imagenet
from sota.cnn.candidates import CANDIDATES
from sota.mobilenet import networks_proposal as mobilenet_proposal
from sota.nasbench_macro import networks_proposal as macro_proposal
from tests import PROJECT_ROOT
from tests import running as commands
from tests.running import class_folders, finished, read, script

SIZE = ["--space=s2", "--search_channels=2", "--search_layers=3", "--init_channels=2", "--layers=3"]
BUDGET = ["--batch_size=4", "--pool_size=2", "--validate_rounds=2", "--epochs=2", "--train_batch_size=8"]
TINY = [*SIZE, *BUDGET, "--dataset=digits", "--device=cpu", "--threads=1", "--fast"]
NAME = "s2/zerocostpt-seed2-digits-jacob-random"
DECISIONS, SCORES, EPOCHS = 2 * (28 + 6), 2 * 2, 2


def done(out, *arguments, main=networks_proposal.main):
    """The lines of a command that must succeed."""
    return commands.done(main, f"--out={out}", *arguments)


def refused(out, *arguments, main=networks_proposal.main):
    """The one line of a command that must be refused."""
    return commands.refused(main, f"--out={out}", *arguments)


def journal(folder, name):
    """A journal's entries without their seconds."""
    path = folder / f"{name}.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{**entry, "seconds": 0} for entry in entries]


def what_came_out(folder):
    """All that a run computes, without the time it took."""
    result = {**read(folder, "training/result.json"), "seconds": 0}
    names = ("search", "validation", "training/training")
    return [journal(folder, name) for name in names], read(folder, "best_networks.json"), result


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder and the lines of a run from start to end."""
    out = tmp_path_factory.mktemp("out")
    return out / NAME, done(out, *TINY)


def test_three_stages_and_a_test_accuracy(uninterrupted):
    folder, told = uninterrupted
    result = read(folder, "training/result.json")
    assert told[-1] == f"run: {folder / 'training'}"
    assert f"run: {folder}" in told
    assert result["genotype"] == read(folder, "best_networks.json")["networks"]
    assert result["architecture"] == "s2-zerocostpt-seed2-digits-jacob-random"
    assert (result["seed"], result["epochs"], result["init_channels"]) == (2, 2, 2)
    assert 0 <= result["test_accuracy"]["best"] <= 100
    assert sum("test accuracy (protocol holdout" in line for line in told) == 1
    lengths = [len(entries) for entries in what_came_out(folder)[0]]
    assert lengths == [DECISIONS, len({str(n) for n in _pool(folder)}) * 2, EPOCHS]
    assert not set(read(folder, "config.json")["settings"]) & {"epochs", "layers", "train_batch_size"}


def _pool(folder):
    return [network["genotype"] for network in read(folder, "networks_pool.json")["networks"]]


def test_stages_alone_come_to_the_same(uninterrupted, tmp_path):
    folder = tmp_path / NAME
    assert done(tmp_path, *TINY, "--stage=search")[-1] == f"run: {folder}"
    assert not (folder / "best_networks.json").exists()
    assert done(tmp_path, *TINY, "--stage=validation")[-1] == f"run: {folder}"
    assert done(tmp_path, *TINY, "--skip_training")[-1] == f"run: {folder}"
    assert not (folder / "training").exists()
    assert done(tmp_path, *TINY, "--stage=training")[-1] == f"run: {folder}/training"
    assert what_came_out(folder) == what_came_out(uninterrupted[0])


def test_stopped_again_and_again_changes_nothing(uninterrupted, tmp_path):
    """Ctrl-C before the entry of any moment; the same command goes on and computes nothing twice."""
    for entries in (7, 40, 22, 1, 2, 1):
        with commands.stopped_after(entries):
            code, _, error = commands.run(networks_proposal.main, f"--out={tmp_path}", *TINY)
        assert (code, error) == (130, "stopped: the same command goes on from here\n")
    done(tmp_path, *TINY)
    assert what_came_out(tmp_path / NAME) == what_came_out(uninterrupted[0])


def test_kill_9_in_the_search_changes_nothing(uninterrupted, tmp_path):
    folder = tmp_path / NAME
    command = [sys.executable, "-m", "sota.cnn.networks_proposal", f"--out={tmp_path}", *TINY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE) as process:
        while len(journal(folder, "search")) < 10:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(journal(folder, "search")) < DECISIONS
    done(tmp_path, *TINY)
    assert what_came_out(folder) == what_came_out(uninterrupted[0])


def test_a_finished_run_is_told_and_not_computed(uninterrupted, monkeypatch):
    folder, told = uninterrupted
    monkeypatch.setattr(Journal, "append", lambda journal, entry: pytest.fail("computed again"))
    monkeypatch.setitem(DATASETS._entries, "digits", lambda request: pytest.fail("the images are gone"))
    again = done(folder.parent.parent, *TINY)
    assert again[-3:] == told[-3:]
    assert sum("nothing to compute" in line for line in again) == 2


def test_a_training_with_other_settings_is_refused_and_the_search_is_kept(uninterrupted):
    folder, _ = uninterrupted
    told = refused(folder.parent.parent, *TINY, "--layers=4")
    assert told.startswith(f"{folder}/training is a run with other settings (layers 3 there, 4 asked for)")
    assert told.endswith("use --stage training --force to overwrite it")
    told = refused(folder.parent.parent, *TINY, "--stage=training", "--pool_size=3")
    assert told.startswith(f"{folder} is a run with other settings (pool_size 2 there, 3 asked for)")


def test_two_processes_train_the_winner(tmp_path):
    arguments = [*TINY, "--pool_size=1", "--validate_rounds=1", "--epochs=1", "--nproc_per_node=2", "--force"]
    done = finished(script("zerocostpt_darts_pipeline.sh", "--out=my runs", *arguments), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path.resolve() / "my runs" / NAME
    assert done.stdout.splitlines()[-1] == f"run: {folder}/training"
    assert read(folder, "training/result.json")["processes"] == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--amp"], "--amp needs a GPU"),
        (["--train_batch_size=2", "--nproc_per_node=2"], "a batch size of 2 is too small for 2 processes"),
        (["--force", "--resume_epoch=5"], "--force deletes the checkpoint that --resume_epoch 5 needs"),
        (["--metrics=zico", "--batch_size=1"], "--batch_size 1: zico needs 2 images or more"),
        (["--resume_epoch=5"], "--resume_epoch 5: "),
        (["--stage=training"], "has no best_networks.json: run --stage validation first"),
        (["--stage=validation"], "has no networks_pool.json: run --stage search first"),
        (["--stage=train"], "argument --stage: invalid choice: 'train'"),
        (["--space=s7"], "argument --space: invalid choice: 's7'"),
        (["--search_layers=2"], "argument --search_layers: '2' is not a whole number from 3 on"),
        (["--epochs=0"], "argument --epochs: '0' is not a whole number from 1 on"),
        (["--mean=0,0,0"], "--mean goes with --dataset folder only"),
    ],
)
def test_a_mistake_is_told_before_the_search(tmp_path, monkeypatch, arguments, message):
    """Also one that only the training would stumble over."""
    monkeypatch.setattr(Journal, "append", lambda journal, entry: pytest.fail("something was computed"))
    assert message in refused(tmp_path / "out", *TINY, *arguments)
    assert not (tmp_path / "out").exists()


def test_a_test_split_that_is_missing_is_told_before_the_search(tmp_path):
    class_folders(tmp_path / "train", (40, 40))
    arguments = [*TINY, "--dataset=folder", f"--data={tmp_path}"]
    assert f"--data {tmp_path} has no folder test or val" in refused(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_started_by_torchrun_only_the_training_runs(tmp_path, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.setenv(name, "0")
    assert "start them with --stage training" in refused(tmp_path, *TINY)


# ---- ImageNet


def test_imagenet_searches_and_trains_on_request(tmp_path):
    class_folders(tmp_path / "data/train", (40, 40), images=8)
    class_folders(tmp_path / "data/val", (40, 40))
    arguments = [*SIZE, *BUDGET, "--device=cpu", "--threads=1", f"--data={tmp_path / 'data'}"]
    arguments += ["--crop_size=32", "--no_auxiliary", "--epochs=1"]
    main = networks_proposal_imagenet.main
    folder = tmp_path / "s2/zerocostpt-seed2-imagenet-jacob-random"
    told = done(tmp_path, *arguments, main=main)
    assert told[-1] == f"run: {folder}"
    assert not any("half of the training images" in line for line in told)  # the search takes all 16
    told = done(tmp_path, *arguments, "--no_skip_training", "--workers=0", main=main)
    assert told[-1] == f"run: {folder}/training"
    assert read(folder, "training/result.json")["genotype"] == read(folder, "best_networks.json")["networks"]
    assert read(folder, "config.json")["settings"]["crop_size"] == 32


# ---- the scripts


@pytest.mark.parametrize(
    "name, defaults",
    [
        (
            "zerocostpt_darts_pipeline.sh",
            {"dataset": "cifar10", "init_channels": 36, "layers": 20, "epochs": 600, "learning_rate": 0.025}
            | {"skip_training": False},
        ),
        (
            "zerocostpt_darts_pipeline_c100.sh",
            {"dataset": "cifar100", "init_channels": 16, "layers": 8, "skip_training": False},
        ),
        (
            "zerocostpt_darts_pipeline_svhn.sh",
            {"dataset": "svhn", "init_channels": 16, "layers": 8, "skip_training": False},
        ),
        (
            "zerocostpt_darts_pipeline_imagenet.sh",
            {"dataset": "imagenet", "init_channels": 48, "layers": 14, "epochs": 250, "learning_rate": 0.1}
            | {"train_batch_size": 128, "crop_size": 224, "skip_training": True},
        ),
        (
            "zerocostpt_nb201_pipeline.sh",
            {"dataset": "cifar10", "init_channels": 16, "cells": 5, "skip_training": True}
            | {"seed": 0, "batch_size": 256, "search_channels": None, "search_layers": None, "space": None},
        ),
        (
            "zerocostpt_mobilenet_pipeline.sh",
            {"dataset": "cifar10", "width": 1, "epochs": 250, "learning_rate": 0.1, "train_batch_size": 128}
            | {"seed": 0, "search_channels": None, "search_layers": None, "space": None}
            | {"skip_training": True},
        ),
        (
            "zerocostpt_nbmacro_pipeline.sh",
            {"dataset": "cifar10", "init_channels": 32, "stage": "search", "batch_size": 256}
            | {"seed": 0, "search_channels": None, "search_layers": None, "space": None},
        ),
    ],
)
def test_scripts_have_the_official_defaults(name, defaults, monkeypatch):
    text = (PROJECT_ROOT / "exp_scripts" / name).read_text()
    module, *given = re.search(r'^run_module (.*) "\$@"$', text, re.M).group(1).split()
    main = {
        "sota.cnn.networks_proposal": networks_proposal.main,
        "sota.cnn.networks_proposal_imagenet": networks_proposal_imagenet.main,
        "nasbench201.networks_proposal": nasbench201_proposal.main,
        "sota.mobilenet.networks_proposal": mobilenet_proposal.main,
        "sota.nasbench_macro.networks_proposal": macro_proposal.main,
    }[module]
    kept = []
    monkeypatch.setattr(SearchRun, "run", lambda run: kept.append(run))
    done("/nowhere", *given, "--stage=search", main=main)
    shared = {"seed": 2, "batch_size": 64, "pool_size": 10, "validate_rounds": 100, "metrics": "jacob"}
    shared |= {"edge_decision": "random", "search_channels": 16, "search_layers": 8, "space": "s5"}
    expected = shared | defaults
    [run] = kept
    options = {**run.place.options, "metrics": run.settings.proxies["metrics"]}
    assert run.images.dataset == expected.pop("dataset")
    assert {name: options.get(name) for name in expected} == expected


@pytest.mark.parametrize("space", CANDIDATES)
def test_every_space_is_offered(space, monkeypatch):
    kept = []
    monkeypatch.setattr(SearchRun, "run", lambda run: kept.append(run.space.name))
    done("/nowhere", f"--space={space}", "--skip_training")
    assert kept == [space]


def test_nasbench201_trains_on_request(tmp_path):
    arguments = ["--dataset=digits", "--device=cpu", "--threads=1", "--cells=1", "--init_channels=2"]
    arguments += ["--pool_size=1", "--validate_rounds=1", "--batch_size=4", "--epochs=1", "--fast"]
    told = done(tmp_path, *arguments, "--no_skip_training", main=nasbench201_proposal.main)
    folder = tmp_path / "nas-bench-201/zerocostpt-seed0-digits-jacob-random"
    assert told[-1] == f"run: {folder}/training"
    assert read(folder, "training/result.json")["genotype"] == read(folder, "best_networks.json")["networks"]


def test_a_bad_architecture_string_makes_no_folder(tmp_path):
    told = refused(tmp_path / "out", "--arch=|a/b~0|", "--dataset=digits", main=nasbench201_train.main)
    assert told.startswith("architecture '|a/b~0|' does not parse")
    assert not (tmp_path / "out").exists()


def test_nasbench201s_recipe_is_its_authors(monkeypatch):
    jobs = []
    monkeypatch.setattr(training, "train", lambda job, *settings: jobs.append(job) or {})
    arch = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    done("/nowhere", f"--arch={arch}", main=nasbench201_train.main)
    recipe = jobs[0].spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (
        200,
        256,
        0.1,
        5e-4,
    )
    assert recipe.nesterov
    assert (recipe.decay, recipe.cutout_length, recipe.grad_clip) == (None, 0, 0)
    assert jobs[0].genotype == arch
