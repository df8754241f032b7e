"""Parts of a training worked out by hand: schedules, losses, steps, cutout, images, evaluation, networks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.training.data import batch_sizes, cut_out, draw_cutout, draw_epoch, hold_out, read_ahead
from foresight_ext.training.distributed import Processes
from foresight_ext.training.recipe import Recipe
from foresight_ext.training.trainer import Trainer, all_parameters_used
from tests.toy_training import Toy, open_split, train_toy

ALONE = Processes(0, 1, torch.device("cpu"), "the CPU")


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
    batch = data.unaugmented(torch.tensor([3, 1]), torch.device("cpu"))
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


# ---- networks


def test_unused_parameters_are_found():
    assert not all_parameters_used(Toy(3), (3, 8, 8))
    assert all_parameters_used(Line(), (3, 8, 8))
    network, before = Toy(3), torch.get_rng_state()
    all_parameters_used(network, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), before)


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
