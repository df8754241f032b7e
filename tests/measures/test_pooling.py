"""Pooling channels-last: the same to the last bit, of gradients too, and only where it gains."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

from foresight_ext.measures import proxy
from foresight_ext.measures.pooling import pooling_channels_last
from tests.measures.scoring import ALONE, score
from tests.networks import minibatch

POOLS = [
    nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
    nn.AvgPool2d(3, 2, padding=1),
    nn.AvgPool2d((5, 3), (1, 3), ceil_mode=True),
    nn.AvgPool2d([3, 3], [1, 1], divisor_override=2),
    nn.MaxPool2d(3, 1, padding=1),
    nn.MaxPool2d((3, 2), stride=(2, 1), ceil_mode=True),
    nn.MaxPool2d(3, 2, dilation=2),
    nn.MaxPool2d(3, 1, return_indices=True),
]
# proxies that run the network in float64
IN_DOUBLE = ("synflow", "synflow_bn", "epsinas")


@contextmanager
def layouts(module):
    """Whether what the module itself reads lies channels-last, each time it runs."""
    seen = []

    def note(module, inputs, output):
        seen.append(not inputs[0].is_contiguous())

    handle = module.register_forward_hook(note)
    yield seen
    handle.remove()


def images(channels=16, **options):
    draw = torch.Generator().manual_seed(0)
    # ReLU leaves zeros, of which a window's largest may be any
    return torch.randn(3, channels, 9, 11, generator=draw, **options).relu()


def computed(pool, x):
    """What a pooling layer returns, its gradient and the gradient of that, all as bits."""
    x = x.clone().requires_grad_()
    returned = pool(x)
    output, *others = returned if isinstance(returned, tuple) else (returned,)
    [first] = torch.autograd.grad((output * output.detach().cos()).pow(2).sum(), x, create_graph=True)
    [second] = torch.autograd.grad(first.sin().sum(), x)
    found = [output, first, second, *others]
    assert all(one.is_contiguous() for one in found)
    return [one.detach().view(torch.int32) for one in found]


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_it_is_the_same_to_the_last_bit(pool):
    x = images()
    x[0, 0, 4, 4], x[1, 1, 0, 0], x[2, 2, 8, 10] = torch.nan, torch.inf, -torch.inf
    expected = computed(pool, x)
    with pooling_channels_last(pool), layouts(pool) as turned:
        found = computed(pool, x)
        with torch.no_grad():
            pool(x)
    assert turned == [True, True]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not pool._forward_hooks and not pool._forward_pre_hooks


class Other(nn.AvgPool2d):
    """A layer of somebody's own."""


@pytest.mark.parametrize(
    "pool, x",
    [
        (POOLS[0], images(channels=7)),
        (nn.AvgPool2d(2), images()),
        (POOLS[0], images(dtype=torch.float64)),
        (POOLS[0], images()[0]),
        (Other(3, 1), images()),
    ],
    ids=["few channels", "apart", "double", "one image", "own layer"],
)
def test_what_gains_nothing_is_left_as_it_lies(pool, x):
    with pooling_channels_last(pool), layouts(pool) as turned:
        assert torch.equal(pool(x), type(pool).forward(pool, x))
    assert turned == [False]


def of_one(x):
    return POOLS[0](x).cos().sum()


@pytest.mark.parametrize(
    "transformed",
    [
        torch.vmap(of_one),
        torch.func.grad(lambda several: of_one(several[1])),
        torch.vmap(torch.func.grad(of_one)),
    ],
    ids=["vmap", "grad", "both"],
)
def test_it_works_within_transforms(transformed):
    several = torch.stack([images(), images().flip(0)])
    expected = transformed(several)
    with pooling_channels_last(POOLS[0]):
        assert torch.equal(transformed(several), expected)


def test_channels_last_images_stay_so():
    x = images().contiguous(memory_format=torch.channels_last)
    with pooling_channels_last(POOLS[0]):
        assert POOLS[0](x).is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(POOLS[0](input=x.contiguous()), POOLS[0](x))  # by name, which no hook sees


@pytest.mark.parametrize("name", ALONE)
def test_every_proxy_scores_as_without(name, monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 1, padding=1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    with layouts(network[6]) as turned:
        found = score(name, network, minibatch(6, 8))
        seen = list(turned)
        monkeypatch.setattr(proxy, "pooling_channels_last", lambda network: nullcontext())
        assert found == score(name, network, minibatch(6, 8))
    assert any(seen) == (name not in IN_DOUBLE)
