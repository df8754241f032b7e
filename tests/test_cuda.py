"""Every space and proxy on CUDA without a GPU: under FakeTensorMode any mix of devices fails."""

import pkgutil

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from foresight_ext import measures
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES, vkdnw_entropy
from foresight_ext.measures.jacob import KernelProxy
from foresight_ext.search import SPACES
from foresight_ext.search.scoring import operation_scores
from foresight_ext.supernets.supernet import Masked, decide, drop, remove


def read_nothing(value):
    """Stands in for float: a fake tensor has no value to read."""
    return value


def pack_nothing(bits):
    """Stands in for patterns.pack, whose numpy reads bits: they have to be on the CPU."""
    assert bits.device.type == "cpu"
    return np.zeros((-(-bits.shape[0] // 64), bits.shape[1]), dtype=np.uint64)


def classes_of_nothing(targets):
    """Stands in for epe_nas.images_by_class, which reads labels."""
    return [[0, 1], list(range(2, len(targets)))]


def differentiate_nothing(output, inputs, **options):
    """Stands in for torch.autograd.grad, whose engine asks the driver for the device it runs on."""
    assert {tensor.device.type for tensor in (output, *inputs)} == {"cuda"}
    return [torch.empty_like(one) for one in inputs]


@pytest.fixture
def on_fake_cuda(monkeypatch):
    """A fake CUDA device. Proxies run up to where they need values."""
    for module in pkgutil.iter_modules(measures.__path__):
        monkeypatch.setattr(f"foresight_ext.measures.{module.name}.float", read_nothing, raising=False)
    for name in ("swap", "linear_regions"):
        monkeypatch.setattr(f"foresight_ext.measures.{name}.pack", pack_nothing)
    monkeypatch.setattr("foresight_ext.measures.epe_nas.images_by_class", classes_of_nothing)
    monkeypatch.setattr(
        "foresight_ext.measures.vkdnw_entropy._places", lambda numbers, entries: [numbers - 1]
    )
    monkeypatch.setattr("foresight_ext.measures.jacobians._apart", lambda gradients: True)
    if not torch.cuda.is_available():
        monkeypatch.setattr("torch.autograd.grad", differentiate_nothing)
        monkeypatch.setattr("torch.autograd.graph.get_gradient_edge", lambda tensor: tensor)
    # no values, no need of many
    monkeypatch.setattr(vkdnw_entropy.PROXY, "tensors", 8)
    monkeypatch.setattr(PROXIES.get("zen"), "repeats", 1)
    monkeypatch.setattr(PROXIES.get("linear_regions"), "images", 200)
    with FakeTensorMode(allow_non_fake_inputs=False), torch.device("cuda"):
        try:
            torch.nn.Conv2d(1, 1, 1)
        except RuntimeError:  # seen with torch 2.6: initialising a fake CUDA weight asks the driver
            pytest.skip("this PyTorch makes no fake CUDA modules without a GPU")
        yield


def parts_of(kind):
    """The names of the proxies that score networks, those of the kernel or the others."""
    single = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]
    return [name for name in single if isinstance(PROXIES.get(name), KernelProxy) == (kind == "kernel")]


def small(name):
    """A small supernet of a space, a network, a mixing and a minibatch.

    In the mixing the last two choices and the last of each group are left: what lies before them is shared.
    Every other one, and all of the network, keep another candidate than the one before.
    """
    space = SPACES.get(name)().smallest()
    supernet = space.build_supernet(10)
    mixing = tuple(tuple(0.5 for _ in choice.candidates) for choice in supernet.choices)
    batch = Batch(torch.randn(6, 3, 16, 16), torch.zeros(6, dtype=torch.long))
    found, groups = mixing, set()
    for number, choice in reversed([*enumerate(supernet.choices)]):
        kept = number, number % len(choice.candidates)
        found = decide(found, *kept)
        if choice.group in groups and number < len(mixing) - 2:
            mixing = decide(mixing, *kept)
        groups.add(choice.group)
    for node in supernet.nodes:
        for choice in node.choices[node.keep :]:
            found = drop(found, choice)
    return supernet, space.build_network(space.genotype(found), 10), mixing, batch


@pytest.mark.parametrize("proxy", parts_of("kernel"))
@pytest.mark.parametrize("space", SPACES)
def test_kernels_on_cuda(space, proxy, on_fake_cuda):
    supernet, network, mixing, batch = small(space)
    proxy, last = PROXIES.get(proxy), [len(mixing) - 2, len(mixing) - 1]
    found = operation_scores(proxy, supernet, mixing, last, batch)
    assert [len(row) for row in found.values()] == [len(supernet.choices[c].candidates) for c in last]
    assert supernet(batch.inputs, remove(mixing, last[0], 0)).device.type == "cuda"
    assert network.eval()(batch.inputs).device.type == "cuda"
    proxy.score(network, batch)


def test_images_alone_on_cuda(on_fake_cuda):
    """A layer of which only PyTorch knows the derivatives sends images one by one."""
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.Flatten(), torch.nn.Linear(784, 5)
    batch = Batch(torch.randn(3, 3, 16, 16), torch.zeros(3, dtype=torch.long))
    passes, network = [], torch.nn.Sequential(*layers)
    network.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    PROXIES.get("vkdnw_entropy").score(network, batch)
    assert passes[-4:] == [3, 1, 1, 1]


@pytest.mark.parametrize("proxy", parts_of("others"))
@pytest.mark.parametrize("space", ["nas-bench-201", "s4"])  # the others run the same modules
def test_other_proxies_on_cuda(space, proxy, on_fake_cuda):
    supernet, network, mixing, batch = small(space)
    for one in (Masked(supernet, remove(mixing, len(mixing) - 2, 0)), network):
        PROXIES.get(proxy).score(one, batch)


def test_a_mix_of_devices_is_found(on_fake_cuda):
    supernet, _, mixing, batch = small("nas-bench-201")
    proxy, network = PROXIES.get("snip"), Masked(supernet, mixing)
    for moved in ("inputs", "targets"):
        with pytest.raises(RuntimeError, match="device"):
            proxy.score(network, batch._replace(**{moved: getattr(batch, moved).cpu()}))
