"""The report: what stands on the page, what it may load, when it is written, and what is refused."""

import base64
import json
import re
import shutil
from xml.etree import ElementTree

import pytest

from foresight_ext.report.__main__ import main
from foresight_ext.report.heatmap import SHADES, heat_map, shades
from foresight_ext.report.page import MOST_SQUARES, renew_report
from foresight_ext.report.reading import read_run
from foresight_ext.search import BENCHMARKS, SPACES
from nasbench201 import networks_proposal
from nasbench201.benchmark import accuracies
from nasbench201.genotype import OPERATIONS
from tests.report.made import (
    CHOICES,
    DECISIONS,
    FIRST,
    SECOND,
    Page,
    decision,
    lines,
    made_run,
    write,
    write_choices,
)
from tests.running import TINY_NASBENCH201, done, read, refused
from tests.search.run.runs import table

OTHER = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("runs") / "a run")


@pytest.fixture
def trained(kept, tmp_path):
    """A run folder of the test's own, with the winner's training."""
    return shutil.copytree(kept, tmp_path / "trained")


@pytest.fixture
def folder(kept, tmp_path):
    """The same without the training: there are no curves to draw, which takes long."""
    return shutil.copytree(kept, tmp_path / "a run", ignore=shutil.ignore_patterns("training"))


def told(*folders, out=None):
    """The page of some run folders."""
    [line] = done(main, *map(str, folders), *([f"--out={out}"] if out else []))
    path = out or folders[0] / "report.html"
    assert line == f"report: {path}"
    return path.read_text()


def pictures(page):
    """The SVG files in a page, by their text alternatives."""
    head = "data:image/svg+xml;base64,"
    for image in page.of("img"):
        assert image["src"].startswith(head)
    return {image["alt"]: base64.b64decode(image["src"].removeprefix(head)) for image in page.of("img")}


# ---- what stands on the page ----


def test_every_score_is_in_a_title(folder):
    expected = []
    for member in (0, 1):
        decided = {place: (stays, scores) for number, place, stays, scores in DECISIONS if number == member}
        for place, names in CHOICES.items():  # rows stand in the network's order, not in the decisions'
            stays, scores = decided[place]
            for name, score in zip(names, scores):
                mark = ", dropped" if name in stays and place == "node 2" else ", kept" * (name == stays)
                expected.append(f"{name}: {score}{mark}".replace("-4.0", "-4").replace(".0,", ","))
    assert expected[:3] == ["conv: 0.5, kept", "skip: inf", "conv: 3.25"]
    assert [title.replace(".0", "") for title in Page(told(folder)).titles] == [
        title.replace(".0", "") for title in expected
    ]


def test_the_page_tells_the_run(trained):
    page = Page(told(trained))
    assert "finished: search, validation, training" in page.words
    assert [SECOND, "the winner", "1×", "12.0000"] in [row[:4] for row in page.rows]
    assert [FIRST, "1×", "3.0000"] in [row[:3] for row in page.rows]
    assert ["search", "2 of 2 discretisations, 6 decisions", "3.0", "3.0 s"] in page.rows
    assert ["validation", "2 of 2 networks, 4 minibatches", "2.0", "2.0 s"] in page.rows
    assert ["training", "3 of 3 epochs", "1.5", "1.5 s"] in page.rows
    assert ["in all", "6.5", "6.5 s"] in page.rows
    assert ["seed", "3"] in page.rows and ["torch", "2.6.0"] in page.rows
    assert ["test accuracy after epoch 3, the best by held-out accuracy", "88.12%"] in page.rows
    assert ["parameters", "1,234,567"] in page.rows
    assert "mean 6, from 4 to 8 in 2 minibatches" in [one.get("aria-label") for one in page.of("svg")]


def test_training_curves_and_drawings_are_pictures(trained):
    found = pictures(Page(told(trained)))
    assert list(found) == [
        f"Drawing of the toy cell: {SECOND}",
        "loss of 3 epochs: held-out from 2 to 0.6667",
        "accuracy of 3 epochs: held-out from 40% to 90.25%",
    ]
    assert found[f"Drawing of the toy cell: {SECOND}"] == (trained / "toy-cell.svg").read_bytes()
    curve = ElementTree.fromstring(found["accuracy of 3 epochs: held-out from 40% to 90.25%"])
    words = [one.text for one in curve.iter("{http://www.w3.org/2000/svg}text")]
    assert {"epoch", "accuracy (%)", "training", "held-out"} <= set(words)


def test_a_training_alone(trained):
    page = Page(told(trained / "training"))
    assert "finished: training" in page.words and f"Architecture: {SECOND}" in page.words
    assert len(pictures(page)) == 2 and "Decisions" not in page.words


def test_shades_of_a_row():
    assert shades([1.0, 3.0, 2.0]) == [0, SHADES, SHADES // 2]
    assert shades([5.0, 5.0]) == [0, 0]
    assert shades([float("nan"), 2.0, float("-inf"), 4.0]) == [None, 0, None, SHADES]
    assert shades([-1.7e308, 1.7e308]) == [0, SHADES]
    assert shades([]) == []


def test_a_heat_map_has_a_row_for_every_place(folder):
    run = read_run(folder)
    drawn = heat_map(0, run.members[0][:2], run.choices)
    assert [(row.place, row.step, row.outcome) for row in drawn.rows] == [
        ("1<-0", 2, "conv"),
        ("2<-0", 1, "skip"),
        ("node 2", 0, ""),
    ]
    assert [[square.mark for square in row.squares] for row in drawn.rows] == [["kept", ""], ["", "kept"], []]
    assert [head for _, _, head in drawn.heads] == ["conv", "skip"]
    [row] = [row for row in heat_map(0, run.members[0], run.choices).rows if row.place == "node 2"]
    assert ([square.mark for square in row.squares], row.outcome) == (["dropped", ""], "drops 1<-0")


def test_a_run_that_does_not_know_its_candidates_tells_what_was_kept(folder):
    (folder / "choices.txt").unlink()
    titles = Page(told(folder)).titles
    assert titles[:6] == [
        "candidate 1: 3.25",
        "skip: 1.5, kept",
        "conv: 0.5, kept",
        "candidate 2: inf",
        "candidate 1: 2.75",
        "candidate 2: 2.5",
    ]


def test_discretisations_of_several_processes_stand_in_order(folder):
    entries = [decision(*one) for one in DECISIONS]
    titles = Page(told(folder)).titles
    lines(folder / "search.jsonl", entries[3:4] + entries[:2] + entries[4:] + entries[2:3])
    assert Page(told(folder)).titles == titles


def test_two_runs_side_by_side(trained, tmp_path):
    other = made_run(tmp_path / "other", training=False, seed=4)
    text = told(trained, other)
    page = Page(text)
    assert page.words.startswith("Zero-Cost-PT: 2 runs") and len(page.titles) == 2 * 12
    assert '<tr class="differs"><th scope="row">seed</th><td>3</td><td>4</td></tr>' in text
    assert '<tr><th scope="row">dataset</th><td>digits</td><td>digits</td></tr>' in text
    heads = [text for text in page.text if text in ("trained", "other")]
    assert heads.count("trained") > heads.count("other") > 4  # one of them was trained


def test_runs_of_one_name_are_told_apart(folder, tmp_path):
    other = made_run(tmp_path / "elsewhere/a run", training=False)
    assert f"{folder.parent.name}/a run" in (words := Page(told(folder, other)).words)
    assert "elsewhere/a run" in words


def test_several_proxies(folder):
    lines(folder / "validation.jsonl", [{"genotype": SECOND, "scores": {"snip": -1.5, "jacob": "inf"}}])
    page = Page(told(folder))
    assert [SECOND, "the winner", "1×", "12.0000", "-1.5000", "inf"] in page.rows
    assert [FIRST, "1×", "3.0000", "–", "–"] in page.rows


def test_a_baseline_without_scores(folder):
    for name in ("search.jsonl", "validation.jsonl", "networks_pool.json"):
        (folder / name).unlink()
    measured = {"phone_latency": 12.0625, "tpu_latency": None}
    write(folder / "summary.json", {"genotype": SECOND, "sizes": {"params": 4321.0}, "measured": measured})
    words = Page(told(folder)).words
    assert "phone_latency: 12.0625" in words and "tpu_latency" not in words
    assert "params: 4,321" in words and "a run finished" in words and "Decisions" not in words


def test_drawn_decisions_have_no_scores(folder):
    lines(folder / "search.jsonl", [decision(*one[:3], None) for one in DECISIONS])
    assert "Every decision was drawn at random" in Page(told(folder)).words


# ---- unfinished runs ----


def test_an_unfinished_search_and_a_half_written_line(folder):
    for name in ("validation.jsonl", "networks_pool.json", "best_networks.json", "summary.json"):
        (folder / name).unlink()
    (folder / "toy-cell.svg").unlink()
    whole = (folder / "search.jsonl").read_text().splitlines(keepends=True)
    (folder / "search.jsonl").write_text("".join(whole[:4]) + whole[4][:20])
    page = Page(told(folder))
    assert "unfinished: search, 2 of 2 discretisations begun, 4 decisions" in page.words
    assert len(page.titles) == 8 and "No architecture so far" in page.words and not page.of("img")
    assert (folder / "search.jsonl").read_text().endswith(whole[4][:20])  # a report changes nothing


def test_a_pool_that_was_not_validated(folder):
    for name in ("validation.jsonl", "best_networks.json", "summary.json"):
        (folder / name).unlink()
    page = Page(told(folder))
    assert "No architecture was chosen from the pool so far." in page.words
    assert [SECOND, "1×"] in page.rows


def test_an_unfinished_validation_and_training(trained):
    for name in ("best_networks.json", "summary.json", "training/result.json"):
        (trained / name).unlink()
    page = Page(told(trained))
    told_of = "unfinished: validation, 2 of 2 networks, 4 minibatches; training, 3 of 3 epochs"
    assert told_of in page.words
    assert [SECOND, "1×", "12.0000"] in [row[:3] for row in page.rows]
    assert ["held-out accuracy so far", "90.25%"] in page.rows


def test_a_run_that_has_just_begun(tmp_path):
    (tmp_path / "run").mkdir()
    write(tmp_path / "run/config.json", {"settings": {"search_space": "toy"}})
    assert "nothing was computed so far" in Page(told(tmp_path / "run")).words


# ---- what the page may load, and who can read it ----


def test_nothing_is_loaded_and_nothing_runs(trained):
    text = told(trained)
    page = Page(text)
    for tag, attributes, _ in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "use")
        for name, value in attributes.items():
            assert name not in ("href", "xlink:href", "srcset", "style", "id") and not name.startswith("on")
            assert name != "src" or value.startswith("data:image/svg+xml;base64,")
    besides = re.sub(r'src="data:[^"]*"', "", text)
    assert not [word for word in ("url(", "@import", "http:", "https:", "//") if word in besides]


def test_it_is_made_for_phones_printers_and_readers(trained):
    text = told(trained)
    page = Page(text)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    assert "@media print" in text and page.of("html") == [{"lang": "en"}] and page.tags["h1"] == 1
    assert all(image["alt"] for image in page.of("img"))
    assert all(one["role"] == "img" and one["aria-label"] for one in page.of("svg"))
    for tag, _, above in page.elements:
        if tag == "table":
            assert above[-1] == "div"
    assert text.count("<table") == text.count('<div class="scroll" tabindex="0"><table')


def test_hostile_names_are_text(tmp_path):
    evil = "<script>alert(1)<script> \"'&"
    settings = {evil: evil, "search_space": evil, "half a letter": "\ud800"}
    hostile = made_run(tmp_path / evil, training=False, **settings)
    file = hostile / "choices.txt"
    file.write_text(file.read_text().replace("conv", "<b>conv"))
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(2)</script></svg>'
    (hostile / "<img>.svg").write_text(drawing)
    lines(hostile / "validation.jsonl", [{"genotype": evil, "score": 1.0}])
    page = Page(told(hostile))
    assert not page.tags["script"] and not page.tags["b"]
    assert page.of("h1") == [{}] and evil in page.text and "<b>conv: 3.25" in page.titles
    assert f"Drawing of the <img>: {SECOND}" in pictures(page)


def test_many_discretisations_stay_below_a_megabyte(tmp_path):
    names = [f"sep_conv_{number}x{number}" for number in range(7)]
    places = [f"normal {number}<-0" for number in range(28)]
    folders = []
    for name in ("first", "second"):
        folders.append(made_run(tmp_path / name, training=False))
        write_choices(folders[-1], dict.fromkeys(places, names))
        scores = [176.48576500773413 + number for number in range(7)]
        decisions = [decision(one, place, names[0], scores) for one in range(60) for place in places]
        lines(folders[-1] / "search.jsonl", decisions)
    text = told(*folders)
    shown = MOST_SQUARES // 2 // (28 * 7)
    assert len(text.encode()) < 1_000_000 and f"The first {shown} of 60 discretisations" in text
    assert text.count("</title></rect>") == 2 * shown * 28 * 7


# ---- when it is written ----


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(folder, tmp_path):
    there = told(folder, out=tmp_path / "there.html")
    moved = shutil.move(folder, tmp_path / "moved" / folder.name)
    assert told(moved, out=tmp_path / "here.html") == there


def test_a_report_is_renewed_and_another_file_kept(folder, tmp_path):
    path = folder / "report.html"
    alone = told(folder)
    path.write_text(alone.replace("conv", "CONV"))
    assert told(folder) == alone  # its own
    other = made_run(tmp_path / "other", training=False)
    both = (str(folder), str(other))
    told_of = f"'{path}' exists already, and is no report of just this: give --force to overwrite it, "
    assert refused(main, *both) == told_of + "or another --out"
    assert path.read_text() == alone
    done(main, *both, "--force")
    assert "2 runs" in path.read_text()
    assert refused(main, str(folder)).startswith(told_of)
    path.write_text("mine")
    assert refused(main, str(folder)).startswith(told_of)
    out = tmp_path / "out.html"
    told(folder, out=out)
    told(folder, out=out)  # the same bytes
    out.write_text(alone + " ")
    told_of = f"'{out}' exists already: give --force to overwrite it, or another --out"
    assert refused(main, str(folder), f"--out={out}") == told_of


def test_a_pipeline_ends_with_its_report(tmp_path, monkeypatch):
    monkeypatch.setattr("nasbench201.benchmark.DATA_FOLDER", tmp_path)
    options = [f"--out={tmp_path}", *TINY_NASBENCH201, "--pool_size=1", "--validate_rounds=2", "--fast"]
    options += ["--no_skip_training", "--epochs=2", "--train_batch_size=8"]
    run = tmp_path / "nas-bench-201/zerocostpt-seed0-digits-jacob-random"
    path = run / "report.html"
    last = [f"report: {path}", f"run: {run / 'training'}"]
    assert done(networks_proposal.main, *options)[-2:] == last
    page = Page(path.read_text())
    assert [title.partition(":")[0] for title in page.titles] == list(OPERATIONS) * 6
    assert "finished: search, validation, training" in page.words
    [best] = [network["genotype"] for network in read(run, "networks_pool.json")["networks"]]
    assert f"Drawing of the nas bench 201 cell: {best}" in pictures(page)
    before = path.stat().st_mtime_ns
    assert renew_report(run) == last[0]
    assert path.stat().st_mtime_ns == before

    # a benchmark that knows the winner, and another network
    table(tmp_path / "nasbench201.csv", [f"{best},93.5,70.25,45.0", f"{OTHER},10.0,80.5,1.0"])
    assert done(networks_proposal.main, *options)[-2:] == last
    page = Page(path.read_text())
    assert ["cifar10", "93.50", "1 of 2", "0.00"] in page.rows
    assert ["cifar100", "70.25", "2 of 2", "10.25"] in page.rows
    assert "Test accuracies of all architectures on cifar100, and a line at 70.25%" in pictures(page)

    path.write_text("mine")
    in_the_way = f"no report: {path} holds something else; python -m foresight_ext.report {run} "
    assert renew_report(run) == in_the_way + "--out FILE makes one elsewhere"
    assert path.read_text() == "mine"


# ---- benchmarks ----


def test_benchmarks_are_of_spaces():
    assert set(BENCHMARKS) <= set(SPACES)
    assert all(callable(BENCHMARKS.get(name)) for name in BENCHMARKS)


def test_accuracies_of_nas_bench_201(tmp_path, monkeypatch):
    monkeypatch.setattr("nasbench201.benchmark.DATA_FOLDER", tmp_path / "none")
    assert accuracies(None) == accuracies(tmp_path / "gone.csv") == {}
    path = tmp_path / "few.csv"
    path.write_text(f"arch,cifar10\n{OTHER},10.5\n")
    assert accuracies(path) == {"cifar10": {OTHER: 10.5}}
    (tmp_path / "unread.pth").write_bytes(b"")  # reading one takes minutes
    assert accuracies(tmp_path / "unread.pth") == {}


def test_accuracies_of_nas_bench_macro(tmp_path, monkeypatch):
    monkeypatch.setattr("sota.nasbench_macro.benchmark.FILE", tmp_path / "macro.json")
    read_macro = BENCHMARKS.get("nas-bench-macro")
    assert read_macro(None) == {}
    write(tmp_path / "macro.json", {"00000000": {"mean_acc": 88.5}})
    assert read_macro(None) == read_macro(tmp_path / "gone.json") == {"cifar10": {"00000000": 88.5}}


# ---- mistakes ----

REMEDY = "no report can be made of it; the run's own command says what to do"


@pytest.mark.parametrize(
    "name, content, where",
    [
        ("config.json", '{"settings"', ""),
        ("choices.txt", "\udcff", ""),
        ("search.jsonl", "no\n", " in line 1"),
        ("search.jsonl", '{"member": 0, "choice": "1<-0", "seconds": 1}\n', " in line 1"),
        (
            "search.jsonl",
            json.dumps({**decision(0, "1<-0", "conv", [1.0]), "seconds": 1}) + "\n",
            " in line 1",
        ),
        ("validation.jsonl", '{"genotype": "a", "score": 1, "seconds": 1}\n{"seconds": 1}\n', " in line 2"),
        ("networks_pool.json", "[]", ""),
        ("best_networks.json", "\udcff", ""),
        ("summary.json", '{"scores": {"a": "b"}}', ""),
        ("toy-cell.svg", "<svg", ""),
        ("training/config.json", "", ""),
        ("training/training.jsonl", '{"epoch": 1, "seconds": 1}\n', " in line 1"),
        ("training/result.json", "{}", ""),
    ],
)
def test_a_damaged_file_is_named(trained, name, content, where):
    (trained / name).write_bytes(content.encode(errors="surrogateescape"))
    assert refused(main, str(trained)) == f"{trained / name} is damaged{where}: {REMEDY}"
    assert not (trained / "report.html").exists()


def test_what_is_no_run_is_refused(folder, tmp_path):
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    empty.mkdir()
    told_of = "is no folder: give run folders, as the last lines of commands name them"
    assert refused(main, str(gone)) == f"'{gone}' {told_of}"
    assert refused(main, str(folder), str(empty)) == f"'{empty}' is no run folder: it has no config.json"
    assert refused(main, str(folder), str(folder)) == f"'{folder}' is given twice: leave one of them out"
    assert refused(main, str(folder), f"--out={empty}") == f"--out '{empty}' is a folder: name a file"
    told_of = refused(main, str(folder), f"--out={folder / 'config.json' / 'a.html'}")
    assert told_of.startswith(f"--out '{folder / 'config.json' / 'a.html'}' can't be written: ")
    assert "the following arguments are required: FOLDER" in refused(main)
