"""Scores of networks by each proxy that scores a network alone, the expensive ones with less work."""

from foresight_ext import PROXIES, find_measures
from foresight_ext.measures.linear_regions import LinearRegions
from foresight_ext.measures.proxy import network_score
from foresight_ext.measures.zen import Zen
from tests.networks import minibatch

ALONE = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]
SMALLER = {"zen": Zen(repeats=1), "linear_regions": LinearRegions(images=30)}


def score(name, network, batch):
    return network_score(SMALLER.get(name, PROXIES.get(name)), network, batch)


def measured(network, *names, pair=None, batch=None):
    batch = batch or minibatch(6, 8)
    data = [pair or (batch.inputs, batch.targets)]
    return find_measures(network, data, ("random", 1, 10), "cpu", measure_names=list(names))
