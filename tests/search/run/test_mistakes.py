"""What a run refuses or says: damaged files, folders of something else, sizes that do not fit together."""

import json
import math

import pytest

from foresight_ext.measures import PROXIES
from foresight_ext.search import discretise as core
from tests.running import read
from tests.search.run.runs import (
    BEST,
    FIXED,
    NAME,
    OTHER,
    POOL,
    SMALL,
    TINY,
    content,
    done,
    few_images,
    journal,
    lines,
    refused,
)

# ---- damaged files


def test_a_damaged_config_is_told(out):
    (out / NAME / "config.json").write_text('{"settings"')
    assert refused(out, *SMALL) == (
        f"{out / NAME}/config.json is damaged: use --force to start afresh, or --save NAME"
    )


@pytest.mark.parametrize(
    "stage, damage",
    [
        ("search", lambda entry: None),
        ("search", lambda entry: "not an object"),
        ("search", lambda entry: {**entry, "choice": "4<-0"}),
        ("search", lambda entry: {**entry, "candidate": "sep_conv_3x3"}),
        ("search", lambda entry: {**entry, "scores": ["high"] * 5}),
        ("search", lambda entry: {**entry, "scores": 3}),
        ("search", lambda entry: {**entry, "member": []}),
        ("search", lambda entry: {key: entry[key] for key in entry if key != "seconds"}),
        ("validation", lambda entry: {**entry, "genotype": OTHER}),
        ("validation", lambda entry: {**entry, "score": None}),
    ],
)
def test_a_damaged_line_of_a_journal_is_told(out, stage, damage):
    folder = out / NAME
    for name in (POOL, BEST) if stage == "search" else (BEST,):
        (folder / name).unlink()
    path = folder / f"{stage}.jsonl"
    text = lines(path)
    text[4] = json.dumps(damage(json.loads(text[4]))).encode()
    path.write_bytes(b"".join(line + b"\n" for line in text))
    before = content(folder)
    assert refused(out, *SMALL) == f"{path} is damaged in line 5: --force starts the run afresh"
    assert {**content(folder), **before} == content(folder)  # TensorBoard may have made a file


def test_a_decision_taken_twice_is_told(out):
    path = out / NAME / "search.jsonl"
    text = lines(path)
    path.write_bytes(b"".join(line + b"\n" for line in [*text[:3], text[1], *text[4:]]))
    (out / NAME / POOL).unlink()
    assert refused(out, *SMALL) == f"{path} is damaged in line 4: --force starts the run afresh"


@pytest.mark.parametrize("name", [POOL, BEST])
def test_a_damaged_result_is_told_and_made_again_once_deleted(uninterrupted, out, calls, name):
    path = out / NAME / name
    for text in ("", "[]", "{}", '{"networks": 3}', '{"networks": [{"id": "0"}]}'):
        path.write_text(text)
        assert refused(out, *SMALL) == f"{path} is damaged: delete it, and the same command makes it again"
    path.unlink()
    done(out, *SMALL)
    assert path.read_bytes() == (uninterrupted.folder / name).read_bytes()
    assert calls == {"decisions": 0, "minibatches": 0}


def test_scores_that_decide_nothing_end_the_run_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(PROXIES.get("jacob"), "score", lambda network, batch: math.nan)
    message = refused(tmp_path, *TINY)
    told = "the proxy gave no score to choose by (all NaN or infinite): [nan]"
    assert message == f"jacob in the validation: {told}"
    assert journal(tmp_path / NAME, "validation")[0]["score"] == "nan"
    assert "no score to choose by" in refused(tmp_path, *TINY)  # read back, and said again


# ---- sizes that do not fit together


@pytest.mark.parametrize(
    "batch_size, rounds, batches, search_says, validation_says",
    [
        (718, 2, [718, 718], 0, 0),
        (719, 1, [719], 1, 0),
        (720, 2, [720, 717], 1, 1),
        (2000, 3, [1437], 1, 1),
    ],
)
def test_sizes_beyond_the_images_are_said_once(
    tmp_path, monkeypatch, batch_size, rounds, batches, search_says, validation_says
):
    seen = []
    monkeypatch.setattr(
        PROXIES.get("jacob"), "score", lambda network, batch: float(seen.append(len(batch.inputs)) or 1)
    )
    sizes = [f"--batch_size={batch_size}", f"--validate_rounds={rounds}", "--pool_size=1"]
    result = done(tmp_path, *FIXED, *sizes, "--edge_decision=sample")
    assert seen == batches
    search_line = (
        f"search: minibatches have 718 images, half of the training images, not the {batch_size} asked for"
    )
    minibatches = "1 minibatch" if rounds == 1 else f"{rounds} minibatches"
    validation_line = (
        f"validation: {minibatches} of {batch_size} images would take more than the 1437 training images: "
        f"{len(batches)} hold them all"
    )
    log = (result.folder / "log.txt").read_text()
    assert result.out.count(search_line) == log.count(search_line) == search_says
    assert result.out.count(validation_line) == log.count(validation_line) == validation_says
    assert result.says("asked for") == search_says
    assert result.says("would take more") == validation_says


def test_search_minibatches_are_cut_to_half_of_the_images(tmp_path, monkeypatch):
    seen = []

    def scores(proxy, supernet, mixing, choices, batch, allowed):
        seen.append(len(batch.inputs))
        return {choice: [1.0, 2.0, 3.0, 4.0, 5.0] for choice in choices}

    monkeypatch.setattr(core, "operation_scores", scores)
    done(tmp_path, *TINY, "--batch_size=1000", "--stage=search")
    assert seen == [718] * 6


def test_a_data_set_of_few_images(tmp_path):
    one = few_images(tmp_path / "one", 1)
    assert refused(tmp_path / "out", *TINY, *one) == (
        "--dataset folder: 2 training images are needed, there is 1"
    )
    assert not (tmp_path / "out").exists()
    two = few_images(tmp_path / "two", 2)
    result = done(tmp_path / "out", *TINY, *two, "--image_size=8", "--mean=0.5,0.5,0.5", "--std=1,1,1")
    assert result.says("search: minibatches have 1 image, half of the training images") == 1
    settings = read(result.folder, "config.json")["settings"]
    assert (settings["image_size"], settings["mean"], settings["std"]) == (8, [0.5] * 3, [1.0] * 3)


def test_candidates_that_tie_are_said_once(tmp_path, monkeypatch):
    def scores(proxy, supernet, mixing, choices, batch, allowed):
        return {choice: [7.5] * 5 for choice in choices}

    monkeypatch.setattr(core, "operation_scores", scores)
    result = done(tmp_path, *TINY, "--stage=search", "--edge_decision=order")
    told = "jacob gives all candidates of 1<-0 the same score, 7.5: the first stays (said once)"
    assert result.says(told) == result.says("the same score") == 1
