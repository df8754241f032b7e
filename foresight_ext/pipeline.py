"""The stages of a run, for any space: search, validation, and the report of what was found."""

import argparse
import json
import logging
import math
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from foresight_ext import datasets
from foresight_ext.batches import Images
from foresight_ext.devices import choose_device, prepare
from foresight_ext.drawing import drawing_image, save_drawing, text_drawing
from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.measures.combination import parts_of
from foresight_ext.orders import ORDERS, Decision, Pruning
from foresight_ext.progress import Progress, in_words
from foresight_ext.results import BEST, POOL
from foresight_ext.runs import LOG, Journal, RunFolder, compare_settings, notes_of, plain
from foresight_ext.search import PoolSearch
from foresight_ext.space import Space
from foresight_ext.supernet import Supernet
from foresight_ext.validation import (
    Row,
    best_genotype,
    combined,
    draw_validation,
    summed,
    validation_scores,
)
from foresight_ext.watching import watched_proxy_of

SUMMARY = "summary.json"
PICTURES = (".svg", ".png")

_log = logging.getLogger(__name__)

# what a benchmark says of a genotype: data set -> accuracy (percent), rank, regret, of
Answer = dict[str, dict[str, Any]]


class Pipeline:
    """One run of one space. `options` are those of cli.add_pipeline_options.

    `answer` looks a genotype up in the space's benchmark; None if there is none, and `no_answer` then
    says what to do about it (empty for spaces without a benchmark). `open_data` opens the training images;
    None opens the data set that the options ask for.
    """

    def __init__(
        self,
        space: Space,
        options: argparse.Namespace,
        answer: Callable[[str], Answer] | None = None,
        no_answer: str = "",
        open_data: Callable[[], Images] | None = None,
    ):
        self.space = space
        self.options = options
        self.answer = answer
        self.no_answer = no_answer
        self._open_data = open_data or (lambda: datasets.load_as_asked(options, "train"))
        self.proxy = watched_proxy_of(options.metrics, options.combine)
        self._parts = tuple(parts_of(options.metrics))
        self._several = len(self._parts) > 1
        # with one name --combine means nothing, so it is no setting then
        self._combine = {"combine": options.combine} if "," in options.metrics else {}

    @property
    def path(self) -> Path:
        """The run's folder, which `run` makes."""
        options = self.options
        name = [options.save, f"seed{options.seed}", options.dataset, options.metrics.replace(",", "+")]
        name += [*self._combine.values(), options.edge_decision]
        return options.out / self.space.name / "-".join(name)

    def run(self) -> int:
        """Run the stages that --stage names and report; returns the exit code."""
        options = self.options
        prepare(options.threads)
        self.device, why = choose_device(options.device, options.gpu)
        path = self.path
        # what can be wrong is found out before the folder is made or emptied
        for name, part in parts_of(options.metrics).items():
            if options.batch_size < part.least_images:
                raise UserError(
                    f"--batch_size {options.batch_size}: {name} needs {part.least_images} images or more"
                )
        if options.stage == "validation":
            if options.force:
                raise UserError(
                    "--force deletes the pool that --stage validation needs: leave one of them out"
                )
            if not (path / POOL).is_file():
                raise UserError(f"--stage validation: {path} has no {POOL}: run --stage search first")
        results = [POOL] if options.stage == "search" else [POOL, BEST]
        finished = not options.force and all((path / name).is_file() for name in results)
        if not finished:
            _ = self.data
        settings = self._settings()
        self.folder = RunFolder(path, settings, notes_of(options, settings, why), options.force)
        self.folder.log_to_file()
        try:
            _log.info("%s on %s, seed %d, on %s", self.space.name, options.dataset, options.seed, why)
            if self.answer is None and self.no_answer:
                _log.info("no benchmark: test accuracy and rank will be missing; %s", self.no_answer)
            if finished:
                _log.info("finished before, nothing to compute: --force would start afresh")
            self._stages()
        finally:
            self.folder.close()
        print(f"run: {self.folder.path}")
        return 0

    def compare_settings(self) -> None:
        """UserError that shows the difference if the run in `path` has other settings."""
        compare_settings(self.path, self._settings(), "--stage training goes on with the run as it is")

    def _stages(self) -> None:
        pool = self._search()
        if self.options.stage == "search":
            _log.info("search took %s", in_words(self.folder.journal("search").seconds))
            _log.info("the pool: %s", self.folder.path / POOL)
            return
        sums = self._validate(pool)
        self._report(pool, sums)

    @cached_property
    def data(self) -> Images:
        """The training images, opened when a stage first needs them."""
        data = self._open_data()
        if len(data) < 2:
            raise UserError(
                f"--dataset {self.options.dataset}: 2 training images are needed, there is {len(data)}"
            )
        return data

    def _settings(self) -> dict[str, Any]:
        """The options that make the result."""
        names = ["dataset", "data", "seed", "metrics", "edge_decision", "pool_size", "validate_rounds"]
        names += ["batch_size", "image_size", "mean", "std"]
        settings = {name: getattr(self.options, name) for name in names}
        settings["data"] = str(self.options.data or datasets.DEFAULT_ROOT)
        return {"search_space": self.space.name, **settings, **self._combine, **self.space.settings()}

    # ---- search ----

    def _search(self) -> list[str]:
        """The pool's genotypes; computes what the journal does not hold yet."""
        path = self.folder.path / POOL
        if path.is_file():
            return _networks(path)
        options, data = self.options, self.data
        images = self.space.search_images(len(data))
        if options.batch_size > images:
            _log.info(
                "search: minibatches have %s, %s of the training images, not the %d asked for",
                _counted(images, "image"),
                "half" if images < len(data) else "all",
                options.batch_size,
            )
        search = PoolSearch(
            self.space,
            data,
            self.proxy,
            ORDERS.get(options.edge_decision),
            options.seed,
            options.batch_size,
            self.device,
        )
        supernet = search.supernet
        steps = len(supernet.choices) + len(supernet.nodes)
        journal = self.folder.journal("search")
        done = _decisions(journal, supernet)
        progress = Progress("search", options.pool_size * steps, len(journal.entries))
        if journal.entries:
            _log.info("search: going on after %d of %d decisions", progress.done, progress.total)
        else:
            many = _counted(options.pool_size, "discretisation")
            _log.info("search: %s of %s", many, _counted(steps, "decision"))
        pool: list[str] = []
        with self._tensorboard() as board:

            def show(member: int, decision: Decision | Pruning) -> None:
                what, names = _scored(decision, supernet)
                for name, score in zip(names, decision.scores or ()):
                    board.add_scalar(f"{what}/{name}", score, member)

            # TensorBoard writes late: some of what an earlier process scored may not be in its file
            for member, decisions in done.items():
                for decision in decisions:
                    show(member, decision)
            for member in range(options.pool_size):
                clock = _Clock()

                def report(decision: Decision | Pruning, member: int = member, clock: _Clock = clock) -> None:
                    entry = _entry(decision, supernet)
                    journal.append({"member": member, **entry, "seconds": clock.lap()})
                    show(member, decision)
                    progress.step()

                draws = search.draw(pool[-1] if pool else None)
                genotype, _ = search.discretise(draws, done.get(member, ()), report)
                if len(done.get(member, ())) < steps:
                    _log.info("search: member %d is %s", member, genotype)
                pool.append(genotype)
        write_json(
            path,
            {
                "search_space": self.space.name,
                "dataset": options.dataset,
                "pool_size": options.pool_size,
                "networks": [{"id": str(i), "genotype": genotype} for i, genotype in enumerate(pool)],
            },
        )
        return pool

    # ---- validation ----

    def _validate(self, pool: list[str]) -> dict[str, Row]:
        """Summed scores of each distinct genotype; computes what the journal does not hold yet."""
        path = self.folder.path / BEST
        journal = self.folder.journal("validation")
        distinct = list(dict.fromkeys(pool))
        done: dict[str, list[Row]] = {genotype: [] for genotype in distinct}
        for number, entry in enumerate(journal.entries, start=1):
            try:
                done[entry["genotype"]].append(self._row(entry))
            except (KeyError, TypeError, ValueError):
                raise journal.damaged(number) from None
        if path.is_file() and all(done.values()):
            return {genotype: summed(rows) for genotype, rows in done.items()}
        options, data = self.options, self.data
        images = min(options.validate_rounds * options.batch_size, len(data))
        rounds = math.ceil(images / options.batch_size)
        if images < options.validate_rounds * options.batch_size:
            _log.info(
                "validation: %s of %s would take more than the %d training images: %s hold them all",
                _counted(options.validate_rounds, "minibatch"),
                _counted(options.batch_size, "image"),
                len(data),
                rounds,
            )
        progress = Progress("validation", len(distinct) * rounds, len(journal.entries))
        if journal.entries:
            _log.info("validation: going on after %d of %d minibatches", progress.done, progress.total)
        else:
            networks = _counted(len(distinct), "distinct network")
            _log.info("validation: %s, %s each", networks, _counted(rounds, "minibatch"))
        validation = draw_validation(
            self.space, pool, data, options.seed, options.validate_rounds, options.batch_size
        )
        with self._tensorboard() as board:
            for index, validated in enumerate(validation):
                clock, genotype = _Clock(), validated.genotype

                def report(row: Row, genotype: str = genotype, clock: _Clock = clock) -> None:
                    journal.append({"genotype": genotype, **self._scored_row(row), "seconds": clock.lap()})
                    progress.step()

                before = len(done[genotype])
                done[genotype] = validation_scores(
                    validated, self.proxy, data, self.device, done[genotype], report
                )
                row = summed(done[genotype])
                if before < len(done[genotype]):
                    _log.info("validation: %s for %s", self._told(row), genotype)
                if not self._several:
                    board.add_scalar("pool_scores", row[0], index)
            sums = {genotype: summed(rows) for genotype, rows in done.items()}
            totals = combined(self.proxy, sums)
            if self._several:  # what compares networks is known once all are scored
                for index, total in enumerate(totals.values()):
                    board.add_scalar("pool_scores", total, index)
            best = best_genotype(totals)
            for cell in self.space.cells(best):
                board.add_image(cell.name, drawing_image(cell), dataformats="HWC")
        write_json(path, {"search_space": self.space.name, "dataset": options.dataset, "networks": best})
        return sums

    def _scored_row(self, row: Row) -> dict[str, Any]:
        """A minibatch's scores for the journal."""
        if self._several:
            return {"scores": {part: plain(score) for part, score in zip(self._parts, row)}}
        return {"score": plain(row[0])}

    def _row(self, entry: dict[str, Any]) -> Row:
        """The scores in a journal's entry; KeyError, TypeError or ValueError if it is damaged."""
        if self._several:
            return tuple(float(entry["scores"][part]) for part in self._parts)
        return (float(entry["score"]),)

    def _told(self, row: Row) -> str:
        """A network's summed scores in words."""
        if self._several:
            return ", ".join(f"{part} {score:.4f}" for part, score in zip(self._parts, row))
        return f"{row[0]:.4f}"

    def _tensorboard(self):
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder.path / "tensorboard"))

    # ---- report ----

    def _report(self, pool: list[str], sums: dict[str, Row]) -> None:
        totals = combined(self.proxy, sums)
        [best] = _networks(self.folder.path / BEST)
        answer, no_answer = self._answer(best)
        seconds = {stage: self.folder.journal(stage).seconds for stage in ("search", "validation")}
        options = self.options
        write_json(
            self.folder.path / SUMMARY,
            {
                "search_space": self.space.name,
                "dataset": options.dataset,
                "seed": options.seed,
                "metrics": options.metrics,
                **self._combine,
                "edge_decision": options.edge_decision,
                "genotype": best,
                "scores": {genotype: plain(total) for genotype, total in totals.items()},
                **self._part_scores(sums),
                "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
                "test_accuracy": answer and {name: held["accuracy"] for name, held in answer.items()},
                "rank": answer and {name: held["rank"] for name, held in answer.items()},
            },
        )
        _log.info("")
        _log.info("architecture: %s", best)
        for cell in self.space.cells(best):
            _log.info("%s", text_drawing(cell).rstrip())
            for suffix in PICTURES:
                file = self.folder.path / f"{cell.name.lower().replace(' ', '-')}{suffix}"
                if not file.is_file():
                    save_drawing(cell, file)
        _log.info("")
        _log.info("%12s  %5s  network", "score", "found")
        # usable scores first: the best, the others, then what is never chosen
        for genotype in sorted(totals, key=lambda one: -totals[one] if totals[one] < math.inf else math.inf):
            _log.info("%12.4f  %4dx  %s", totals[genotype], pool.count(genotype), genotype)
        _log.info("")
        for name, held in (answer or {}).items():
            _log.info(
                "%s: %.2f%% test accuracy, rank %d of %d, %.2f below the best",
                name,
                held["accuracy"],
                held["rank"],
                held["of"],
                held["regret"],
            )
        if no_answer:
            _log.info("%s", no_answer)
        for stage, value in seconds.items():
            _log.info("%s took %s", stage, in_words(value))
        pictures = ", ".join(sorted(p.name for p in self.folder.path.iterdir() if p.suffix in PICTURES))
        _log.info("in the run folder: %s, %s, %s, %s, %s, tensorboard/", POOL, BEST, SUMMARY, pictures, LOG)

    def _part_scores(self, sums: dict[str, Row]) -> dict[str, Any]:
        """For the summary: of several proxies, each one's summed scores, such that higher is better."""
        if not self._several:
            return {}
        columns = zip(*sums.values())
        parts = {part: dict(zip(sums, map(plain, column))) for part, column in zip(self._parts, columns)}
        return {"part_scores": parts}

    def _answer(self, genotype: str) -> tuple[Answer | None, str]:
        """What the benchmark says, or why it says nothing."""
        if self.answer is None:
            return None, self.no_answer and f"no benchmark: no test accuracy and no rank; {self.no_answer}"
        try:
            return self.answer(genotype), ""
        except UserError as error:
            return None, f"no test accuracy and no rank: {error}"


def _scored(decision: Decision | Pruning, supernet: Supernet) -> tuple[str, list[str]]:
    """What was decided, and the names of what was scored for it."""
    if isinstance(decision, Pruning):
        node = supernet.nodes[decision.node]
        return f"edge_scores/{node.name}", [supernet.choices[choice].name for choice in node.choices]
    choice = supernet.choices[decision.choice]
    return f"operation_scores/{choice.name}", list(choice.candidates)


def _entry(decision: Decision | Pruning, supernet: Supernet) -> dict[str, Any]:
    """A decision for the journal, by names."""
    scores = decision.scores and [plain(score) for score in decision.scores]
    if isinstance(decision, Pruning):
        dropped = [supernet.choices[choice].name for choice in decision.dropped]
        return {"node": supernet.nodes[decision.node].name, "dropped": dropped, "scores": scores}
    choice = supernet.choices[decision.choice]
    candidate = choice.candidates[decision.candidate]
    return {"choice": choice.name, "candidate": candidate, "scores": scores}


def _decisions(journal: Journal, supernet: Supernet) -> dict[int, list[Decision | Pruning]]:
    """The journal's decisions by pool member."""
    choices = {choice.name: number for number, choice in enumerate(supernet.choices)}
    nodes = {node.name: number for number, node in enumerate(supernet.nodes)}
    done: dict[int, list[Decision | Pruning]] = {}
    for number, entry in enumerate(journal.entries, start=1):
        try:
            scores = entry["scores"] and [float(score) for score in entry["scores"]]
            decisions = done.setdefault(entry["member"], [])
            if "node" in entry:
                dropped = tuple(choices[name] for name in entry["dropped"])
                decision = Pruning(nodes[entry["node"]], dropped, scores)
            else:
                choice = choices[entry["choice"]]
                candidate = supernet.choices[choice].candidates.index(entry["candidate"])
                decision = Decision(choice, candidate, scores)
        except (KeyError, TypeError, ValueError):
            raise journal.damaged(number) from None
        if any(type(other) is type(decision) and other[0] == decision[0] for other in decisions):
            raise journal.damaged(number)  # decided twice
        decisions.append(decision)
    return done


def _networks(path: Path) -> list[str]:
    """The genotypes in a file of the official layout."""
    try:
        networks = json.loads(path.read_text(encoding="utf-8"))["networks"]
        return [networks] if isinstance(networks, str) else [network["genotype"] for network in networks]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} is damaged: delete it, and the same command makes it again") from None


def _counted(number: int, noun: str) -> str:
    """1 minibatch, 2 minibatches."""
    plural = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{plural}"


class _Clock:
    """Seconds since the last lap."""

    def __init__(self):
        self._last = time.monotonic()

    def lap(self) -> float:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return round(seconds, 4)
