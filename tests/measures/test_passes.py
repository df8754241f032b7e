"""Proxies that share a pass over the network: how often it runs."""

import torch

from foresight_ext import PROXIES
from foresight_ext.images.batches import BatchDraws
from foresight_ext.measures import aznas_features
from foresight_ext.measures.watching import Unusable, watched
from foresight_ext.search.scoring import operation_scores
from foresight_ext.search.validation import Validated, minibatch_row
from nasbench201.space import NASBench201Space
from tests.networks import minibatch, plain_network
from tests.toys import toy_data


def test_aznas_runs_a_network_once_for_all_features(monkeypatch):
    ran = []
    run_stages = aznas_features.run_stages
    monkeypatch.setattr(aznas_features, "run_stages", lambda *given: ran.append(run_stages(*given)))
    supernet, mixing = NASBench201Space().smallest().begin(10)
    rows = operation_scores(
        watched(PROXIES.get("aznas"), Unusable("search")), supernet, mixing, [0], minibatch(0, 4)
    )
    assert len(ran) == sum(len(row) for row in rows.values()) == 5
    network, data = plain_network(), toy_data()
    drawn = Validated("a network", network, [BatchDraws(torch.arange(4), data.augmentation.draw(4))])
    found = minibatch_row(drawn, 0, PROXIES.get("aznas"), data, torch.device("cpu"))
    assert (len(ran), len(found)) == (6, 4)
