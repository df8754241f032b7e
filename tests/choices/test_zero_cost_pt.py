"""The whole method in one call: what it returns, on which images, within which limits; what it refuses."""

import itertools
import json
import math
import random
import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from foresight_ext import MixedOp, Zero, fixed, supernet_of, zero_cost_pt
from foresight_ext.choices.genotype import as_text, parse
from foresight_ext.errors import UserError
from foresight_ext.measures.complexity import complexity
from tests import PROJECT_ROOT
from tests.choices.networks import Cell, Plain, tensors

SMALL = {"pool_size": 2, "validate_rounds": 2, "batch_size": 8, "device": "cpu"}
CHOICES = supernet_of(Plain()).choices
SAME = SimpleNamespace(network=Plain())


class Items(Dataset):
    """A data set as torchvision's are: items by number, `classes`, and a transform that draws."""

    classes = ["a", "b", "c", "d"]

    def __init__(self, shape=(3, 8, 8)):
        self.images, self.labels = tensors(shape=shape)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + float(torch.rand(1))
        return self.images[index] + noise, int(self.labels[index])


def found(build=Plain, images=None, **options):
    return zero_cost_pt(build, tensors() if images is None else images, **{**SMALL, **options})


def without_seconds(result):
    return {name: part for name, part in json.loads(result.to_json()).items() if name != "seconds"}


@pytest.fixture(scope="module")
def result():
    return found()


def test_what_is_found(result):
    assert parse(str(result), CHOICES) == result.genotype
    assert len(result.pool) == 2 and result.genotype in result.pool
    assert list(result.scores) == list(dict.fromkeys(map(as_text, result.pool)))
    assert max(result.scores, key=result.scores.get) == str(result)
    assert set(result.seconds) == {"search", "validation"} and min(result.seconds.values()) > 0
    for genotype, decisions in zip(result.pool, result.decisions):
        decided = {decision["choice"]: decision["candidate"] for decision in decisions}
        assert genotype.items() <= decided.items()
        for decision in decisions:
            [choice] = [one for one in CHOICES if one.name == decision["choice"]]
            scores = [float(score) for score in decision["scores"]]
            assert len(scores) == len(choice.candidates)
            assert choice.candidates[scores.index(min(scores))] == decision["candidate"]


def test_its_network_is_the_winner_s(result):
    network = result.network()
    assert network(tensors()[0]).shape == (24, 4)
    assert not any(isinstance(module, MixedOp) for module in network.modules())
    assert isinstance(network.first, nn.Identity) == (result.genotype["pair"] == "skip")


def test_it_is_shown_as_text_json_and_html(result):
    drawn = result.draw()
    assert all(f" {kept} " in drawn and choice in drawn for choice, kept in result.genotype.items())
    written = json.loads(result.to_json())
    assert written["genotype"] == result.genotype and written["pool"] == result.pool
    assert written["scores"] == result.scores and written["seconds"] == result.seconds
    cells = [
        [cell.text for cell in row]
        for row in ElementTree.fromstring(f"<p>{result._repr_html_()}</p>").iter("tr")
    ]
    assert cells[: len(result.genotype) + 1] == [["choice", "kept"], *map(list, result.genotype.items())]
    assert cells[len(result.genotype) + 2][0] == str(result)  # the highest score first


def test_names_do_not_break_the_html():
    chain = partial(nn.Sequential, MixedOp({"<b>": nn.Flatten()}), nn.Linear(192, 4), nn.ReLU())
    assert "&lt;b&gt;" in found(chain, pool_size=1)._repr_html_()


IMAGES = {
    "a data set": (Items(), {}),
    "a part of one": (Subset(Items(), range(20)), {}),
    "a DataLoader": (DataLoader(Items(), batch_size=5, shuffle=True), {}),
    "a pair": (tensors(), {}),
    "a tensor data set": (TensorDataset(*tensors()), {}),
    "large grey images": (tensors(shape=(1, 13, 20)), {"channels": 1}),
}


@pytest.mark.parametrize("images, options", IMAGES.values(), ids=IMAGES)
def test_images_of_any_kind(images, options):
    state = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    one, other = (found(partial(Plain, **options), images, seed=1) for _ in range(2))
    assert without_seconds(one) == without_seconds(other)
    assert state[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(state[2], torch.get_rng_state())


def test_a_loader_says_how_many_images_a_minibatch_has():
    loader = DataLoader(Items(), batch_size=5)
    settings = {"seed": 3, "pool_size": 1}
    assert without_seconds(found(images=loader, batch_size=None, **settings)) == without_seconds(
        found(images=Items(), batch_size=5, **settings)
    )


def test_signals_are_images_too():
    def network():
        layers = [MixedOp([nn.Conv1d(2, 4, size, padding=size // 2) for size in (1, 3, 5)]), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 4))

    assert set(found(network, tensors(shape=(2, 30))).genotype) == {"0"}


def test_build_is_told_the_classes_if_it_asks():
    asked = []

    def network(classes):
        asked.append(classes)
        return Plain(classes)

    assert found(network, Items(), pool_size=1).network().head.out_features == 4
    assert set(asked) <= {2, 4}  # 2: to see the choices only


def test_data_that_tells_no_classes_is_enough_for_a_build_that_does_not_ask():
    images, labels = tensors()
    pairs = [(image, int(label)) for image, label in zip(images, labels)]
    assert found(Cell, pairs, pool_size=1).genotype


def test_nothing_is_printed_unless_progress_is_asked_for(capfd):
    found(pool_size=1)
    assert capfd.readouterr() == ("", "")
    found(pool_size=1, progress=True)
    assert "search" in "".join(capfd.readouterr())


CODE = """
from tests.choices.test_zero_cost_pt import *
print(json.dumps(without_seconds(found(Noisy, Items(), proxy=("snip", "synflow"), seed=5))))
"""


class Noisy(Plain):
    """Draws while it is made and while it runs, from all streams."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        with torch.no_grad():
            self.head.weight += np.random.rand() + random.random()

    def forward(self, x):
        return super().forward(self.drop(x))


def test_the_same_seed_gives_the_same_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    here = found(Noisy, Items(), proxy=("snip", "synflow"), seed=5)
    assert without_seconds(here) == json.loads(done.stdout)
    assert without_seconds(found(Noisy, Items(), proxy=("snip", "synflow"), seed=6)) != json.loads(
        done.stdout
    )


@pytest.mark.parametrize("order", ["random", "global_op_greedy", "sample"])
def test_limits_hold_for_every_member(order):
    free = found(order="sample", pool_size=12)
    image = (3, 8, 8)
    sizes = [complexity(fixed(Plain, genotype), image) for genotype in free.pool]
    parameters = sorted(one.parameters for one in sizes)[3]
    assert len(set(sizes)) > 3
    limited = found(order=order, pool_size=6, at_most={"params": parameters, "flops": "60%"})
    largest = complexity(fixed(Plain, LARGEST), image)
    for genotype in limited.pool:
        size = complexity(fixed(Plain, genotype), image)
        assert size.parameters <= parameters
        assert size.multiply_adds <= 0.6 * largest.multiply_adds


LARGEST = {"stem": "0", "down": "conv", "pair": "conv3x3", "out": "deep", "out/deep/1": "conv3x3"}


def test_a_limit_that_is_the_smallest_network_leaves_just_that():
    smallest = {"stem": "1", "down": "none", "pair": "skip", "out": "skip"}
    size = complexity(fixed(Plain, smallest), (3, 8, 8))
    assert found(at_most={"params": size.parameters}).pool == [smallest] * 2


def test_a_rule_of_one_s_own_holds_for_every_member():
    def rule(genotype):
        return list(genotype.values()).count("conv3x3") == 2

    assert all(map(rule, found(pool_size=4, feasible=rule).pool))
    both = found(pool_size=3, feasible=rule, at_most={"flops": "90%"})
    assert all(map(rule, both.pool))


def test_what_is_forbidden_has_no_score():
    limited = found(feasible=lambda genotype: genotype["pair"] == "skip", pool_size=1)
    [pair] = [one for one in limited.decisions[0] if one["choice"] == "pair"]
    assert pair["candidate"] == "skip" and str(pair["scores"][0]).lower() == "nan"
    json.loads(limited.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


def wide():
    """Candidates that return other shapes."""
    operation = MixedOp({"same": nn.Conv2d(3, 3, 1), "wide": nn.Conv2d(3, 4, 1)}, choice="first")
    return nn.Sequential(operation, nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))


def pairs_of(item):
    return [item] * 10


class Detached(Plain):
    def forward(self, x):
        return super().forward(x).detach()


def detached():
    return Detached()


def changing():
    """A function that makes networks of other candidates each time."""
    calls = itertools.count()

    def build():
        operation = MixedOp({f"{next(calls)}": nn.Identity(), "conv": nn.Conv2d(3, 3, 1)})
        return nn.Sequential(operation, nn.ReLU(), nn.Flatten(), nn.Linear(192, 4))

    return build


MISTAKES = {
    "a network": ({"build": Plain()}, "build is a network: it must be a function that makes the network"),
    "no network": ({"build": lambda: 3}, "build returned a int: it must return an nn.Module"),
    "nothing to choose": ({"build": lambda: nn.Linear(1, 1)}, "the network has no MixedOp"),
    "pool_size": ({"pool_size": 0}, "pool_size=0: it must be 1 or more"),
    "validate_rounds": ({"validate_rounds": 0}, "validate_rounds=0: it must be 1 or more"),
    "batch_size": ({"batch_size": 0}, "batch_size=0: it must be 1 or more"),
    "seed": ({"seed": -1}, "seed=-1: it must be from 0 to 4294967295"),
    "no seed": ({"seed": None}, "seed=None: it must be from 0 to 4294967295"),
    "half a member": ({"pool_size": 2.5}, "pool_size=2.5: it must be a whole number"),
    "no proxy": ({"proxy": ()}, "proxy: none is given: it must be the name of one, or several"),
    "limits as text": ({"at_most": "params=1"}, "at_most='params=1': it must be a mapping, such as {'par"),
    "proxy": ({"proxy": "snap"}, "unknown proxy 'snap': choose from"),
    "order": ({"order": "rando"}, "unknown edge order 'rando': choose from"),
    "threads": ({"threads": 0}, "threads=0: it must be 1 or more"),
    "device": ({"device": "cuda:1"}, "device=cuda:1: it must be auto, cpu or cuda"),
    "no size": ({"at_most": {"parms": 3}}, "at_most: there is no size 'parms': choose from params, flops"),
    "no number": ({"at_most": {"params": "many"}}, "at_most params=many: it must be a positive number, or a"),
    "too small": ({"at_most": {"params": 10}}, "at_most params=10: the smallest architecture has 92"),
    "too small a share": ({"at_most": {"flops": "1%"}}, "at_most flops=1%: the smallest architecture has"),
    "no architecture": ({"feasible": lambda genotype: False}, "feasible: no architecture was found that it"),
    "a number": ({"images": 3}, "images: int is no data set, DataLoader or pair of images and labels"),
    "a stream": ({"images": DataLoader(Stream())}, "images: a DataLoader must have a batch_size and a data"),
    "an empty data set": ({"images": []}, "images: the data set is empty"),
    "no pairs": ({"images": pairs_of(torch.ones(1))}, "images: the data set's items are of the kind Tensor"),
    "no tensors": ({"images": pairs_of((object(), 1))}, "the data set's items are (object, int), which make"),
    "other counts": ({"images": (torch.ones(3, 1), torch.ones(2))}, "has 3 images and 2 labels"),
    "no classes": (
        {"build": lambda classes: Plain(classes), "images": pairs_of((torch.ones(3, 8, 8), 1))},
        "images: the data set does not tell its classes (`classes`), which build asks for",
    ),
    "other images": (
        {"images": tensors(shape=(1, 8, 8))},
        "the network fails on images of 1 x 1 x 8 x 8: Given groups=1",
    ),
    "other shapes": (
        {"build": wide},
        "'first': its candidate 'same' returns 1 x 3 x 8 x 8 and 'wide' 1 x 4 x 8 x 8: they must be of one",
    ),
    "no tensor": (
        {"build": lambda: nn.Sequential(nn.Flatten(), MixedOp([nn.LSTM(192, 8)], choice="first"))},
        "'first': its candidate '0' returns a tuple: it must be a tensor",
    ),
    "in place": (
        {"build": lambda: nn.Sequential(nn.Flatten(), MixedOp([nn.Identity(), nn.ReLU(inplace=True)]))},
        "'1': its candidate '1' changes its input in place, which the others read: it must not (inplace=F",
    ),
    "one network": (
        {"build": lambda: SAME.network},
        "build returned the same network twice: it must make a new one each time",
    ),
    "other choices": (
        {"build": changing()},
        "build makes networks of other choices each time: they must be the same",
    ),
    "lazy": (
        {"build": lambda: nn.Sequential(MixedOp([nn.LazyConv2d(2, 1)]), nn.ReLU(), nn.Flatten())},
        "'0.candidates.0.weight' of a lazy module has no size yet: build networks of other modules",
    ),
    "meta": (
        {"build": lambda: nn.Sequential(MixedOp([nn.Conv2d(3, 2, 1, device="meta")]))},
        "build returned a network on the meta device, without numbers: it must have some",
    ),
    "no gradient": (
        {"build": detached, "proxy": "snip"},
        "snip: the network's output has no gradient (no_grad, detach, whole numbers?)",
    ),
    "labels of a regression": (
        {"images": (torch.rand(4, 3, 8, 8), torch.arange(4.0) - 2), "proxy": "snip"},
        "snip needs classes as labels, whole numbers from 0 on: the minibatch's are torch.float32, from -",
    ),
    "labels below 0": (
        {"images": (torch.rand(4, 3, 8, 8), torch.arange(4) - 2), "proxy": "zico"},
        "zico needs classes as labels, whole numbers from 0 on: the minibatch's are torch.int64, from -",
    ),
    "no numbers": (
        {"images": (torch.full((4, 3, 8, 8), math.nan), torch.zeros(4)), "proxy": "ntk"},
        "images: image 0 of a minibatch holds NaN or infinite numbers: it must not",
    ),
    "no ReLUs": (
        {"build": lambda: nn.Sequential(nn.Flatten(), MixedOp([nn.Linear(192, 4)]))},
        "jacob looks at what ReLUs read (nn.ReLU, nn.ReLU6, F.relu): none of the network's has run",
    ),
}


@pytest.mark.parametrize("options, told", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_in_one_line(options, told):
    with pytest.raises(UserError) as error:
        found(**options)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_operation_may_run_several_times_on_other_sizes():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.operation = MixedOp({"conv": nn.Conv2d(3, 3, 3, padding=1), "none": Zero()})
            self.relu, self.pool, self.head = nn.ReLU(), nn.AvgPool2d(2), nn.Linear(48, 4)

        def forward(self, x):
            return self.head(self.relu(self.operation(self.pool(self.operation(x)))).flatten(1))

    assert found(Twice, pool_size=1).genotype in ({"operation": "conv"}, {"operation": "none"})
