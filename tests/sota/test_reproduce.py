"""Published DARTS architectures from their seeds: which searches, where members part from them, the table."""

import csv
import json
from functools import partial

import pytest

from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSettings
from foresight_ext.runs.folder import Place
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.sweep import searched
from sota.cnn import reproduce
from sota.cnn.notation import format_genotype, parse_genotype
from sota.cnn.published import PLACES, Difference, Parting, Published, agreeing, partings, places, published
from sota.cnn.space import DartsSpace
from tests.running import done, refused


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A pool of two of S3, as small as can be."""
    settings = SearchSettings(seed=1, pool_size=2, batch_size=4)
    place = Place(tmp_path_factory.mktemp("runs"))
    space = DartsSpace("s3").smallest()
    return searched(SearchRun(space, ImageSettings("digits"), settings, place, Compute("cpu")), (1,))


def test_published_searches():
    every = {one.name: one for one in published()}
    assert next(iter(every)) == "init_pt_s5_C10_0_100_N10"
    main = [one for one in every.values() if (one.space, one.order) == ("s5", "random")]
    assert len(main) == 28
    assert {(one.N, one.V) for one in main} == {(1, 0), *((n, v) for n in (5, 10) for v in (1, 10, 100))}
    assert every["init_pt_s3_C10_2"] == Published("init_pt_s3_C10_2", "s3", 2, "random", 10, 100)
    assert every["sample_2500_3"].order == "sample"
    assert every["global_pt_s5_C10_1_100_N10"].order == "global_op_greedy"
    assert len(every) == 28 + 8 + 4 + 12 + 4
    assert not any("C100" in name or "svhn" in name or "_in_" in name for name in every)


@pytest.mark.parametrize("member", [0, 1])
def test_a_member_never_parts_from_itself(found, member):
    entries = [entry for entry in found.entries if entry["member"] == member]
    genotype = parse_genotype(found.pool[member])
    assert agreeing(genotype, genotype) == PLACES
    assert partings(entries, "s3", genotype) == []


def test_parts_where_an_operation_differs(found):
    entries = [entry for entry in found.entries if entry["member"] == 0]
    genotype = parse_genotype(found.pool[0])
    operation, source = genotype.reduce[-1]  # of the last node
    other = next(name for name in ("skip_connect", "sep_conv_3x3") if name != operation)
    changed = genotype._replace(reduce=(*genotype.reduce[:-1], (other, source)))
    [parting] = partings(entries, "s3", changed)
    number, entry = next(
        pair for pair in enumerate(entries, start=1) if pair[1].get("choice") == f"reduce 5<-{source}"
    )
    scores = dict(zip(("none", "skip_connect", "sep_conv_3x3"), entry["scores"]))
    if entry["candidate"] == "none":  # which reads as the first other operation
        pytest.skip("the edge kept `none`")
    margin = scores[other] - scores[operation]
    assert parting == Parting(number, f"reduce 5<-{source}", operation, other, margin)
    assert margin >= 0
    assert agreeing(genotype, changed) == PLACES - 1
    kept, published = f"{operation}@{source}", f"{other}@{source}"
    assert places(entries, "s3", genotype, changed) == [
        Difference("reduce 5, second", kept, published, parting)
    ]


def test_parts_where_an_input_differs():
    entries = [{"node": "normal 3", "dropped": ["normal 3<-1"], "scores": [3.0, 5.0, 4.5]}]
    architecture = skips({})
    # the node reads inputs 0 and 2 where 0 and 1 are published: the highest score goes
    [parting] = partings(entries, "s5", architecture)
    assert parting == Parting(1, "normal 3", "input 2", "input 1", 0.5)
    [place] = places(entries, "s5", skips({"normal 3": (0, 2)}), architecture)
    assert place == Difference("normal 3, second", "skip_connect@2", "skip_connect@1", parting)
    assert place.as_written()["decided"] == "normal 3: input 2 for input 1"


def test_each_input_of_a_node_has_its_margin():
    entries = [
        {"node": "reduce 4", "dropped": ["reduce 4<-2", "reduce 4<-3"], "scores": [1.0, 2.0, 5.0, 9.0]}
    ]
    architecture = skips({"reduce 4": (2, 3)})
    found = [
        Parting(1, "reduce 4", "input 1", "input 2", 3.0),
        Parting(1, "reduce 4", "input 1", "input 3", 7.0),
    ]
    assert partings(entries, "s5", architecture) == found
    member = skips({"normal 2": (0, 1)})
    assert [place.decision for place in places(entries, "s5", member, architecture)] == found
    # of 0 and 1 where 1 and 2 are published, one decision moves both
    architecture = skips({"reduce 4": (1, 2)})
    [parting] = partings(entries, "s5", architecture)
    assert parting == Parting(1, "reduce 4", "input 0", "input 2", 4.0)
    differing = places(entries, "s5", member, architecture)
    assert [(place.place, place.decision) for place in differing] == [
        ("reduce 4, first", parting),
        ("reduce 4, second", parting),
    ]


def test_random_networks_have_no_decisions():
    [place] = places([], "s5", skips({"normal 5": (0, 4)}), skips({}))
    assert (place.decision, place.as_written()["margin"]) == (None, None)


def skips(inputs):
    """A genotype of skip connections that read the inputs of some nodes, 0 and 1 of all others."""
    told = {f"{cell}_concat": [2, 3, 4, 5] for cell in ("normal", "reduce")}
    for cell in ("normal", "reduce"):
        read = [inputs.get(f"{cell} {node}", (0, 1)) for node in (2, 3, 4, 5)]
        told[cell] = [["skip_connect", source] for pair in read for source in pair]
    return parse_genotype(json.dumps(told))


def test_table(found, tmp_path, monkeypatch):
    """With a search of this project's own as what was published, all agrees."""
    architecture = parse_genotype(found.pool[1])
    own = Published("init_pt_s3_C10_1", "s3", 1, "random", 2, 1)
    other = Published("init_pt_s3_C10_2", "s3", 2, "random", 2, 1)
    monkeypatch.setattr(Published, "genotype", property(lambda one: architecture))
    monkeypatch.setattr(reproduce, "published", lambda: [own, other])
    small = partial(DartsSpace, search_channels=2, search_layers=3)
    monkeypatch.setattr("sota.cnn.space.DartsSpace", small)
    few = ["--dataset=digits", "--batch_size=4", "--seeds=1", "--pool_size=2", "--device=cpu"]
    told = done(reproduce.main, f"--out={tmp_path}", *few)
    [record] = json.loads((tmp_path / "zerocostpt-published/published.json").read_text())
    assert (record["closest agrees"], record["closest member"], record["closest parts"]) == (16, 1, [])
    assert record["closest places"] == []
    assert len(record["winner places"]) == PLACES - record["winner agrees"]
    with (tmp_path / "zerocostpt-published/places.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["architecture"], row["member"], row["place"]) for row in rows] == [
        ("init_pt_s3_C10_1", "winner", place["place"]) for place in record["winner places"]
    ]
    with (tmp_path / "zerocostpt-published/published.csv").open() as file:
        [row] = csv.DictReader(file)
    assert (row["winner"], row["closest margins"], row["closest parts at"]) == (str(record["winner"]), "", "")
    margins = [f"{place['margin']:.3g}" for place in record["winner places"]]
    assert row["winner margins"] == ", ".join(margins)
    assert record["parameters"] > 0
    winner = found.winner(2, 1)[0]
    assert record["winner agrees"] == agreeing(parse_genotype(winner), architecture)
    assert format_genotype(parse_genotype(winner)) == winner
    assert "1 are members of the pool" in told[-4]
    assert told[-3].startswith("1 more are not of these --seeds, --spaces")


def test_pools_of_random_architectures_of_one_seed_have_folders_of_their_own(found, tmp_path, monkeypatch):
    architecture = parse_genotype(found.pool[1])
    own = [Published(f"sample_{size}_1", "s3", 1, "sample", size, 1) for size in (2, 3)]
    monkeypatch.setattr(Published, "genotype", property(lambda one: architecture))
    monkeypatch.setattr(reproduce, "published", lambda: own)
    small = partial(DartsSpace, search_channels=2, search_layers=3)
    monkeypatch.setattr("sota.cnn.space.DartsSpace", small)
    few = ["--dataset=digits", "--batch_size=4", "--seeds=1", "--pools=2,3", "--device=cpu"]
    done(reproduce.main, f"--out={tmp_path}", *few)
    records = json.loads((tmp_path / "zerocostpt-published/published.json").read_text())
    assert [one["architecture"] for one in records] == ["sample_2_1", "sample_3_1"]


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--spaces=s5,s5"], "--spaces: s5 comes twice in 's5,s5': leave one out"),
        (["--spaces=s9"], "--spaces: 's9' is no space: choose from s1, s2"),
        (
            ["--spaces=s1", "--edge_decision=sample"],
            "no published architecture is of these --seeds, --spaces, --e",
        ),
        (["--seeds=7"], "no published architecture is of these --seeds, --spaces"),
    ],
)
def test_mistakes(arguments, told):
    assert told in refused(reproduce.main, *arguments)
