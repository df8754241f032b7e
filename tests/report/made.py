"""A run folder written by hand, and a page as a parser sees it."""

import json
from collections import Counter
from html.parser import HTMLParser

from foresight_ext.drawing import Cell, CellEdge, save_drawing

CHOICES = {"1<-0": ["conv", "skip"], "2<-0": ["conv", "skip"], "node 2": ["1<-0", "2<-0"]}
FIRST, SECOND = "conv|skip", "skip|skip"
CELL = Cell("toy cell", ("in", "1", "out"), (CellEdge("in", "1", "conv"), CellEdge("1", "out", "skip")))
# member, place, what stays, scores
DECISIONS = (
    (0, "2<-0", "skip", [3.25, 1.5]),
    (0, "1<-0", "conv", [0.5, "inf"]),
    (0, "node 2", ["1<-0"], [2.75, 2.5]),
    (1, "1<-0", "skip", [7.125, -4.0]),
    (1, "2<-0", "skip", [0.0625, 0.03125]),
    (1, "node 2", ["2<-0"], [1.0, 1.75]),
)
ACCURACIES = (40.0, 70.5, 90.25)  # held out, of three epochs


def lines(path, entries):
    path.write_text("".join(json.dumps({**entry, "seconds": 0.5}) + "\n" for entry in entries))


def decision(member, place, stays, scores):
    """An entry of a search's journal."""
    if isinstance(stays, list):
        return {"member": member, "node": place, "dropped": stays, "scores": scores}
    return {"member": member, "choice": place, "candidate": stays, "scores": scores}


def config(**settings):
    machine = {"versions": {"torch": "2.6.0"}, "git_revision": None, "machine": {"cores": 2}}
    return {"settings": settings, "other_options": {}, "environment": machine, "data": {}}


def write(path, content):
    path.write_text(json.dumps(content))


def write_choices(folder, choices):
    text = "".join("\t".join([place, *names]) + "\n" for place, names in choices.items())
    (folder / "choices.txt").write_text(text)


def made_run(folder, training=True, space="toy", **settings):
    """A finished run of two discretisations in that folder; returns it."""
    folder.mkdir(parents=True)
    asked = {"search_space": space, "dataset": "digits", "seed": 3, "pool_size": 2, **settings}
    write(folder / "config.json", config(**asked))
    write_choices(folder, CHOICES)
    lines(folder / "search.jsonl", [decision(*one) for one in DECISIONS])
    networks = [{"id": str(number), "genotype": one} for number, one in enumerate((FIRST, SECOND))]
    write(folder / "networks_pool.json", {"search_space": space, "networks": networks})
    scores = ((FIRST, 1.0), (FIRST, 2.0), (SECOND, 4.0), (SECOND, 8.0))
    lines(folder / "validation.jsonl", [{"genotype": one, "score": score} for one, score in scores])
    write(folder / "best_networks.json", {"search_space": space, "networks": SECOND})
    told = {"genotype": SECOND, "scores": {FIRST: 3.0, SECOND: 12.0}, "test_accuracy": None, "rank": None}
    write(folder / "summary.json", told)
    save_drawing(CELL, folder / "toy-cell.svg")
    if training:
        made_training(folder / "training")
    return folder


def made_training(folder):
    """A finished training of three epochs in that folder; returns it."""
    folder.mkdir()
    write(folder / "config.json", config(genotype=SECOND, dataset="digits", epochs=3, protocol="holdout"))
    entries = [
        {"epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 50.0, "held_out_loss": 2 / epoch}
        for epoch in (1, 2, 3)
    ]
    for entry, accuracy in zip(entries, ACCURACIES):
        entry["held_out_accuracy"] = accuracy
    lines(folder / "training.jsonl", entries)
    accuracy = {"test_accuracy": {"last": 88.125, "best": 88.125}, "protocol": "holdout", "epochs": 3}
    chosen = {"best_epoch": 3, "best_epoch_chosen_by": "held-out accuracy", "fast": False, "seconds": 1.5}
    write(folder / "result.json", {**accuracy, **chosen, "parameters": 1234567})
    return folder


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and the titles of what is in its pictures."""

    VOID = {"meta", "img", "br", "rect", "circle", "path", "link"}

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.titles, self.rows = [], [], [], []
        self._open = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(name for name, _ in self._open)))
        if tag not in self.VOID or (tag in ("rect", "circle", "path") and not self.slashed):
            self._open.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])

    @property
    def slashed(self):
        return self.get_starttag_text().endswith("/>")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(name for name, _ in self._open)))

    def handle_endtag(self, tag):
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data):
        inside = [name for name, _ in self._open]
        if inside[-2:] == ["rect", "title"]:
            self.titles.append(data)
        elif "style" not in inside:
            self.text.append(data)
            if "tr" in inside and data.strip():
                self.rows[-1].append(data.strip())

    def of(self, tag):
        """The attributes of every element of a kind."""
        return [attributes for name, attributes, _ in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def tags(self):
        return Counter(tag for tag, _, _ in self.elements)
