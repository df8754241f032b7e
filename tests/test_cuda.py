"""Every space and proxy on CUDA without a GPU: under FakeTensorMode any mix of devices fails."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import nasbench201.space  # noqa: F401 (registers the space)
import sota.cnn.space  # noqa: F401 (registers the spaces)
from foresight_ext.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.scoring import operation_scores
from foresight_ext.space import SPACES
from foresight_ext.supernet import decide, remove

# a genotype of each space, and settings that make it small; a new space adds a line
_DARTS = {"search_channels": 2, "search_layers": 3}
_CELL = '[["sep_conv_3x3", 0], ["skip_connect", 1], ["max_pool_3x3", 1], ["dil_conv_5x5", 2]' + (
    ', ["sep_conv_5x5", 0], ["noise", 1], ["avg_pool_3x3", 0], ["dil_conv_3x3", 4]]'
)
_DARTS_GENOTYPE = (
    f'{{"normal": {_CELL}, "normal_concat": [2, 3, 4, 5], "reduce": {_CELL}, "reduce_concat": [2, 3, 4, 5]}}'
)
SMALL = {
    "nas-bench-201": (
        {"init_channels": 4, "cells": 1},
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|",
    ),
    **dict.fromkeys(("s1", "s2", "s3", "s4", "s5", "s6"), (_DARTS, _DARTS_GENOTYPE)),
}


@pytest.fixture
def on_fake_cuda(monkeypatch):
    """A fake CUDA device. Scores are left as tensors: a fake tensor has no value to read."""
    monkeypatch.setattr("foresight_ext.measures.jacob.float", lambda tensor: tensor, raising=False)
    with FakeTensorMode(allow_non_fake_inputs=False), torch.device("cuda"):
        try:
            torch.nn.Conv2d(1, 1, 1)
        except RuntimeError:  # seen with torch 2.6: initialising a fake CUDA weight asks the driver
            pytest.skip("this PyTorch makes no fake CUDA modules without a GPU")
        yield


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("space", SPACES)
def test_scores_on_cuda(space, proxy, on_fake_cuda):
    settings, genotype = SMALL[space]
    space, proxy = SPACES.get(space)(**settings), PROXIES.get(proxy)
    batch = Batch(torch.randn(6, 3, 16, 16), torch.zeros(6, dtype=torch.long))
    supernet = space.build_supernet(10)
    mixing = tuple(tuple(0.5 for _ in choice.candidates) for choice in supernet.choices)
    mixing = decide(mixing, 0, 0)
    found = operation_scores(proxy, supernet, mixing, [1, 2], batch)
    assert [len(row) for row in found.values()] == [len(supernet.choices[c].candidates) for c in (1, 2)]
    assert supernet(batch.inputs, remove(mixing, 1, 0)).device.type == "cuda"
    network = space.build_network(genotype, 10).eval()
    assert network(batch.inputs).device.type == "cuda"
    proxy.score(network, batch)
