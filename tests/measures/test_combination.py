"""Several proxies as one: the rules worked out by hand, searches by them, and what is said of NaN."""

import math

import pytest
import torch

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch, BatchDraws
from foresight_ext.measures import PROXIES, Proxy
from foresight_ext.measures.combination import COMBINATIONS, Combination, proxy_of
from foresight_ext.measures.watching import Unusable, Watched, watched
from foresight_ext.search.choosing import highest, lowest
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.scoring import edge_scores, operation_scores
from foresight_ext.search.validation import Validated, best_genotype, combined, summed, validation_scores
from foresight_ext.supernets.supernet import decide, remove
from tests.toys import ToyProxy, ToySupernet, toy_data, toy_search

BATCH = Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1))
MIXING = ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))
NAN, INF = math.nan, math.inf


class Given(Proxy):
    """Gives prepared scores: all at once to the mixings of a supernet, one after the other to networks."""

    source = "none"

    def __init__(self, *scores, name="given", higher_is_better=True):
        self.name = name
        self.scores = scores
        self.higher_is_better = higher_is_better
        self._turn = iter(scores)

    def score(self, network, batch):
        return next(self._turn)

    def score_mixings(self, supernet, mixings, batch):
        assert len(mixings) == len(self.scores)
        return list(self.scores)


def given(rule, *columns):
    """A combination of proxies with prepared scores."""
    return Combination([Given(*column, name=f"proxy{i}") for i, column in enumerate(columns)], rule)


def same(found, expected):
    return found == pytest.approx(expected, nan_ok=True)


# ---- the rules by hand

# scores of networks w x y z by each of three proxies, their combined rank, their combined vote
TABLES = {
    # places 1342, 2413, 3412; x beats all, z beats w and y by 2:1, w beats y by 2:1
    "no ties": ([1, 3, 4, 2], [20, 40, 10, 30], [7, 8, 5, 6], [6, 11, 6, 7], [-1, 3, -3, 1]),
    # places 2213, 1222, 1111; z beats all, x beats w (0:0, 1:0, 0:0) and y; w and y are even, 1:1
    "ties": ([5, 5, 1, 9], [0, 3, 3, 3], [2, 2, 2, 2], [4, 5, 4, 6], [-2, 1, -2, 3]),
    # of x y z: places 231, 132, 221; y beats x by 2:0 and z by 3:0, x beats z by 2:1
    "NaN and minus infinity": (
        [NAN, 2, 3, 1],
        [1, -INF, 5, 4],
        [1, 9, 9, 8],
        [NAN, 5, 8, 4],
        [NAN, 0, 2, -2],
    ),
    # of w x: places 12, 11, 21; they are even, 1:1
    "infinity": ([1, 2, 3, INF], [-INF, -INF, NAN, 0], [1, 0, 5, 5], [4, 4, NAN, NAN], [0, 0, NAN, NAN]),
    "nothing usable": ([NAN] * 4, [1, 2, 3, 4], [INF] * 4, [NAN] * 4, [NAN] * 4),
    # y is w again: places 121, 212, 232 without gaps; x beats w by 2:1, z beats w and x by 2:1
    "a network twice": ([1, 2, 1, 3], [2, 1, 2, 3], [5, 6, 5, 4], [5, 6, 5, 7], [-2, 0, -2, 2]),
}


@pytest.mark.parametrize("name", TABLES)
def test_rules_by_hand(name):
    *columns, rank, vote = TABLES[name]
    assert same(given("rank", *columns).combine(columns), rank)
    assert same(given("vote", *columns).combine(columns), vote)


@pytest.mark.parametrize("rule", COMBINATIONS)
def test_the_order_of_networks_and_of_proxies_changes_no_score(rule):
    *columns, _, _ = TABLES["no ties"]
    expected = given(rule, *columns).combine(columns)
    backwards = [column[::-1] for column in columns[::-1]]
    assert given(rule, *backwards).combine(backwards) == expected[::-1]
    # nor does what is known to be equal, and is scored once
    twice = [column + column for column in columns]
    assert given(rule, *twice).combine(twice) == expected * 2


def test_scores_that_are_lower_when_better_are_turned_round():
    """TE-NAS by hand: condition numbers 10, 100, 50 take places 312, regions 7, 3, 3 take 211."""
    parts = Given(10.0, 100.0, 50.0, name="ntk", higher_is_better=False), Given(7, 3, 3, name="regions")
    scores = operation_scores(Combination(parts, "rank"), ToySupernet(), MIXING, [2], BATCH)[2]
    assert scores == [5, 2, 3]
    assert lowest(scores) == 1  # without the second candidate the network trains worst and expresses least


def test_te_nas_is_its_two_proxies_by_rank():
    tenas = PROXIES.get("tenas")
    assert tenas.parts == (PROXIES.get("ntk"), PROXIES.get("linear_regions"))
    assert tenas.rule == "rank"
    assert tenas.needs_gradients


def test_a_network_alone_has_no_score():
    with pytest.raises(UserError, match="proxy0 and proxy1 together compare networks: one alone has no"):
        given("rank", [1], [2]).score(torch.nn.Identity(), BATCH)


def test_a_combination_needs_what_its_parts_need():
    hungry = Given(1.0)
    hungry.needs_gradients = True
    hungry.needs_relus, hungry.least_images = True, 3
    both = Combination([Given(1.0), hungry], "vote")
    assert (both.needs_labels, both.needs_gradients, both.needs_double) == (False, True, False)
    assert (both.needs_relus, both.least_images) == (True, 3)
    assert both.higher_is_better
    assert both.source == "none; none"


# ---- names


def test_names_of_proxies(monkeypatch):
    jacob, nwot = PROXIES.get("jacob"), PROXIES.get("nwot")
    pair = Combination([Given(1.0, name="first"), Given(2.0, name="second")], "rank")
    monkeypatch.setitem(PROXIES._entries, "pair", pair)
    monkeypatch.setitem(PROXIES._lines, "pair", "")
    assert proxy_of(["jacob"], "vote") is jacob
    assert proxy_of(["pair"], "vote") is pair
    assert proxy_of(["nwot", "jacob"], "vote").parts == (nwot, jacob)
    assert proxy_of(["nwot", "jacob"], "vote").rule == "vote"
    # a combination among several is taken apart
    assert proxy_of(["jacob", "pair"], "vote").parts == (jacob, *pair.parts)
    assert proxy_of(["pair", "jacob"]).name == "first,second,jacob"
    for names, rule, message in [
        ("jacob,nwt", "rank", "unknown proxy 'nwt': choose from nwot, "),
        ("jacob,nwot,jacob", "rank", "the proxy 'jacob' comes twice in 'jacob,nwot,jacob': leave one out"),
        ("pair,pair", "rank", "the proxy 'first' comes twice in 'pair,pair'"),
        ("jacob,nwot", "ranks", "unknown combination 'ranks': choose from rank, log_rank, vote"),
    ]:
        with pytest.raises(UserError) as error:
            proxy_of(names.split(","), rule)
        assert str(error.value).startswith(message)


# ---- in the search, against the same worked out step by step

VALUES = {
    "a": ((1, 4), (3, 2), (9, 1, 3), (5, 6), (2, 8), (7, 1)),
    "b": ((5, 2), (1, 7), (1, 8, 2), (9, 1), (3, 2), (1, 3)),
    "c": ((2, 9), (6, 6), (4, 5, 6), (3, 8), (8, 2), (2, 4)),
}


def compared(rule, rows):
    """The scores of networks (rows of three), by counting."""
    others = set(rows)
    if rule == "log_rank":
        count = [[sum(o[i] <= row[i] for o in others) for i in range(3)] for row in rows]
        ties = [[sum(o[i] == row[i] for o in others) for i in range(3)] for row in rows]
        places = [[(2 * c - t + 1) / 2 for c, t in zip(*pair)] for pair in zip(count, ties)]
        return [math.fsum(math.log(place / len(others)) for place in row) for row in places]
    if rule == "rank":
        return [sum(len({o[i] for o in others if o[i] <= row[i]}) for i in range(3)) for row in rows]

    def majority(row, other):
        lead = sum(x > y for x, y in zip(row, other)) - sum(x < y for x, y in zip(row, other))
        return (lead > 0) - (lead < 0)

    return [sum(majority(row, other) for other in others) for row in rows]


def lowest_removal(rule, mixing, choices):
    """The choice and candidate without which the combined score is lowest, the first of equals."""
    removals = [(choice, o) for choice in choices for o in range(len(mixing[choice]))]
    rows = []
    for removal in removals:
        weights = sum(remove(mixing, *removal), ())
        rows.append(tuple(sum(w * v for w, v in zip(weights, sum(part, ()))) for part in VALUES.values()))
    scores = compared(rule, rows)
    return removals[scores.index(min(scores))]


@pytest.mark.parametrize("rule", COMBINATIONS)
@pytest.mark.parametrize("order", ["random", "global_op_greedy"])
def test_a_search_against_counting(rule, order):
    proxy = Combination([ToyProxy(values) for values in VALUES.values()], rule)
    search = toy_search(ORDERS.get(order), proxy, seed=4)
    genotype, decisions = search.discretise(search.draw())
    mixing, undecided = MIXING, ([0, 1, 2], [3, 4, 5])
    for number, decision in enumerate(decisions):
        group = undecided[number % 2]
        choices = [decision.choice] if order == "random" else group  # over all of a group's removals
        assert (decision.choice, decision.candidate) == lowest_removal(rule, mixing, choices)
        mixing = decide(mixing, decision.choice, decision.candidate)
        group.remove(decision.choice)
    assert undecided == ([], [])
    assert genotype == "".join("xyz"[row.index(1.0)] for row in mixing)


# ---- in the validation


def test_validation_keeps_each_proxys_scores_and_goes_on_from_any():
    data = toy_data()
    draws = [BatchDraws(torch.tensor([i]), data.augmentation.draw(1)) for i in range(3)]
    validated = Validated("net", torch.nn.Identity(), draws)
    fresh = []

    def scores(done, *columns):
        proxy = Combination([Given(*columns[0]), Given(*columns[1], higher_is_better=False)], "rank")
        return validation_scores(validated, proxy, data, torch.device("cpu"), done, fresh.append)

    assert scores([], [1.0, 2.0, 3.0], [7.0, 8.0, 9.0]) == [(1, -7), (2, -8), (3, -9)]
    assert fresh == [(1, -7), (2, -8), (3, -9)]
    fresh.clear()
    assert scores([(1, -7), (2, -8)], [3.0], [9.0]) == [(1, -7), (2, -8), (3, -9)]
    assert fresh == [(3, -9)]


def test_sums_over_minibatches():
    assert summed([(0.1, 1)] * 10) == (1.0, 10)  # exact, whatever the order
    [both, large, low] = summed([(INF, 1e308, -INF), (-INF, 1e308, 3)])
    assert math.isnan(both)
    assert (large, low) == (INF, -INF)


def test_networks_are_compared_once_all_are_scored():
    sums = {"w": (1, 20, 7), "x": (3, 40, 8), "y": (4, 10, 5), "z": (2, 30, 6)}
    proxy = given("vote", [], [], [])
    assert combined(proxy, sums) == {"w": -1, "x": 3, "y": -3, "z": 1}
    assert best_genotype(combined(proxy, sums)) == "x"
    assert combined(Given(), {"w": (1.5,), "x": (NAN,)})["w"] == 1.5
    even = combined(given("vote", [], []), {"v": (NAN, 0), "w": (1, 2), "x": (2, 1)})
    assert best_genotype(even) == "w"  # the first of equals
    with pytest.raises(UserError, match="no score to choose by"):
        highest(list(combined(proxy, {"w": (NAN, 0, 0)}).values()))


# ---- scores that are never chosen


def test_the_first_of_each_proxy_is_said_with_its_place_and_all_are_counted(caplog):
    unusable = Unusable("search")
    one = Given(1.0, NAN, -INF, NAN, 2.0, name="one")
    again = Given(4.0, 3.0, 2.0, 1.0, INF, name="again")
    both = watched(Combination([one, again], "rank"), unusable)
    # "c" has candidates x, y and z, "a" has x and y
    for unusable.member in (0, 1):
        operation_scores(both, ToySupernet(), MIXING, [2, 0], BATCH)
    unusable.tell()
    never = "such a score is never chosen, and others are counted"
    assert caplog.messages == [
        f"search: one gave NaN for member 0, choice c, candidate y: {never}",
        f"search: again gave infinity for member 0, choice a, candidate y: {never}",
        "search: 6 of 20 scores were NaN or infinite",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_edges_have_a_place_too(caplog):
    unusable = Unusable("search")
    edge_scores(watched(Given(1.0, NAN), unusable), ToySupernet(), MIXING, [0, 1], BATCH)
    assert "given gave NaN for member 0, choice b as a whole: such" in caplog.text


def test_the_worst_score_is_no_matter_for_a_word(caplog):
    unusable = Unusable("validation")
    down = Given(name="down", higher_is_better=False)
    for score in (INF, 1.0, -INF, NAN):
        unusable.look_at(down, "network n, minibatch 1", down.signed(score))
    # where lower is better infinity is the worst score, which is legal, and minus infinity none
    assert caplog.messages == [
        "validation: down gave minus infinity for network n, minibatch 1: such a score is never chosen, and "
        "others are counted"
    ]
    unusable.tell()
    assert caplog.messages[-1] == "validation: 2 of 4 scores were NaN or infinite"


def test_nothing_is_said_of_scores_that_are_all_usable(caplog):
    unusable = Unusable("search")
    for score in (1.0, -INF):
        unusable.look_at(Given(), "network n", score)
    unusable.tell()
    assert caplog.messages == []


def test_a_watched_proxy_is_the_proxy_otherwise():
    down = Given(3.0, 1.0, higher_is_better=False)
    down.needs_labels = down.needs_double = down.needs_relus = True
    down.least_images = 5
    unusable = Unusable("search")
    for name in Proxy.__annotations__:
        assert getattr(Watched(down, unusable), name) == getattr(down, name)
    several = watched(proxy_of(["nwot", "jacob"], "vote"), unusable)
    assert (type(several), several.rule) == (Combination, "vote")
    assert [part.proxy for part in several.parts] == [PROXIES.get("nwot"), PROXIES.get("jacob")]
    assert watched(proxy_of(["nwot"]), unusable).proxy is PROXIES.get("nwot")
