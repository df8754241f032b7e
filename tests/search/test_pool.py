"""The pool: draws in the official order, members that can be computed in any order and process."""

import multiprocessing

import pytest
import torch

from foresight_ext.images import datasets
from foresight_ext.measures import PROXIES
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from nasbench201.space import NASBench201Space
from tests.toys import ToyProxy, first_labels, toy_search

VALUES = ((1, 4), (3, 2), (9, 1, 3), (5, 6), (2, 8), (7, 1))


def small_search():
    data = datasets.load("digits", datasets.Request())
    space = NASBench201Space(init_channels=4, cells=1)
    return PoolSearch(space, data, PROXIES.get("jacob"), ORDERS.get("random"), 1, 16, torch.device("cpu"))


def member(index):
    """A pool member computed alone, as a process of its own does it."""
    search = small_search()
    for _ in range(index):
        search.draw()
    return search.discretise(search.draw())


def test_pool_in_any_order_and_in_several_processes():
    search = small_search()
    pool = [search.discretise(search.draw()) for _ in range(3)]
    assert len({genotype for genotype, _ in pool}) > 1
    # drawn first, scored later and backwards
    search = small_search()
    draws = [search.draw() for _ in range(3)]
    assert [search.discretise(one) for one in reversed(draws)] == pool[::-1]
    # one thread each, so that two processes do not fight for the cores; scores are equal all the same
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2, initializer=torch.set_num_threads, initargs=(1,)) as processes:
        assert processes.map(member, [2, 0, 1]) == [pool[2], pool[0], pool[1]]


@pytest.mark.parametrize("order", ORDERS)
def test_a_member_goes_on_from_any_decision(order):
    def start():
        search = toy_search(ORDERS.get(order), ToyProxy(VALUES), seed=2)
        return search, search.draw()

    search, draws = start()
    genotype, decisions = search.discretise(draws)
    for count in range(len(decisions) + 1):
        search, draws = start()
        fresh = []
        assert search.discretise(draws, decisions[:count], fresh.append) == (genotype, decisions)
        assert fresh == decisions[count:]


def test_the_global_generators_are_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    search = small_search()
    search.discretise(search.draw())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_member_goes_through_one_pass_and_starts_another_where_images_are_few():
    search = toy_search(ORDERS.get("random"), ToyProxy(VALUES), images=4)  # half: two images, three steps
    labels = first_labels(search.draw().batches)
    assert sorted(labels[:2]) == [0, 1] and labels[2] in (0, 1)


def test_draws_that_depend_on_the_member_before_get_its_genotype():
    def second(previous):
        search = toy_search(ORDERS.get("random"), ToyProxy(VALUES))
        search.draw()
        return first_labels(search.draw(previous).batches)

    assert second("xyxyxy") == second("yyyyyy") != second(None)
