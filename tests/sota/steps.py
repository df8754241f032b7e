"""Golden discretisations of chains of layers, compared step by step."""

import numpy as np
import pytest
import torch

from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.search.discretise import draw_plan
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.scoring import operation_scores
from foresight_ext.supernets.supernet import decide


def follow(supernet, mixing, case, order, images):
    """The mixing that a golden discretisation ends in; each step starts from the golden choices before it.

    `images` gives the minibatch of a step. A decision by more than 1e-4 must agree: below, kernels decide.
    """
    plan = draw_plan(ORDERS.get(order), supernet, np.random.RandomState(case["seed"]))
    drawn = [visit.choice for [(_, visit)] in plan.operation_steps if visit is not None]
    assert drawn == (
        case["layers_visited"] if order == "random" else []
    )  # the others are as the layers stand
    for number, step in enumerate(case["steps"]):
        x, layer, chosen = images(number), step["layer"], step["chosen"]
        batch = Batch(x, torch.zeros(len(x)))
        found = operation_scores(PROXIES.get("jacob"), supernet, mixing, [layer], batch)[layer]
        assert found == pytest.approx(step["score_float64"], rel=1e-5)
        position = chosen if chosen >= 0 else len(found) - 1
        assert step["margin"] < 1e-4 or found.index(min(found)) == position
        mixing = decide(mixing, layer, position)
    return mixing
