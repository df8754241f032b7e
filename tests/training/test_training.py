"""Whole trainings on tiny images: protocols, what they leave, kills, errors, processes."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from foresight_ext.commands.parser import console_log
from foresight_ext.errors import UserError
from foresight_ext.training.distributed import device_of
from foresight_ext.training.recipe import Recipe
from tests import PROJECT_ROOT, toy_training
from tests.toy_training import CLASSES, HELD, TEST, TRAIN, Toy, open_split, reads, train_toy


def journal(folder):
    """The journal without what takes a different time each time."""
    entries = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def checkpoint(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)


def result(folder):
    content = json.loads((folder / "result.json").read_text())
    del content["seconds"]
    return content


def assert_same_run(folder, other):
    """Bit for bit: weights, optimiser, journal and result."""
    assert journal(folder) == journal(other)
    assert result(folder) == result(other)
    for name in ("last", "best"):
        ours, theirs = checkpoint(folder, name), checkpoint(other, name)
        assert ours["network"].keys() == theirs["network"].keys()
        assert all(torch.equal(ours["network"][key], theirs["network"][key]) for key in ours["network"])
        ours, theirs = ours["optimizer"]["state"], theirs["optimizer"]["state"]
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert torch.equal(ours[key]["momentum_buffer"], theirs[key]["momentum_buffer"])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A whole run, with the images that it read counted."""
    folder = tmp_path_factory.mktemp("out") / "run"
    reads.clear()
    train_toy(folder, "--ckpt_interval=2", "--workers=0")
    return folder, dict(reads)


# ---- protocols


def test_holdout_reads_the_test_images_once(uninterrupted):
    folder, read = uninterrupted
    learned = TRAIN - HELD
    assert read["test"] == TEST
    assert read["train"] == 4 * (learned - learned % 8 + (learned % 8 if learned % 8 > 1 else 0) + HELD)
    told = result(folder)
    assert told["protocol"] == "holdout"
    assert told["best_epoch_chosen_by"] == "held-out accuracy"
    accuracies = [entry["held_out_accuracy"] for entry in journal(folder)]
    assert told["best_epoch"] == 1 + accuracies.index(max(accuracies))
    assert told["held_out_accuracy"] == {"last": accuracies[-1], "best": max(accuracies)}
    assert not any(key.startswith("test") for entry in journal(folder) for key in entry)
    data = open_split("test")
    network = Toy(CLASSES).eval()
    for name in ("last", "best"):
        network.load_state_dict(checkpoint(folder, name)["network"])
        right = (
            network(data.unaugmented(torch.arange(TEST), torch.device("cpu")).inputs).argmax(1) == data.labels
        )
        assert told["test_accuracy"][name] == pytest.approx(100 * right.double().mean().item())


def test_official_reads_the_test_images_every_epoch_and_trains_on_all(tmp_path):
    reads.clear()
    told = train_toy(tmp_path, "--protocol=official")
    assert reads["test"] == 4 * TEST
    assert reads["train"] == 4 * TRAIN
    accuracies = [entry["test_accuracy"] for entry in journal(tmp_path)]
    assert told["test_accuracy"] == {"last": accuracies[-1], "best": max(accuracies)}
    assert told["best_epoch"] == 1 + accuracies.index(max(accuracies))
    assert (told["protocol"], told["best_epoch_chosen_by"]) == ("official", "test accuracy")


@pytest.mark.parametrize("protocol", ["holdout", "official"])
def test_every_report_names_the_protocol(tmp_path, capsys, protocol):
    with console_log():
        train_toy(tmp_path, f"--protocol={protocol}", "--epochs=2")
    out = capsys.readouterr().out.splitlines()
    for line in out:
        if line.startswith(("protocol", "epoch", "test accuracy")):
            assert protocol in line
    epochs = [line for line in out if re.match(rf"epoch \d of 2 \({protocol}\): .* images/s", line)]
    assert [line.endswith(" to go") for line in epochs] == [True, False]  # after the last nothing is
    assert json.loads((tmp_path / "config.json").read_text())["settings"]["protocol"] == protocol


def test_the_test_images_have_no_part_in_the_training(uninterrupted, tmp_path, monkeypatch):
    folder, _ = uninterrupted
    original = open_split

    def other_labels(split):
        data = original(split)
        return replace(data, labels=(data.labels + 1) % CLASSES) if split == "test" else data

    monkeypatch.setattr(toy_training, "open_split", other_labels)
    train_toy(tmp_path, "--ckpt_interval=2")
    assert journal(tmp_path) == journal(folder)
    assert result(tmp_path)["best_epoch"] == result(folder)["best_epoch"]


# ---- checkpoints


def test_what_a_run_leaves(uninterrupted):
    folder, _ = uninterrupted
    names = {path.name for path in (folder / "checkpoints").iterdir()}
    assert names == {"last.pt", "best.pt", "epoch-0002.pt", "epoch-0004.pt"}
    assert checkpoint(folder)["epochs"] == 4
    assert checkpoint(folder, "best")["epochs"] == result(folder)["best_epoch"]
    assert checkpoint(folder, "epoch-0002")["epochs"] == 2
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    values = [event.value for event in board.Scalars("training/held_out_accuracy")]
    assert values == pytest.approx([entry["held_out_accuracy"] for entry in journal(folder)])
    assert [event.step for event in board.Scalars("training/learning_rate")] == [1, 2, 3, 4]


def test_workers_and_the_callers_streams_change_nothing(uninterrupted, tmp_path):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    train_toy(tmp_path, "--ckpt_interval=2", "--workers=3")
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_run(tmp_path, uninterrupted[0])


# For each line it reads, "WHERE FOLDER": trains in a new process that is killed there, prints its exit code.
STARTER = """
import os, sys
import torch.utils.tensorboard
from pathlib import Path
from tests.toy_training import die_at, train_toy

for line in sys.stdin:
    where, folder = line.split()
    child = os.fork()
    if child == 0:
        die_at(where)
        train_toy(Path(folder), "--ckpt_interval=2", "--workers=0")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killed():
    """Starts a training that is killed at a moment."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as starter:

        def start(where, folder):
            starter.stdin.write(f"{where} {folder}\n")
            starter.stdin.flush()
            assert int(starter.stdout.readline()) == -signal.SIGKILL

        yield start
        starter.stdin.close()


@pytest.mark.parametrize(
    "moments",
    [
        ["step:3"],  # in the first epoch: there is no checkpoint
        ["step:14", "step:5"],  # in the third, and again at once
        ["save:1"],
        ["save:2"],  # between the first epoch's best and last checkpoint
        ["append:2"],  # between checkpoint and journal
        ["evaluate:2"],
        ["evaluate:5"],  # the test images
        ["result:1"],
    ],
    ids=" ".join,
)
def test_kill_9_at_any_moment_changes_nothing(uninterrupted, tmp_path, killed, moments):
    for moment in moments:
        killed(moment, tmp_path)
        assert not (tmp_path / "result.json").exists()
    train_toy(tmp_path, "--ckpt_interval=2", "--workers=2")
    assert_same_run(tmp_path, uninterrupted[0])


def test_a_finished_training_is_told_and_not_computed(uninterrupted, capsys, monkeypatch):
    monkeypatch.setattr(toy_training, "open_split", lambda split: pytest.fail("the images are gone"))
    before = result(uninterrupted[0])
    with console_log():
        again = train_toy(uninterrupted[0], "--ckpt_interval=2")
    assert {key: again[key] for key in before} == before
    out = capsys.readouterr().out
    assert out.count("finished before, nothing to compute") == 1
    assert out.count("test accuracy (protocol holdout)") == 1


def test_resume_epoch_goes_back_to_a_kept_checkpoint(uninterrupted, tmp_path, capsys):
    train_toy(tmp_path, "--ckpt_interval=2")
    with console_log():
        train_toy(tmp_path, "--ckpt_interval=2", "--resume_epoch=2")
    assert capsys.readouterr().out.count("going on after 2 of 4 epochs") == 1
    assert_same_run(tmp_path, uninterrupted[0])
    with pytest.raises(
        UserError, match=r"--resume_epoch 3: .* holds no checkpoint .* choose from 0 .*, 2, 4$"
    ):
        train_toy(tmp_path, "--ckpt_interval=2", "--resume_epoch=3")
    with pytest.raises(UserError, match="--force deletes the checkpoint that --resume_epoch 2 needs"):
        train_toy(tmp_path, "--ckpt_interval=2", "--resume_epoch=2", "--force")
    assert_same_run(tmp_path, uninterrupted[0])
    with pytest.raises(UserError, match="there is no run to go on with"):
        train_toy(tmp_path / "new", "--resume_epoch=2")
    assert not (tmp_path / "new").exists()


def test_force_starts_afresh(uninterrupted, tmp_path):
    train_toy(tmp_path, "--epochs=2")
    with pytest.raises(UserError, match=r"a run with other settings \(epochs 2 there, 4 asked for\)"):
        train_toy(tmp_path, "--ckpt_interval=2")
    train_toy(tmp_path, "--ckpt_interval=2", "--force")
    assert_same_run(tmp_path, uninterrupted[0])


def test_a_damaged_checkpoint_is_told(tmp_path, killed):
    killed("step:14", tmp_path)
    path = tmp_path / "checkpoints/last.pt"
    for content in (b"", path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            train_toy(tmp_path, "--ckpt_interval=2")
        assert str(caught.value).startswith(f"{path} is damaged (")
        assert str(caught.value).endswith(
            "--force starts afresh, or --resume_epoch goes back to one of the epochs 2"
        )
    torch.save({"epochs": 2}, path)
    with pytest.raises(UserError, match="it is no checkpoint of a training"):
        train_toy(tmp_path, "--ckpt_interval=2")
    train_toy(tmp_path, "--ckpt_interval=2", "--resume_epoch=2")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_damaged_result_is_told(tmp_path, text):
    train_toy(tmp_path, "--epochs=1")
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(UserError, match="result.json is damaged: delete it, and the same command makes it"):
        train_toy(tmp_path, "--epochs=1")


# ---- what stops a training


def test_a_loss_that_is_not_a_number_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    loss = Recipe.loss
    calls = []

    def spoiled(self, *arguments):
        calls.append(1)
        return loss(self, *arguments) * (math.nan if len(calls) > 14 else 1)

    monkeypatch.setattr(Recipe, "loss", spoiled)
    with pytest.raises(UserError) as caught:
        train_toy(tmp_path)
    assert str(caught.value) == (
        "the loss became NaN or infinite in epoch 3: the last good checkpoint is "
        f"{tmp_path}/checkpoints/last.pt, after epoch 2; a lower --learning_rate may help"
    )
    assert all(weight.isfinite().all() for weight in checkpoint(tmp_path)["network"].values())
    assert len(journal(tmp_path)) == 2


def test_weights_spoiled_by_the_last_step_are_not_saved(tmp_path):
    with pytest.raises(UserError, match="in epoch 1: the last good checkpoint does not exist"):
        train_toy(tmp_path, "--fast", "--learning_rate=1e38", "--weight_decay=1e38", weight_decay=1e38)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--amp"], "--amp needs a GPU, and this training runs on the CPU: leave it out"),
        (["--device=cuda"], "--device cuda: PyTorch sees no GPU here: use --device cpu or --device auto"),
    ],
)
def test_what_this_machine_cannot_do_is_told_before_anything_is_made(tmp_path, arguments, message):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UserError) as caught:
        train_toy(tmp_path / "run", *arguments)
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_too_few_images_are_told(tmp_path, monkeypatch):
    few = replace(open_split("train"), labels=torch.tensor([0, 1]))
    monkeypatch.setattr(toy_training, "open_split", lambda split: few)
    with pytest.raises(UserError, match="1 images to train on are too few: 2 are needed"):
        train_toy(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fast_takes_one_minibatch_an_epoch_and_says_so(tmp_path, capsys):
    reads.clear()
    with console_log():
        told = train_toy(tmp_path, "--fast", "--epochs=3")
    out = capsys.readouterr().out
    assert out.count("--FAST: ONE MINIBATCH PER EPOCH") == 1
    assert out.count("--fast: MEANS NOTHING") == 1
    assert told["fast"] is True
    assert dict(reads) == {"train": 3 * (8 + HELD), "test": 8}


# ---- processes


def test_one_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of(1, 2, "auto", "auto") == (torch.device("cuda", 1), "GPUs 0 to 1")
    assert device_of(1, 2, "cpu", "auto")[0] == torch.device("cpu")
    with pytest.raises(UserError, match="--gpu 1 names one GPU for 2 processes"):
        device_of(0, 2, "auto", "1")
    with pytest.raises(UserError, match="--nproc_per_node 3: PyTorch sees 2 GPUs here"):
        device_of(0, 3, "auto", "auto")


def processes(folder, *arguments):
    """Train in two processes; the exit code."""
    command = [sys.executable, "-m", "tests.toy_training", str(folder), "--processes", "2", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_two_processes_train_as_one_and_go_on_after_a_kill(tmp_path):
    size = (
        "--batch_size=19"  # 43 images: minibatches of 19, 19 and 5, of which a process gets 10 or 9, 3 or 2
    )
    assert processes(tmp_path / "two", *size.split("=")) == (0, "")
    first, second = (torch.load(tmp_path / f"two/rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    told = train_toy(tmp_path / "one", size, norm=False, noise=False)
    for key, value in checkpoint(tmp_path / "one")["network"].items():
        torch.testing.assert_close(first[key], value, rtol=1e-4, atol=1e-5)
    both = result(tmp_path / "two")
    assert (both["processes"], both["effective_batch"]) == (2, 19)
    assert both["test_accuracy"] == pytest.approx(told["test_accuracy"])

    code, _ = processes(tmp_path / "again", "--die", "append:3", *size.split("="))
    assert code == 128 + signal.SIGKILL
    assert len(journal(tmp_path / "again")) == 2
    assert processes(tmp_path / "again", *size.split("=")) == (0, "")
    assert_same_run(tmp_path / "again", tmp_path / "two")
    assert "split over 2 processes: the effective batch is 19" in (tmp_path / "again/log.txt").read_text()


def test_a_training_does_not_go_on_with_other_images(tmp_path, monkeypatch):
    train_toy(tmp_path, "--epochs=2", "--ckpt_interval=1")
    before = (tmp_path / "checkpoints/last.pt").read_bytes()
    original = open_split

    def fewer(split):
        images = original(split)
        return replace(images, labels=images.labels[:-3]) if split == "train" else images

    monkeypatch.setattr(toy_training, "open_split", fewer)
    with pytest.raises(UserError) as error:
        train_toy(tmp_path, "--epochs=2", "--ckpt_interval=1", "--resume_epoch=1")
    told = (
        f"{tmp_path} was begun on other images (train: images {TRAIN} there, {TRAIN - 3} now; train: digest "
    )
    assert str(error.value).startswith(told)
    assert (tmp_path / "checkpoints/last.pt").read_bytes() == before
