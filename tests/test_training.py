"""The training engine on tiny images: the recipe worked out by hand, protocols, kills, errors, processes."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from foresight_ext.batches import Batch
from foresight_ext.cli import console_log
from foresight_ext.distributed import Processes, device_of
from foresight_ext.errors import UserError
from foresight_ext.files import PROJECT_ROOT
from foresight_ext.recipe import Recipe
from foresight_ext.trainer import Trainer, all_parameters_used
from foresight_ext.training_data import batch_sizes, cut_out, draw_cutout, draw_epoch, hold_out, read_ahead
from tests import toy_training
from tests.toy_training import CLASSES, TEST, TRAIN, Toy, open_split, reads, train_toy

ALONE = Processes(0, 1, torch.device("cpu"), "the CPU")
HELD = TRAIN // 10


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


# ---- the recipe


def test_the_learning_rate_falls_along_a_cosine_or_by_a_factor():
    cosine = Recipe(epochs=4, batch_size=8, learning_rate=0.1)
    root = math.sqrt(0.5)
    expected = [0.1, 0.05 * (1 + root), 0.05, 0.05 * (1 - root)]
    assert [cosine.learning_rate_at(epoch) for epoch in range(4)] == pytest.approx(expected)
    factor = replace(cosine, decay=0.97)
    assert [factor.learning_rate_at(epoch) for epoch in range(3)] == pytest.approx([0.1, 0.097, 0.09409])


def test_the_learning_rate_is_that_of_pytorchs_schedulers():
    parameter = nn.Parameter(torch.zeros(1))
    recipe = Recipe(epochs=7, batch_size=8, learning_rate=0.025)
    optimizer = torch.optim.SGD([parameter], lr=0.025)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    for epoch in range(7):
        assert recipe.learning_rate_at(epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_drop_path_grows_with_the_epochs():
    recipe = Recipe(epochs=4, batch_size=8, learning_rate=0.1, drop_path_prob=0.2)
    assert [recipe.drop_path_at(epoch) for epoch in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])


def test_the_network_gets_the_epochs_drop_path(tmp_path, monkeypatch):
    seen = []
    forward = Toy.forward
    monkeypatch.setattr(
        Toy, "forward", lambda self, x: seen.append((self.training, self.drop_path)) or forward(self, x)
    )
    train_toy(tmp_path, "--fast")
    assert [p for in_training, p in seen if in_training] == pytest.approx([0, 0.05, 0.1, 0.15])


def test_loss_with_auxiliary_head_and_label_smoothing_by_hand():
    targets = torch.tensor([1])
    zeros, sure = torch.zeros(1, 2), torch.tensor([[0.0, math.log(3)]])  # probabilities 1/2 and 3/4
    plain = Recipe(1, 2, 0.1, auxiliary_weight=0.4)
    assert plain.loss(sure, None, targets).item() == pytest.approx(-math.log(3 / 4))
    assert plain.loss(sure, zeros, targets).item() == pytest.approx(-math.log(3 / 4) + 0.4 * math.log(2))
    smooth = replace(plain, label_smoothing=0.1)  # 0.95 on the class, 0.05 on the other one
    expected = -0.95 * math.log(3 / 4) - 0.05 * math.log(1 / 4)
    assert smooth.loss(sure, zeros, targets).item() == pytest.approx(expected + 0.4 * math.log(2))


class Line(nn.Module):
    """Logits 0 and w * x: one weight, so that a step can be worked out."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        value = self.weight * x.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(value), value], dim=1)


def trainer_of(network, recipe, processes=ALONE, side=4):
    return Trainer(network, recipe, processes, (3, side, side), ahead=False)


@pytest.mark.parametrize("clip, clipped", [(5.0, False), (0.1, True)])
def test_two_steps_of_sgd_by_hand(clip, clipped):
    network = Line()
    recipe = Recipe(1, 2, learning_rate=0.5, momentum=0.9, weight_decay=0.01, grad_clip=clip)
    trainer = trainer_of(network, recipe)
    batch = Batch(torch.ones(2, 3, 4, 4), torch.tensor([0, 0]))
    weight, speed = 2.0, 0.0
    for _ in range(2):
        gradient = 1 / (1 + math.exp(-weight))  # of -log softmax for class 0
        gradient = min(gradient, clip)
        assert (gradient == clip) == clipped
        speed = 0.9 * speed + gradient + 0.01 * weight  # weight decay comes after clipping
        weight -= 0.5 * speed
        trainer._step(batch, 2)
        assert network.weight.item() == pytest.approx(weight, rel=1e-5)


def test_training_scores_are_those_of_the_images_as_they_go_by():
    network = Line()
    trainer = trainer_of(network, Recipe(1, 2, learning_rate=1e-9))
    loss, first, five, images = trainer._step(Batch(torch.ones(2, 3, 4, 4), torch.tensor([0, 1])), 2).tolist()
    assert (first, five, images) == (1, 2, 2)
    assert loss == pytest.approx(2 * math.log(1 + math.exp(2)) - 2, rel=1e-6)


# ---- images


def test_cutout_by_hand():
    images = torch.arange(1.0, 33).view(2, 1, 4, 4)
    cut = cut_out(images, torch.tensor([[0, 3], [2, 1]]), 2)
    corner = [[1, 2, 0, 0], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
    middle = [[17, 18, 19, 20], [0, 0, 23, 24], [0, 0, 27, 28], [29, 30, 31, 32]]
    assert cut.tolist() == [[corner], [middle]]


def test_cutout_draws_from_numpy_as_the_official_transform():
    np_state = np.random.RandomState(7)
    official = [[np_state.randint(32), np_state.randint(32)] for _ in range(50)]
    assert draw_cutout(np.random.RandomState(7), 50, 32).tolist() == official


def test_the_held_out_images_are_a_tenth_apart_and_fixed_by_the_seed():
    learned, held = hold_out(50, 3)
    assert (len(learned), len(held)) == (45, 5)
    assert sorted([*learned.tolist(), *held.tolist()]) == list(range(50))
    torch.rand(1)
    assert torch.equal(hold_out(50, 3)[1], held)
    assert not torch.equal(hold_out(50, 4)[1], held)
    assert [len(part) for part in hold_out(5, 0)] == [4, 1]


def test_a_last_minibatch_that_is_too_small_is_left_out():
    assert batch_sizes(20, 8, 2) == [8, 8, 4]
    assert batch_sizes(17, 8, 2) == [8, 8]
    assert batch_sizes(3, 8, 4) == []


def test_an_epoch_takes_every_image_once_in_an_order_of_its_own():
    data, indices = open_split("train"), torch.arange(5, 30)
    epochs = [list(draw_epoch(data, indices, [10, 10, 5], 4, seed=1, epoch=epoch)) for epoch in (0, 1, 0)]
    orders = [[index for one in epoch for index in one.batch.indices.tolist()] for epoch in epochs]
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(5, 30))
    first, again = epochs[0][1], epochs[2][1]
    assert torch.equal(first.batch.augmentation, again.batch.augmentation)
    assert torch.equal(first.cutout, again.cutout)
    shares = [first.share(rank, 3) for rank in range(3)]
    assert [len(share.batch.indices) for share in shares] == [4, 3, 3]
    assert torch.equal(shares[1].batch.indices, first.batch.indices[1::3])
    assert torch.equal(shares[2].cutout, first.cutout[2::3])


def test_reading_ahead_keeps_the_order_and_hands_errors_on():
    assert list(read_ahead(range(20), lambda n: n * n, ahead=True)) == [n * n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(range(5), lambda n: 1 / (n - 3), ahead=True))


def test_evaluation_reads_images_as_they_are():
    data = open_split("test")
    batch = data.plain(torch.tensor([3, 1]), torch.device("cpu"))
    assert torch.allclose(batch.inputs, (data.fetch(torch.tensor([3, 1])) / 255 - 0.5) / 0.25)
    assert torch.equal(batch.targets, data.labels[[3, 1]])


def test_a_process_without_images_to_evaluate_adds_nothing(monkeypatch):
    """Of two processes the second, where one image is judged: what the first has found is the score."""
    trainer = trainer_of(Line(), Recipe(1, 2, learning_rate=0.1))
    first = torch.tensor([[0.5, 1, 1, 1]], dtype=torch.float64)
    second = replace(trainer.processes, rank=1, count=2)
    monkeypatch.setattr(type(second), "share_buffers", lambda processes, network: None)
    monkeypatch.setattr(type(second), "sum", lambda processes, values: values + first)
    trainer.processes = second
    [score] = trainer.evaluate([Line()], open_split("test"), torch.tensor([3]), 2)
    assert tuple(score) == (0.5, 100, 100)


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
        right = network(data.plain(torch.arange(TEST), torch.device("cpu")).inputs).argmax(1) == data.labels
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
    assert sum(line.startswith(f"epoch 2 of 2 ({protocol})") and "images/s" in line for line in out) == 1
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


def test_unused_parameters_are_found():
    assert not all_parameters_used(Toy(3), (3, 8, 8))
    assert all_parameters_used(Line(), (3, 8, 8))
    network, before = Toy(3), torch.get_rng_state()
    all_parameters_used(network, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), before)


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


def test_compiled_networks_are_not_compiled_anew_in_every_epoch():
    from sota.cnn.genotypes import ARCHITECTURES
    from sota.cnn.network import DiscreteCell

    genotype = ARCHITECTURES.get("init_pt_s5_C10_0_100_N10")
    cell = DiscreteCell(genotype, 4, 4, 4, False, False).train()
    graphs = []

    def count(graph, example):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(cell, backend=count)
    x = torch.randn(2, 4, 4, 4)
    for epoch in range(1, 8):
        compiled(x, x, 0.2 * epoch / 8)
    assert len(graphs) <= 2
    assert F.relu(compiled(x, x, 0.1)).isfinite().all()
