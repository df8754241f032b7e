"""Whole runs with several proxies on digits: what they leave, how they go on after a kill, what they say."""

import json
import math
import re
import shutil

import pytest

from foresight_ext.measures import PROXIES
from foresight_ext.measures.jacob import KernelProxy
from nasbench201.genotype import OPERATIONS
from tests.running import read
from tests.search.run.runs import BEST, POOL, content, done, journal, lines, refused, without_seconds

SMALL = ["--dataset=digits", "--cells=1", "--init_channels=2", "--threads=1", "--device=cpu", "--seed=1"]
SMALL += ["--batch_size=8", "--pool_size=3", "--validate_rounds=2"]
BOTH = [*SMALL, "--metrics=jacob,nwot", "--combine=vote"]
NAME = "nas-bench-201/zerocostpt-seed1-digits-jacob+nwot-vote-random"
DECISIONS = 3 * 6


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return done(tmp_path_factory.mktemp("out"), *BOTH)


@pytest.fixture
def out(uninterrupted, tmp_path):
    """A folder for --out with a copy of the finished run."""
    shutil.copytree(uninterrupted.folder, tmp_path / "out" / NAME)
    return tmp_path / "out"


def test_what_a_run_leaves(uninterrupted):
    folder = uninterrupted.folder
    assert str(folder).endswith(NAME)
    settings = read(folder, "config.json")["settings"]
    assert (settings["metrics"], settings["combine"]) == ("jacob,nwot", "vote")
    summary, entries = read(folder, "summary.json"), journal(folder, "validation")
    assert (summary["metrics"], summary["combine"]) == ("jacob,nwot", "vote")
    genotypes = list(dict.fromkeys(network["genotype"] for network in read(folder, POOL)["networks"]))
    assert len(genotypes) > 1
    assert [entry["genotype"] for entry in entries] == [one for one in genotypes for _ in range(2)]
    assert list(summary["part_scores"]) == ["jacob", "nwot"]
    for part, sums in summary["part_scores"].items():
        for genotype in genotypes:
            of_it = [entry["scores"][part] for entry in entries if entry["genotype"] == genotype]
            assert sums[genotype] == math.fsum(of_it)
    for genotype, votes in summary["scores"].items():
        jacob, nwot = summary["part_scores"].values()
        # of two proxies one prefers and the other does not mind less
        leads = [
            (jacob[genotype] > jacob[o])
            + (nwot[genotype] > nwot[o])
            - (jacob[genotype] < jacob[o])
            - (nwot[genotype] < nwot[o])
            for o in genotypes
        ]
        assert votes == sum(lead > 0 for lead in leads) - sum(lead < 0 for lead in leads)
        told = f"jacob {jacob[genotype]:.4f}, nwot {nwot[genotype]:.4f} for {genotype}"
        assert f"validation: {told}" in uninterrupted.out.splitlines()
        assert re.search(rf"^ +{votes:.4f} +\dx  {re.escape(genotype)}$", uninterrupted.out, re.M)
    assert summary["genotype"] == max(genotypes, key=summary["scores"].get) == read(folder, BEST)["networks"]


def test_with_one_proxy_combine_is_no_setting(tmp_path):
    folder = done(tmp_path, *SMALL, "--combine=vote").folder
    assert folder.name == "zerocostpt-seed1-digits-jacob-random"
    config, summary = read(folder, "config.json"), read(folder, "summary.json")
    assert "combine" not in config["settings"]
    assert config["other_options"]["combine"] == "vote"
    assert not {"combine", "part_scores"} & set(summary)
    assert [list(entry) for entry in journal(folder, "validation")][0] == ["genotype", "score", "seconds"]


def test_te_nas_combines_by_rank_whatever_combine_says(tmp_path):
    small = [*SMALL, "--metrics=tenas", "--combine=vote", "--pool_size=2", "--validate_rounds=1"]
    folder = done(tmp_path, *small).folder
    assert folder.name == "zerocostpt-seed1-digits-tenas-random"
    assert "combine" not in read(folder, "config.json")["settings"]
    for entry in journal(folder, "search"):
        # of five candidates two ranks: 2 is the worst in both, 10 the best in both
        assert all(score in range(2, 11) for score in entry["scores"])
        assert entry["candidate"] == OPERATIONS[entry["scores"].index(min(entry["scores"]))]
    ntk, regions = read(folder, "summary.json")["part_scores"].values()
    for entry in journal(folder, "validation"):
        scores = entry["scores"]
        assert scores == {"ntk": ntk[entry["genotype"]], "linear_regions": regions[entry["genotype"]]}
        assert scores["ntk"] < -1 < 1 <= scores["linear_regions"]  # a condition number, negated


@pytest.mark.parametrize(
    "decisions, rounds, half",
    [(0, 0, b""), (7, 0, b'{"member": 1,'), (DECISIONS, 1, b'{"genotype": "|'), (DECISIONS, 3, b"")],
)
def test_goes_on_where_it_was(uninterrupted, out, decisions, rounds, half):
    folder = out / NAME
    for stage, count in {"search": decisions, "validation": rounds}.items():
        path = folder / f"{stage}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines(path)[:count]))
    with (folder / ("validation.jsonl" if rounds else "search.jsonl")).open("ab") as file:
        file.write(half)
    for name in (POOL, BEST, "summary.json")[rounds > 0 :]:
        (folder / name).unlink()
    done(out, *BOTH)
    for name in (POOL, BEST):
        assert (folder / name).read_bytes() == (uninterrupted.folder / name).read_bytes()
    for stage in ("search", "validation"):
        expected = without_seconds(journal(uninterrupted.folder, stage))
        assert without_seconds(journal(folder, stage)) == expected
    again, before = read(folder, "summary.json"), read(uninterrupted.folder, "summary.json")
    assert {**again, "seconds": 0} == {**before, "seconds": 0}


def test_a_finished_run_is_reported_again(out):
    before = content(out / NAME)
    (out / NAME / "summary.json").unlink()
    assert done(out, *BOTH).says("finished before, nothing to compute") == 1
    assert content(out / NAME) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: {**entry, "scores": {"jacob": 1.0}},
        lambda entry: {**entry, "scores": [1.0, 2.0]},
        lambda entry: {**entry, "scores": {"jacob": 1.0, "nwot": None}},
        lambda entry: {"genotype": entry["genotype"], "score": 1.0, "seconds": 1.0},
    ],
)
def test_a_damaged_line_is_told(out, damage):
    path = out / NAME / "validation.jsonl"
    text = lines(path)
    text[1] = json.dumps(damage(json.loads(text[1]))).encode()
    path.write_bytes(b"".join(line + b"\n" for line in text))
    (out / NAME / BEST).unlink()
    assert refused(out, *BOTH) == f"{path} is damaged in line 2: --force starts the run afresh"


def without_some(self, supernet, mixings, batch, scores=KernelProxy.score_mixings):
    """NaN instead of the first score."""
    return [math.nan, *scores(self, supernet, mixings, batch)[1:]]


def test_nan_is_said_once_for_each_proxy_and_never_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(KernelProxy, "score_mixings", without_some)
    monkeypatch.setattr(PROXIES.get("nwot"), "score", lambda network, batch: math.inf)
    message = refused(tmp_path, *BOTH)
    assert "the proxy gave no score to choose by (all NaN or infinite): [nan, " in message
    folder = tmp_path / NAME
    log = (folder / "log.txt").read_text()
    entries = journal(folder, "search")
    place = f"member 0, choice {entries[0]['choice']}, candidate none"
    for proxy in ("jacob", "nwot"):
        assert log.count(f"search: {proxy} gave NaN for {place}: such a score is never chosen") == 1
    # of each of two proxies, five for each decision
    assert log.count(f"search: {2 * DECISIONS} of {2 * 5 * DECISIONS} scores were NaN or infinite") == 1
    first = read(folder, POOL)["networks"][0]["genotype"]
    assert log.count(f"validation: nwot gave infinity for {first}, minibatch 1: such a score") == 1
    networks = len(journal(folder, "validation")) // 2
    assert log.count(f"validation: {2 * networks} of {4 * networks} scores were NaN or infinite") == 1
    assert log.count("never chosen") == 3
    for entry in entries:
        assert entry["scores"][0] == "nan"
        assert entry["candidate"] != "none"
    monkeypatch.undo()
    # a new process says it again
    monkeypatch.setattr(PROXIES.get("nwot"), "score", lambda network, batch: math.inf)
    (folder / "validation.jsonl").unlink()
    refused(tmp_path, *BOTH)
    assert (folder / "log.txt").read_text().count("validation: nwot gave infinity for ") == 2


def test_a_network_without_a_score_is_listed_last(tmp_path, monkeypatch):
    given = iter([math.nan, 1.0, 2.0])
    monkeypatch.setattr(PROXIES.get("jacob"), "score", lambda network, batch: next(given))
    result = done(tmp_path, *SMALL, "--validate_rounds=1")
    first = read(result.folder, POOL)["networks"][0]["genotype"]
    assert result.says(f"validation: jacob gave NaN for {first}, minibatch 1: such a score is never") == 1
    assert result.says("validation: 1 of 3 scores were NaN or infinite") == 1
    assert re.findall(r"^ +(\S+) +\dx  \|", result.out, re.M) == ["2.0000", "1.0000", "nan"]
    assert list(read(result.folder, "summary.json")["scores"].values()) == ["nan", 1.0, 2.0]
