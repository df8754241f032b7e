"""The network that a genotype leaves: a plain one, for all that one does with such."""

import copy
import json
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from foresight_ext import MixedOp, Zero, fixed, supernet_of
from foresight_ext.choices.genotype import as_text
from foresight_ext.choices.mixed import Node
from foresight_ext.errors import UserError
from foresight_ext.supernets.supernet import Masked
from tests.choices.networks import DEEP, SHALLOW, Cell, Plain, convolution, tensors

NONE = {**SHALLOW, "down": "none"}
NODE = {"node.edges.0": "skip", "node.edges.2": "conv"}
GENOTYPES = {"shallow": (Plain, SHALLOW), "deep": (Plain, DEEP), "none": (Plain, NONE), "node": (Cell, NODE)}
every = pytest.mark.parametrize("build, genotype", GENOTYPES.values(), ids=GENOTYPES)


def new(build, genotype):
    torch.manual_seed(0)
    return fixed(build, genotype)


def ours(network):
    """What of the network's modules is defined in this library."""
    return {type(one) for one in network.modules() if type(one).__module__.startswith("foresight_ext")}


def test_it_is_the_network_with_the_candidate_in_its_place():
    def by_hand():
        network = Plain()
        network.stem = nn.Conv2d(3, 4, 1)
        network.down = convolution(4, 8, 3, 2)
        network.first, network.second = convolution(8, 8, 3), convolution(8, 8, 3)
        network.out = nn.Identity()
        return network

    assert str(new(Plain, SHALLOW)) == str(by_hand())
    assert list(new(Plain, SHALLOW).state_dict()) == list(by_hand().state_dict())


@every
def test_nothing_of_the_search_is_left(build, genotype):
    allowed = {"none": {Zero}, "node": {Node}}
    name = next(name for name, pair in GENOTYPES.items() if pair == (build, genotype))
    assert ours(new(build, genotype)) == allowed.get(name, set())


@every
def test_it_computes_what_the_supernet_does_with_one_candidate_each(build, genotype):
    network = new(build, genotype).eval()
    torch.manual_seed(0)
    supernet = supernet_of(build()).eval()
    mixing = tuple(
        tuple(float(genotype.get(choice.name) == name) for name in choice.candidates)
        for choice in supernet.choices
    )
    x = tensors()[0]
    with torch.no_grad():
        torch.testing.assert_close(network(x), Masked(supernet, mixing)(x))


def test_a_network_may_be_a_mixed_op_as_a_whole():
    assert isinstance(fixed(lambda: MixedOp([nn.Identity(), nn.ReLU()]), {"network": "1"}), nn.ReLU)


@every
def test_it_is_saved_and_loaded(build, genotype, tmp_path):
    network, x = new(build, genotype).eval(), tensors()[0]
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    torch.save(network, tmp_path / "network.pt")
    other = fixed(build, genotype).eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt"))
    with torch.no_grad():
        for loaded in (other, torch.load(tmp_path / "network.pt", weights_only=False)):
            assert torch.equal(loaded(x), network(x))


@every
def test_onnx_of_any_batch_size(build, genotype, tmp_path):
    network, x = new(build, genotype).eval(), tensors()[0]
    path, batch = tmp_path / "network.onnx", torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own
        torch.onnx.export(network, (x,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    session = onnxruntime.InferenceSession(path)
    for images in (x, x[:5]):
        [found] = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, network(images).numpy(), atol=1e-5)


@every
def test_torch_compile_takes_it_whole(build, genotype):
    network, x = new(build, genotype).eval(), tensors()[0]
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), network(x))


@every
def test_a_training_step(build, genotype):
    network, (x, labels) = new(build, genotype), tensors()
    before = copy.deepcopy(network.head.bias)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = nn.functional.cross_entropy(network(x), labels)
    loss.backward()
    optimizer.step()
    assert not torch.equal(network.head.bias, before)
    assert nn.functional.cross_entropy(network(x), labels) < loss


def test_a_genotype_as_text():
    for text in (as_text(SHALLOW), json.dumps(SHALLOW)):
        assert [*fixed(Plain, text).state_dict()] == [*fixed(Plain, SHALLOW).state_dict()]


def test_each_call_makes_weights_of_its_own():
    one, other = fixed(Plain, SHALLOW), fixed(Plain, SHALLOW)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_genotype_or_a_build_that_does_not_fit():
    with pytest.raises(UserError, match="the genotype lacks 'pair'"):
        fixed(Plain, {"stem": "0", "down": "conv", "out": "skip"})
    with pytest.raises(
        UserError, match="the genotype is a NoneType: it must be a mapping, or the text of one"
    ):
        fixed(Plain, None)
    with pytest.raises(UserError, match="build is a network: it must be a function that makes the network"):
        fixed(Plain(), SHALLOW)
    with pytest.raises(UserError, match="build is a str: it must be a function"):
        fixed("Plain", SHALLOW)
