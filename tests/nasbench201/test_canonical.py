"""Which NAS-Bench-201 architectures are one network: by hand, by number, and against a published table."""

import csv

import pytest

from foresight_ext.errors import UserError
from nasbench201.canonical import canonical, pruned
from nasbench201.genotype import format_genotype
from nasbench201.score_archs import every_genotype
from tests.conftest import shared_file

NAMES = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def cell(edges):
    """The architecture of six letters, on the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""
    return format_genotype([NAMES[letter] for letter in edges])


@pytest.mark.parametrize(
    "one, other",
    [
        ("000300", "1s0300"),  # nodes 1 and 2 go nowhere
        ("000300", "00130p"),  # node 1 is nothing, and what reads it as well
        ("310013", "130031"),  # nodes 1 and 2 change places
        ("s00030", "000300"),  # a value itself, then a convolution
        ("3s0s00", "000s00"),  # dead ends
        ("s10s03", "010s03"),  # node 1 goes nowhere, although it is fed
        ("sp00ps", "pp00ss"),  # pooling twice is pooling twice, through whichever node
    ],
)
def test_cells_that_compute_the_same(one, other):
    assert canonical(cell(one)) == canonical(cell(other))


@pytest.mark.parametrize(
    "one, other",
    [
        ("000300", "000100"),
        ("300030", "000300"),  # a chain of two convolutions and one convolution
        ("s00000", "000s00"),  # nothing, and the input
        ("30s0ss", "3300ss"),  # one convolution whose result is taken twice, and two convolutions
        ("000s00", "s00ss0"),  # the input once and twice
    ],
)
def test_cells_that_do_not(one, other):
    assert canonical(cell(one)) != canonical(cell(other))


def test_pruned_by_hand():
    assert pruned(cell("130300")) == cell("000300")
    assert pruned(cell("0013sp")) == cell("000300")
    assert pruned(cell("1s0s3p")) == cell("1s0s3p")
    with pytest.raises(UserError, match="does not parse"):
        pruned("|none~0|")


def test_all_architectures_are_some_network():
    every = every_genotype()
    shorter = {one: pruned(one) for one in every}
    assert len(set(shorter.values())) == 9445
    assert len({canonical(one) for one in every}) == 5260
    # what is pruned away makes no difference
    assert all(canonical(one) == canonical(other) for one, other in shorter.items())


def test_a_published_table_of_distinct_networks_lists_what_nothing_can_be_pruned_from():
    with shared_file("data/nasbench201_proxies_suite_zero.csv").open(newline="") as file:
        names = {row["net_str"] for row in csv.DictReader(file)}
    assert names == {pruned(one) for one in every_genotype()}
