"""Going on from a published architecture: the later members are those of its random stream."""

import json

import pytest

from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSettings
from foresight_ext.measures import PROXIES
from foresight_ext.runs.folder import Place
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.sweep import searched
from sota.cnn.space import DartsSpace
from tests.benchmarks.published_pools import go_on, main
from tests.running import refused, run, stopped_after

SETTINGS = SearchSettings(seed=2, pool_size=3, batch_size=4)
NAME = "init_pt_s3_C10_2"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A pool of three of S3, as small as can be."""
    small, place = DartsSpace("s3").smallest(), Place(tmp_path_factory.mktemp("runs"))
    return searched(SearchRun(small, ImageSettings("digits"), SETTINGS, place, Compute("cpu")), ())


def pool_search():
    device, _ = Compute("cpu").choose()
    data, order = ImageSettings("digits").open("train"), ORDERS.get("random")
    return PoolSearch(DartsSpace("s3").smallest(), data, PROXIES.get("jacob"), order, 2, 4, device)


def test_what_was_found_goes_on_as_it_did(found):
    new = []
    pool = go_on(pool_search(), found.pool, 3, {0: found.pool[0]}, {}, lambda *one: new.append(one))
    assert pool == found.pool
    assert {member for member, _ in new} == {1, 2}


def test_another_goes_on_by_its_own_stream(found):
    other = found.pool[2].replace("sep_conv_3x3", "skip_connect")
    assert other != found.pool[2]
    new = []
    pool = go_on(pool_search(), found.pool, 3, {1: other}, {}, lambda *one: new.append(one))
    assert pool[:2] == [found.pool[0], other]
    search = pool_search()
    search.draw()
    search.draw(found.pool[0])
    genotype, decisions = search.discretise(search.draw(other))
    assert (pool[2], new) == (genotype, [(2, decision) for decision in decisions])
    before = [entry["scores"] for entry in found.entries if entry["member"] == 2]
    assert [decision.scores for decision in decisions] != before


def test_a_pool_goes_on_beyond_its_end(found):
    pool = go_on(pool_search(), found.pool[:1], 3, {0: found.pool[0]}, {}, lambda *one: None)
    assert pool == found.pool


def test_command_is_stopped_goes_on_and_prints_a_table(found, tmp_path):
    arguments = [str(found.path), f"--go_on=2={NAME}", f"--out={tmp_path}", "--threads=1"]
    with stopped_after(5):
        assert run(main, *arguments)[0] == 130
    journal = tmp_path / f"2={NAME}.jsonl"
    before = journal.read_text()
    assert len(before.splitlines()) == 5
    code, told, error = run(main, *arguments)
    assert (code, error) == (0, "")
    assert journal.read_text().startswith(before)
    assert {json.loads(line)["member"] for line in journal.read_text().splitlines()} == {2}
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")][2:]
    assert [row[2].strip(" |") for row in rows][:2] == ["as it was", "given"]
    assert "`init_pt_s3_C10_2" in rows[2][2]

    code, told, error = run(main, *arguments, "--pool_size=4")
    more = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")][2:]
    assert (code, error, more[:3]) == (0, "", rows)
    assert more[3][:2] == ["| 4", ""]
    assert "`init_pt_s3_C10_2" in more[3][2]


@pytest.mark.parametrize(
    "pair, message",
    [
        ("1", "argument --go_on: '1' is no MEMBER=NAME such as 1=init_pt_s5_C10_2_1_N5"),
        (
            "0=PT",
            "--go_on: 'PT' is not published of this space and seed: choose from init_pt",
        ),
        (f"5={NAME}", "--go_on: the first member must be 1 to 4: the pool has 3"),
        (f"4={NAME}", "--go_on: member 4 of 3: --pool_size may ask for more"),
        (f"0={NAME}", "--go_on: the first member must be 1 to 4: the pool has 3"),
    ],
)
def test_a_mistake_is_told(found, pair, message):
    assert message in refused(main, str(found.path), f"--go_on={pair}")


def test_a_folder_of_no_search_is_told(tmp_path):
    told = f"'{tmp_path}' is no run folder of a search: it has no networks_pool.json"
    assert refused(main, str(tmp_path), f"--go_on=1={NAME}") == told
