"""MixedOps anywhere in a network: which choices they are, how they run, and what is refused."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from foresight_ext import Choice, MixedNode, MixedOp, Node, Zero, discretise, supernet_of
from foresight_ext.choices.supernet import NetworkSupernet
from foresight_ext.errors import UserError
from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.supernets.supernet import Masked, decide, drop
from tests import PROJECT_ROOT
from tests.choices.networks import Cell, Plain, tensors
from tests.networks import minibatch

CHOICES = (
    Choice("stem", ("0", "1"), "network"),
    Choice("down", ("conv", "none"), "network"),
    Choice("pair", ("conv3x3", "skip"), "pairs"),
    Choice("out", ("skip", "deep"), "network"),
    Choice("out/deep/1", ("conv3x3", "conv1x1"), "network", within=(3, 1)),
)


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def times(*factors, **options):
    """A MixedOp of multiplications."""
    return MixedOp({f"x{factor}": Times(factor) for factor in factors}, **options)


def test_the_choices_of_a_network_in_the_order_in_which_they_stand():
    supernet = supernet_of(Plain())
    assert isinstance(supernet, NetworkSupernet)
    assert supernet.choices == CHOICES
    assert [len(places) for places in supernet.operations] == [1, 1, 2, 1, 1]


def test_the_same_in_another_process():
    code = "from foresight_ext import supernet_of; from tests.choices.networks import *\n"
    code += "print([c.name for c in supernet_of(Plain()).choices])"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str([choice.name for choice in CHOICES])


def test_it_is_the_weighted_sum_and_a_candidate_of_weight_0_does_not_run():
    def never(*_):
        raise AssertionError("it must not run")

    operation = times(2, 3, 5)
    x = torch.ones(2, 1)
    assert torch.allclose(operation(x), x * (2 + 3 + 5) / 3)  # all are equal until a supernet says more
    operation.candidates[1].register_forward_hook(never)
    operation.row = (0.5, 0.0, 0.25)
    assert torch.equal(operation(x), x * (0.5 * 2 + 0.25 * 5))


def test_a_copy_unless_it_is_to_be_in_place():
    network = Plain()
    forward = network.forward
    copied, own = supernet_of(network), supernet_of(network, in_place=True)
    assert own.network is network
    assert not {id(one) for one in copied.parameters()} & {id(one) for one in network.parameters()}
    assert network.forward == forward and "forward" not in vars(network)
    with torch.no_grad():
        x = tensors(2)[0]
        before = network.eval()(x)
        own(x, own.new_mixing())
        assert torch.equal(network(x), before)  # its weights are put back


def test_copies_and_pickles_are_the_same_supernet():
    supernet = supernet_of(Plain()).eval()
    x, mixing = tensors(2)[0], supernet.new_mixing()
    with torch.no_grad():
        for twin in (copy.deepcopy(supernet), pickle.loads(pickle.dumps(supernet_of(supernet.network)))):
            assert twin.choices == CHOICES
            assert torch.equal(twin(x, mixing), supernet(x, mixing))


def test_it_starts_from_small_noise_or_from_ones():
    noisy = supernet_of(Plain()).new_mixing()
    assert all(sum(row) == pytest.approx(1) and 0 < abs(row[0] - 0.5) < 0.01 for row in noisy)
    assert supernet_of(Plain(), softmax=False).new_mixing() == ((1.0, 1.0),) * len(CHOICES)


def test_places_of_one_choice_are_decided_together_and_have_weights_of_their_own():
    network = Plain()
    weights = [place.candidates[0][1].weight for place in (network.first, network.second)]
    assert not torch.equal(*weights)
    supernet = supernet_of(network, in_place=True)
    with supernet.under(decide(supernet.new_mixing(), 2, 1)):
        assert network.first.row == network.second.row == (0.0, 1.0)


@pytest.mark.parametrize("shape, channels, stride, expected", [
    ((2, 4, 7, 7), None, 1, (2, 4, 7, 7)),
    ((2, 4, 7, 8), 6, 2, (2, 6, 4, 4)),
    ((2, 4, 9), 1, 3, (2, 1, 3)),
    ((2, 4), 5, 1, (2, 5)),
    ((2, 3, 4, 6, 5), None, 4, (2, 3, 1, 2, 2)),
])  # fmt: skip
def test_zero_at_any_stride_and_change_of_channels(shape, channels, stride, expected):
    zeros = Zero(channels, stride)(torch.ones(shape, dtype=torch.float64))
    assert zeros.shape == expected
    assert zeros.dtype == torch.float64 and not zeros.any()


def test_zero_has_the_size_of_convolutions_with_its_stride():
    x = torch.ones(1, 3, 9, 10)
    for stride in (1, 2, 3):
        assert Zero(5, stride)(x).shape == nn.Conv2d(3, 5, 3, stride, padding=1)(x).shape


def test_where_nothing_runs_there_are_zeros_which_nobody_sees_made():
    supernet = supernet_of(Plain())
    x = tensors(2)[0]
    mixing = drop(decide(supernet.new_mixing(), 3, 0), 1)
    counted = multiply_adds(Masked(supernet, mixing), x)
    assert counted == multiply_adds(Masked(supernet, mixing), x)  # the first time no candidate is counted
    # without `down` what remains are the stem, the way beside it, the pair and the head
    assert counted == 2 * (8 * 8 * 4 * 3 * (9 + 1) + 4 * 4 * 8 * (4 + 2 * 8 * 9) + 8 * 4)
    watched = []
    supernet.network.down.candidates[0].register_forward_hook(lambda *_: watched.append(1))
    supernet(tensors(3)[0], mixing)
    assert not watched


def test_a_mixed_op_may_be_the_network_and_stand_within_another():
    inner = times(2, 3)
    network = MixedOp({"a": nn.Sequential(inner), "b": inner_of_b()}, group="whole")
    names = [choice.name for choice in supernet_of(network).choices]
    assert names == ["whole", "whole/a/0", "whole/b", "whole/b/x7/0"]


def inner_of_b():
    return MixedOp({"x5": Times(5), "x7": nn.Sequential(times(7, 11))})


def test_a_choice_that_no_longer_runs_is_not_decided():
    pairs = [tuple(tensors(8))]
    for seed in range(4):
        found = discretise(supernet_of(Plain()), "synflow", pairs, "reverse", seed)
        decided = [CHOICES[decision.choice].name for decision in found.decisions]
        assert decided[:2] == ["out/deep/1", "pair"]  # each group's last one
        assert ("out/deep/1" in found.kept) == (found.kept["out"] == "deep")
        first = discretise(supernet_of(Plain()), "synflow", pairs, "order", seed)
        assert list(first.kept) == [c.name for c in CHOICES][: 5 if first.kept["out"] == "deep" else 4]
        assert len(first.decisions) == len(first.kept)


def test_a_node_keeps_its_edges():
    supernet = supernet_of(Cell())
    names = [f"node.edges.{number}" for number in range(3)]
    assert [choice.name for choice in supernet.choices] == names
    assert supernet.nodes == (Node("node of " + "+".join(names), (0, 1, 2), 2, "network"),)
    found = discretise(supernet, "snip", [minibatch(0, 8, 8)._replace(targets=torch.arange(8) % 4)])
    assert sorted(map(str, found.kept.values())).count("None") == 1
    assert len(found.decisions) == 3 + 1


def shared(candidate):
    return nn.Sequential(MixedOp({"a": candidate}), MixedOp({"a": candidate}))


def node(*edges, keep=1):
    return MixedNode(edges, keep)


MISTAKES = {
    "no candidates": (lambda: MixedOp({}), "MixedOp: it needs one candidate or more"),
    "no candidates of a choice": (lambda: MixedOp([], choice="stem"), "MixedOp of 'stem': it needs one"),
    "a name": (lambda: MixedOp({"a=b": nn.Identity}), "the name 'a=b' can't stand in a genotype: no spaces"),
    "an empty name": (lambda: MixedOp({"": nn.Identity}), "the name '' can't stand in a genotype"),
    "a choice's name": (lambda: times(2, choice="a/b"), "MixedOp of 'a/b': the name 'a/b' can't stand in"),
    "no module": (lambda: MixedOp({"a": lambda: 3}), "the candidate 'a' is a int: it must be an nn.Module"),
    "no function": (lambda: MixedOp(["conv"]), "the candidate '0' is a str: it must be an nn.Module"),
    "one module twice": (
        lambda: MixedOp([one := nn.Identity(), one]),
        "one module is two candidates: give each its own",
    ),
    "no choice": (lambda: supernet_of(nn.Linear(1, 1)), "the network has no MixedOp: there is nothing to"),
    "other candidates": (
        lambda: supernet_of(nn.Sequential(times(2, 3, choice="a"), times(2, 5, choice="a"))),
        "the choice 'a' stands in several places with other candidates: x2, x3 and x2, x5",
    ),
    "other groups": (
        lambda: supernet_of(nn.Sequential(times(2, choice="a"), times(2, choice="a", group="b"))),
        "the choice 'a' stands in several places with other groups: 'network' and 'b'",
    ),
    "the name of a place": (
        lambda: supernet_of(nn.ModuleDict({"a": times(2), "b": times(2, choice="a")})),
        "the choice 'a' has the name of another's place: give it another name",
    ),
    "a place that is no name": (
        lambda: supernet_of(nn.ModuleDict({"a b": times(2)})),
        "the place 'a b' can't stand in a genotype: give the MixedOp a choice='NAME'",
    ),
    "a candidate of two": (
        lambda: supernet_of(shared(nn.Identity())),
        "'1': its candidate 'a' is one of '0' too, and would share its weights: make each one's own",
    ),
    "keep": (
        lambda: node(times(2), keep=2),
        "MixedNode: keep=2: it must be from 1 to 1, the number of edges",
    ),
    "a node's groups": (
        lambda: supernet_of(node(times(2), times(3, group="b"))),
        "the node of edges.0, edges.1 has edges of several groups, or keeps other numbers",
    ),
    "a node's choices": (
        lambda: supernet_of(node(times(2, choice="a"), times(2, choice="a"))),
        "the node of a, a has several edges of one choice: give each its own",
    ),
}


@pytest.mark.parametrize("make, told", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_in_one_line(make, told):
    with pytest.raises(UserError) as error:
        make()
    assert told in str(error.value)
    assert "\n" not in str(error.value)
