"""Zero-Cost-NAS's interface, find_measures, and its own measures where it is installed."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import foresight_ext
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.measures.predictive import DEFAULT_MEASURES, find_measures, find_measures_arrays
from tests import PROJECT_ROOT
from tests.networks import assert_same, images, plain_network, snapshot, used, value


def loader(*sizes, classes=10):
    """Minibatches of those sizes; labels count up."""
    count = sum(sizes)
    pairs = zip(images(9, count).split(sizes), (torch.arange(count) % classes).split(sizes))
    return list(pairs)


def test_find_measures_takes_minibatches_or_images_of_each_class():
    torch.manual_seed(0)
    network = used(plain_network())
    before = snapshot(network)
    data = loader(8, 8, 4)
    found = foresight_ext.find_measures(network, data, ("random", 2, 10), torch.device("cpu"))
    assert tuple(found) == DEFAULT_MEASURES
    batch = Batch(torch.cat([data[0][0], data[1][0]]), torch.cat([data[0][1], data[1][1]]))
    assert found == {name: value(name, network, batch) for name in DEFAULT_MEASURES}
    names = ["snip", "ntk", "params"]
    # the loader starts again after its 20 images
    again = find_measures(network, data, ("random", 4, 10), "cpu", measure_names=names)
    parts = [*data, data[0]]
    batch = Batch(*(torch.cat([pair[i] for pair in parts]) for i in (0, 1)))
    assert again == {name: value(name, network, batch) for name in names}
    # class by class, images in the loader's order: 0, 10, 1, 11, ...
    found = find_measures(network, data, ("grasp", 2, 10), "cpu", measure_names=names)
    everything = torch.cat([inputs for inputs, _ in data])
    order = torch.arange(20).view(2, 10).T.flatten()
    batch = Batch(everything[order], torch.arange(10).repeat_interleave(2))
    assert found == {name: value(name, network, batch) for name in names}
    assert_same(before, snapshot(network))


def test_find_measures_says_where_there_is_nothing_to_look_at():
    loader = [(images(0, 4), torch.arange(4))]
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for name in ("jacob", "nwot", "swap", "linear_regions"):
        with pytest.raises(UserError, match=f"{name} looks at what ReLUs read"):
            find_measures(smooth, loader, ("random", 1, 10), "cpu", measure_names=[name])
    # a batch norm behind the pooling can't normalise the single value of synflow_bn's one image
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten())
    found = find_measures(pooled, loader, ("random", 1, 10), "cpu")
    assert [name for name, value in found.items() if math.isnan(value)] == ["synflow_bn"]
    assert len(found) == 9


def test_find_measures_takes_any_loss_and_arrays():
    torch.manual_seed(0)
    network, data = plain_network(), loader(8)
    info = ("random", 1, 10)

    def doubled(outputs, targets):
        return 2 * F.cross_entropy(outputs, targets)

    once = find_measures(network, data, info, "cpu", measure_names=["snip", "fisher"])
    twice = find_measures(network, data, info, "cpu", loss_fn=doubled, measure_names=["snip", "fisher"])
    assert twice["snip"] == pytest.approx(2 * once["snip"], rel=1e-5)
    assert twice["fisher"] == pytest.approx(4 * once["fisher"], rel=1e-5)
    arrays = find_measures_arrays(network, data, info, "cpu", ["snip", "jacob_cov"])
    layers = [module for module in network if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert [array.shape for array in arrays["snip"]] == [layer.weight.shape for layer in layers]
    summed = find_measures(network, None, info, "cpu", measures_arr=arrays)
    assert summed == {"snip": once["snip"], "jacob_cov": arrays["jacob_cov"]}


class Small(nn.Module):
    """A network for at most so many images."""

    def __init__(self, limit, message="CUDA out of memory. Tried to allocate 2 GiB"):
        super().__init__()
        self.network = plain_network().eval()
        self.limit = limit
        self.message = message
        self.largest = 0

    def forward(self, x):
        if len(x) > self.limit:
            raise RuntimeError(self.message)
        self.largest = max(self.largest, len(x))
        return self.network(x)


@pytest.mark.parametrize("message", ["CUDA out of memory.", "DefaultCPUAllocator: not enough memory: you"])
def test_too_little_memory_splits_the_images(message):
    torch.manual_seed(0)
    network, info = Small(4, message), ("random", 1, 10)
    names = ["snip", "grad_norm", "grasp", "synflow"]
    found = find_measures(network, loader(12), info, "cpu", measure_names=names)
    assert network.largest == 4  # 12 and 6 were too many
    network.limit = 12
    whole = find_measures(network, loader(12), info, "cpu", measure_names=names)
    assert found == pytest.approx(whole, rel=1e-4)
    network.limit = 4
    with pytest.raises(UserError, match="jacob_cov: out of memory with 12 images"):
        find_measures(network, loader(12), info, "cpu", measure_names=["jacob_cov"])
    network.limit = 1
    with pytest.raises(UserError, match="snip: out of memory with 12 images, even in pieces"):
        find_measures(network, loader(12), info, "cpu", measure_names=["snip"])
    for name in ("snip", "jacob_cov"):
        with pytest.raises(UserError, match="does not take a minibatch of 12 x 3 x 16 x 16 .*: another$"):
            find_measures(Small(1, "another"), loader(12), info, "cpu", measure_names=[name])


@pytest.mark.parametrize(
    ("info", "names", "message"),
    [
        (("all", 1, 10), None, "unknown kind 'all': choose from random, grasp"),
        (("random", 0, 10), None, "0 is no number"),
        (("random", 1, 10), ["snp"], "unknown proxy 'snp': choose from snip"),
        (("random", 1, 10), ["tenas"], "'tenas' compares networks"),
        (("grasp", 1, 11), None, "no image of class 10, of 11"),
    ],
)
def test_mistakes_in_one_line(info, names, message):
    with pytest.raises(UserError, match=message):
        find_measures(plain_network(), loader(10), info, "cpu", measure_names=names)


def test_an_empty_loader_is_a_mistake():
    with pytest.raises(UserError, match="gave no minibatch"):
        find_measures(plain_network(), [], ("random", 1, 10), "cpu")


# ---- imports


def python(code, path):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{path}:{PROJECT_ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


INSTALLED = """
import torch
available_measures = ["snip", "twice", "listed"]
def calc_measure(name, net, device, inputs, targets, loss_fn, split_data):
    copied = net.get_prunable_copy(bn=False).to(device)
    assert not copied.network[1](torch.full((1,), 3.0)).sub(3).any()  # batch norms pass on what they get
    with torch.no_grad():
        next(net.parameters()).zero_()
    loss_fn(copied(inputs), targets).backward()
    return torch.ones(2, 2) if name == "twice" else [torch.ones(2), torch.ones(3)]
"""
USE = """
import torch
from torch import nn
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2))
batch = Batch(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 0]))
print(list(PROXIES)[-2:], *(PROXIES.get(name).score(network, batch) for name in ("twice", "listed")))
print(type(PROXIES.get("snip")).__name__, bool(network[1].weight.all()), network[2].weight.grad)
"""


def test_an_installed_zero_cost_nas_adds_its_other_measures(tmp_path):
    package = tmp_path / "foresight" / "pruners" / "measures"
    package.mkdir(parents=True)
    for folder in (tmp_path / "foresight", package.parent):
        (folder / "__init__.py").touch()
    (package / "__init__.py").write_text(INSTALLED)
    assert python(USE, tmp_path) == "['twice', 'listed'] 4.0 5.0\nSnip True None\n"


def test_another_package_of_that_name_does_no_harm(tmp_path):
    (tmp_path / "foresight").mkdir()
    (tmp_path / "foresight" / "__init__.py").write_text("raise RuntimeError('imported')")
    code = "from foresight_ext.measures import PROXIES; print(len(PROXIES))"
    assert python(code, tmp_path) == f"{len(PROXIES)}\n"


def test_the_package_loads_nothing_before_it_is_asked(tmp_path):
    code = "import sys, foresight_ext; print('torch' in sys.modules, foresight_ext.find_measures.__name__)"
    assert python(code, tmp_path) == "False find_measures\n"
    with pytest.raises(AttributeError, match="no attribute 'find_measure'"):
        foresight_ext.find_measure  # noqa: B018
