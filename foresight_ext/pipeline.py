"""The stages of a run, for any space: search, validation, and the report of what was found."""

import argparse
import json
import logging
import math
import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from foresight_ext import datasets
from foresight_ext.devices import choose_device, prepare
from foresight_ext.drawing import drawing_image, save_drawing, text_drawing
from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.measures import PROXIES
from foresight_ext.orders import ORDERS, Decision
from foresight_ext.progress import Progress, in_words
from foresight_ext.runs import LOG, Journal, RunFolder, environment
from foresight_ext.search import PoolSearch
from foresight_ext.space import Space
from foresight_ext.validation import best_genotype, draw_validation, validation_scores

POOL = "networks_pool.json"
BEST = "best_networks.json"
SUMMARY = "summary.json"

_log = logging.getLogger(__name__)

# what a benchmark says of a genotype: data set -> accuracy (percent), rank, regret, of
Answer = dict[str, dict[str, Any]]


class Pipeline:
    """One run of one space. `options` are those of cli.add_pipeline_options.

    `answer` looks a genotype up in the space's benchmark; None if there is none, and `no_answer` then
    says what to do about it.
    """

    def __init__(
        self,
        space: Space,
        options: argparse.Namespace,
        answer: Callable[[str], Answer] | None = None,
        no_answer: str = "",
    ):
        self.space = space
        self.options = options
        self.answer = answer
        self.no_answer = no_answer
        self.proxy = PROXIES.get(options.metrics)

    def run(self) -> int:
        """Run the stages that --stage names and report; returns the exit code."""
        options = self.options
        console = logging.StreamHandler(sys.stdout)
        console.setFormatter(logging.Formatter("%(message)s"))
        logging.getLogger().addHandler(console)
        logging.getLogger().setLevel(logging.INFO)
        prepare(options.threads)
        self.device, why = choose_device(options.device, options.gpu)
        name = [options.save, f"seed{options.seed}", options.dataset, options.metrics, options.edge_decision]
        path = options.out / self.space.name / "-".join(name)
        finished = (path / POOL).is_file() and (path / BEST).is_file() and not options.force
        if not finished:
            _ = self.data  # before the folder is made: most of what can be wrong is wrong here
        self.folder = RunFolder(path, self._settings(), environment(why), options.force)
        log_file = self.folder.log_to_file()
        try:
            _log.info("%s on %s, seed %d, on %s", self.space.name, options.dataset, options.seed, why)
            if self.answer is None:
                _log.info("no benchmark: test accuracy and rank will be missing; %s", self.no_answer)
            self._stages()
        finally:
            logging.getLogger().removeHandler(log_file)
            logging.getLogger().removeHandler(console)
        print(f"run: {self.folder.path}")
        return 0

    def _stages(self) -> None:
        if self.options.stage == "validation" and not (self.folder.path / POOL).is_file():
            raise UserError(f"--stage validation: {self.folder.path} has no {POOL}: run --stage search first")
        pool = self._search()
        if self.options.stage == "search":
            _log.info("the pool: %s", self.folder.path / POOL)
            return
        totals = self._validate(pool)
        self._report(pool, totals)

    @cached_property
    def data(self) -> datasets.ImageData:
        """The training images, opened when a stage first needs them."""
        options = self.options
        folder_only = {"image_size": options.image_size, "mean": options.mean, "std": options.std}
        given = {name: value for name, value in folder_only.items() if value is not None}
        if given and options.dataset != "folder":
            raise UserError(f"--{next(iter(given))} goes with --dataset folder only, not {options.dataset}")
        request = datasets.Request(options.data, "train", workers=options.workers, **given)
        data = datasets.load(options.dataset, request)
        if len(data) < 2:
            raise UserError(f"--dataset {options.dataset}: {len(data)} training images are too few")
        return data

    def _settings(self) -> dict[str, Any]:
        """The options that make the result."""
        names = ["dataset", "data", "seed", "metrics", "edge_decision", "pool_size", "validate_rounds"]
        names += ["batch_size", "image_size", "mean", "std"]
        settings = {name: getattr(self.options, name) for name in names}
        settings["data"] = str(self.options.data or datasets.DEFAULT_ROOT)
        return {"search_space": self.space.name, **settings, **self.space.settings()}

    # ---- search ----

    def _search(self) -> list[str]:
        """The pool's genotypes; computes what the journal does not hold yet."""
        path = self.folder.path / POOL
        if path.is_file():
            return [network["genotype"] for network in json.loads(path.read_text())["networks"]]
        options, data = self.options, self.data
        half = len(data) // 2
        if options.batch_size > half:
            _log.info(
                "search: minibatches have %d images, half of the training images, not the %d asked for",
                half,
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
        journal = self.folder.journal("search")
        done = _decisions(journal, search.supernet.choices)
        choices = search.supernet.choices
        progress = Progress("search", options.pool_size * len(choices), len(journal.entries))
        if journal.entries:
            _log.info("search: going on after %d of %d decisions", progress.done, progress.total)
        else:
            _log.info("search: %d discretisations of %d decisions", options.pool_size, len(choices))
        pool: list[str] = []
        with self._tensorboard() as board:
            for member in range(options.pool_size):
                clock = _Clock()

                def report(decision: Decision, member: int = member, clock: _Clock = clock) -> None:
                    choice = choices[decision.choice]
                    journal.append(
                        {
                            "member": member,
                            "choice": choice.name,
                            "candidate": choice.candidates[decision.candidate],
                            "scores": decision.scores and [_plain(score) for score in decision.scores],
                            "seconds": clock.lap(),
                        }
                    )
                    for candidate, score in zip(choice.candidates, decision.scores or ()):
                        board.add_scalar(f"operation_scores/{choice.name}/{candidate}", score, member)
                    progress.step()

                draws = search.draw(pool[-1] if pool else None)
                genotype, _ = search.discretise(draws, done.get(member, ()), report)
                if len(done.get(member, ())) < len(choices):
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

    def _validate(self, pool: list[str]) -> dict[str, float]:
        """Summed score of each distinct genotype; computes what the journal does not hold yet."""
        path = self.folder.path / BEST
        journal = self.folder.journal("validation")
        distinct = list(dict.fromkeys(pool))
        done: dict[str, list[float]] = {genotype: [] for genotype in distinct}
        for entry in journal.entries:
            done[entry["genotype"]].append(float(entry["score"]))
        if path.is_file():
            return {genotype: math.fsum(scores) for genotype, scores in done.items()}
        options, data = self.options, self.data
        images = min(options.validate_rounds * options.batch_size, len(data))
        rounds = math.ceil(images / options.batch_size)
        if rounds < options.validate_rounds:
            _log.info(
                "validation: %d minibatches, not %d: they hold all %d training images",
                rounds,
                options.validate_rounds,
                len(data),
            )
        progress = Progress("validation", len(distinct) * rounds, len(journal.entries))
        if journal.entries:
            _log.info("validation: going on after %d of %d minibatches", progress.done, progress.total)
        else:
            _log.info("validation: %d distinct networks, %d minibatches each", len(distinct), rounds)
        validation = draw_validation(
            self.space, pool, data, options.seed, options.validate_rounds, options.batch_size
        )
        with self._tensorboard() as board:
            for index, validated in enumerate(validation):
                clock, genotype = _Clock(), validated.genotype

                def report(score: float, genotype: str = genotype, clock: _Clock = clock) -> None:
                    journal.append({"genotype": genotype, "score": _plain(score), "seconds": clock.lap()})
                    progress.step()

                before = len(done[genotype])
                done[genotype] = validation_scores(
                    validated, self.proxy, data, self.device, done[genotype], report
                )
                if before < len(done[genotype]):
                    total = math.fsum(done[genotype])
                    _log.info("validation: %.4f for %s", total, genotype)
                    board.add_scalar("pool_scores", total, index)
        totals = {genotype: math.fsum(scores) for genotype, scores in done.items()}
        best = best_genotype(totals)
        write_json(path, {"search_space": self.space.name, "dataset": options.dataset, "networks": best})
        with self._tensorboard() as board:
            for cell in self.space.cells(best):
                board.add_image(cell.name, drawing_image(cell), dataformats="HWC")
        return totals

    def _tensorboard(self):
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder.path / "tensorboard"))

    # ---- report ----

    def _report(self, pool: list[str], totals: dict[str, float]) -> None:
        best = json.loads((self.folder.path / BEST).read_text())["networks"]
        answer = self._answer(best)
        seconds = {
            stage: sum(entry["seconds"] for entry in self.folder.journal(stage).entries)
            for stage in ("search", "validation")
        }
        options = self.options
        write_json(
            self.folder.path / SUMMARY,
            {
                "search_space": self.space.name,
                "dataset": options.dataset,
                "seed": options.seed,
                "metrics": options.metrics,
                "edge_decision": options.edge_decision,
                "genotype": best,
                "scores": {genotype: _plain(total) for genotype, total in totals.items()},
                "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
                "test_accuracy": answer and {name: held["accuracy"] for name, held in answer.items()},
                "rank": answer and {name: held["rank"] for name, held in answer.items()},
            },
        )
        _log.info("\narchitecture: %s\n", best)
        for cell in self.space.cells(best):
            _log.info("%s", text_drawing(cell))
            for suffix in (".svg", ".png"):
                file = self.folder.path / f"{cell.name.lower().replace(' ', '-')}{suffix}"
                if not file.is_file():
                    save_drawing(cell, file)
        _log.info("\n%12s  %5s  network", "score", "found")
        for genotype in sorted(totals, key=lambda one: -totals[one]):
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
        for stage, value in seconds.items():
            _log.info("%s took %s", stage, in_words(value))
        pictures = ", ".join(sorted(p.name for p in self.folder.path.glob("*.svg")))
        _log.info("in the run folder: %s, %s, %s, %s, %s, tensorboard/", POOL, BEST, SUMMARY, pictures, LOG)

    def _answer(self, genotype: str) -> Answer | None:
        if self.answer is None:
            _log.info("\nno benchmark: no test accuracy and no rank; %s", self.no_answer)
            return None
        try:
            return self.answer(genotype)
        except UserError as error:
            _log.info("\nno test accuracy and no rank: %s", error)
            return None


def _decisions(journal: Journal, choices) -> dict[int, list[Decision]]:
    """The journal's decisions by pool member."""
    index = {choice.name: number for number, choice in enumerate(choices)}
    done: dict[int, list[Decision]] = {}
    for entry in journal.entries:
        choice = index[entry["choice"]]
        candidate = choices[choice].candidates.index(entry["candidate"])
        done.setdefault(entry["member"], []).append(Decision(choice, candidate, entry["scores"]))
    return done


def _plain(score: float) -> float | str:
    """A score for JSON, which has no infinities and no NaN: those become words that float() reads."""
    return score if math.isfinite(score) else str(score)


class _Clock:
    """Seconds since the last lap."""

    def __init__(self):
        self._last = time.monotonic()

    def lap(self) -> float:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return round(seconds, 4)
