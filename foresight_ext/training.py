"""A training from start to end: its run folder, its protocol, its checkpoints, its result.

It knows no search space: it is given a way to build the network and a way to open the data's splits.
"""

import argparse
import copy
import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foresight_ext.batches import Images
from foresight_ext.checkpoints import Checkpoints
from foresight_ext.distributed import Processes, device_of, joined
from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.progress import TrainingProgress
from foresight_ext.randomness import global_streams_kept, seed_everything
from foresight_ext.recipe import Recipe
from foresight_ext.results import RESULT
from foresight_ext.runs import BESIDE, Journal, RunFolder, notes_of
from foresight_ext.trainer import NotFinite, Trainer
from foresight_ext.training_data import DividedImages, draw_epoch
from foresight_ext.training_log import Curves, TrainingLog

PROTOCOLS = ("holdout", "official")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to train: the architecture's name, the network for a number of classes, the recipe, where to.

    `build` draws its weights from the global streams. `settings` are what makes the result besides the
    recipe, such as the genotype and the data set, for config.json.
    """

    name: str
    build: Callable[[int], nn.Module]
    recipe: Recipe
    settings: dict[str, Any]
    path: Path


def train(job: Job, open_split: Callable[[str], Images], options: argparse.Namespace) -> dict[str, Any]:
    """Train, or go on training, or tell what a finished training came to: the content of result.json.

    `open_split` opens "train" or "test"; `options` are those of cli.add_common_options and
    cli.add_training_options. UserError for what is asked wrongly, and when the loss is not finite.
    """
    with (
        joined(options.device, options.gpu) as processes,
        global_streams_kept(),
        _training_arithmetic(options.threads),
    ):
        return _Training(job, open_split, options, processes).run()


def check(recipe: Recipe, open_split: Callable[[str], Images], options: argparse.Namespace) -> None:
    """UserError for what a training would find wrong before its first epoch; other long work can go first."""
    count = options.nproc_per_node
    device, _ = device_of(0, count, options.device, options.gpu)
    _check_options(recipe, options, device, count)
    _divided(recipe, open_split, options, count)


def _check_options(recipe: Recipe, options: argparse.Namespace, device: torch.device, count: int) -> None:
    if options.amp and device.type != "cuda":
        raise UserError("--amp needs a GPU, and this training runs on the CPU: leave it out")
    if options.force and options.resume_epoch:
        raise UserError(
            f"--force deletes the checkpoint that --resume_epoch {options.resume_epoch} needs: "
            "leave one of them out"
        )
    if recipe.batch_size < 2 * count:
        raise UserError(
            f"a batch size of {recipe.batch_size} is too small for {count} process"
            f"{'es' * (count > 1)}: batch norm needs two images in each"
        )


def _divided(
    recipe: Recipe, open_split: Callable[[str], Images], options: argparse.Namespace, count: int
) -> DividedImages:
    """Both splits, opened at once so that a missing one is found before the training."""
    train, test = open_split("train"), open_split("test")
    official = options.protocol == "official"
    return DividedImages(train, test, official, options.seed, recipe.batch_size, count, options.fast)


@contextmanager
def _training_arithmetic(threads: int | None) -> Iterator[None]:
    """CPU threads, and what is fast on a GPU: TF32 and tuned convolutions, which scoring must not use."""
    cudnn, before = torch.backends.cudnn, torch.get_num_threads()
    kept = cudnn.allow_tf32, cudnn.benchmark
    if threads is not None:
        torch.set_num_threads(threads)
    cudnn.allow_tf32 = cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark = kept
        torch.set_num_threads(before)


class _Training:
    def __init__(self, job: Job, open_split, options: argparse.Namespace, processes: Processes):
        self.job = job
        self.recipe = job.recipe
        self.open_split = open_split
        self.options = options
        self.processes = processes
        self.official = options.protocol == "official"
        # what each epoch is judged by, in reports and as a key
        self.judge, self.judged = ("test", "test") if self.official else ("held-out", "held_out")
        self.checkpoints = Checkpoints(job.path, options.ckpt_interval)
        self.log = TrainingLog(job.name, job.recipe, options, processes)

    def run(self) -> dict[str, Any]:
        if not self.processes.is_first:  # waits until the first has found all in order, and downloaded it
            begin = self.processes.share(None)
            if begin is None:  # the first has told why
                raise SystemExit(2)
            if not begin["finished"]:
                self.images = self._divided()
                self._train(None, begin["checkpoint"])
            return {}
        result_file = self.job.path / RESULT
        try:
            _check_options(self.recipe, self.options, self.processes.device, self.processes.count)
            finished = not self.options.force and not self.options.resume_epoch and result_file.is_file()
            result = _read(result_file) if finished else None
            if result is None:
                self.images = self._divided()
            folder, checkpoint = self._open_folder(result is not None)
        except BaseException:
            self.processes.share(None)
            raise
        folder.log_to_file()
        try:
            self.processes.share({"finished": result is not None, "checkpoint": checkpoint})
            if result is None:
                result_file.unlink(missing_ok=True)
                result = self._train(folder, checkpoint)
                write_json(result_file, result)
            else:
                _log.info("training finished before, nothing to compute: --force would start afresh")
            try:
                self.log.result(result)
            except (KeyError, TypeError):
                raise _damaged(result_file) from None
        finally:
            folder.close()
        return result

    def _divided(self) -> DividedImages:
        return _divided(self.recipe, self.open_split, self.options, self.processes.count)

    def _open_folder(self, finished: bool) -> tuple[RunFolder, dict[str, Any] | None]:
        """The run's folder, and the checkpoint to go on from: None if there is none or nothing to do."""
        options, settings = self.options, self._settings()
        notes = notes_of(options, settings, self.processes.why)
        if options.resume_epoch and not self.job.path.is_dir():
            self.checkpoints.find(options.resume_epoch)  # says that there is none, before a folder is made
        # in a proposal --force alone would start with the search again
        remedy = "use --stage training --force to overwrite it" if hasattr(options, "stage") else BESIDE
        folder = RunFolder(self.job.path, settings, notes, options.force, remedy)
        try:
            return folder, None if finished else self.checkpoints.start(options.resume_epoch)
        except BaseException:
            folder.close()
            raise

    def _settings(self) -> dict[str, Any]:
        """What makes the result."""
        names = ("seed", "protocol", "amp", "compile", "fast")
        return {
            "architecture": self.job.name,
            **self.job.settings,
            **asdict(self.recipe),
            **{name: getattr(self.options, name) for name in names},
            "processes": self.processes.count,
        }

    def _train(self, folder: RunFolder | None, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
        """Train what a checkpoint leaves to train; the result. Only the first process has a folder."""
        seed, recipe, processes = self.options.seed, self.recipe, self.processes
        seed_everything(seed)
        network = self.job.build(self.images.train.classes)
        size = self.images.train.augmentation.size
        trainer = Trainer(
            network,
            recipe,
            processes,
            (3, size, size),
            ahead=self.options.workers > 0,
            amp=self.options.amp,
            compiled=self.options.compile,
        )
        entries: list[dict[str, Any]] = []
        best, journal = 0, None
        if checkpoint is not None:
            trainer.load(checkpoint)
            entries, best = checkpoint["entries"], checkpoint["best_epoch"]
        if folder is not None:
            self.log.begin(_parameters(network), self.images, len(entries))
            journal = folder.journal("training")
            journal.cut(len(entries))
            for entry in entries[len(journal.entries) :]:  # killed between the checkpoint and the journal
                journal.append(entry)
        try:
            return self._epochs(trainer, entries, best, journal)
        finally:
            trainer.release()

    def _epochs(
        self, trainer: Trainer, entries: list[dict[str, Any]], best: int, journal: Journal | None
    ) -> dict[str, Any]:
        """Train the epochs that are left after those of `entries`; the result. The first process writes."""
        seed, recipe, processes = self.options.seed, self.recipe, self.processes
        accuracy = f"{self.judged}_accuracy"
        progress = TrainingProgress(recipe.epochs, sum(self.images.sizes), len(entries))
        with Curves.of(self.job.path if journal is not None else None) as curves:
            for entry in entries:
                curves.show(entry)  # TensorBoard writes late: a killed process may have lost some
            for epoch in range(len(entries), recipe.epochs):
                seed_everything(seed, epoch, processes.rank)
                entry = self._epoch(trainer, epoch, progress)
                if best == 0 or entry[accuracy] > entries[best - 1][accuracy]:
                    best = epoch + 1
                seconds, left = progress.end_epoch()
                entry["seconds"] = round(seconds, 4)
                entries.append(entry)
                if journal is not None:
                    state = {"epochs": epoch + 1, "entries": entries, "best_epoch": best}
                    self.checkpoints.save({**state, **trainer.state()})
                    journal.append(entry)
                    curves.show(entry)
                    best_yet = f"{entries[best - 1][accuracy]:.2f}%, epoch {best}"
                    self.log.epoch(entry, self.judge, entry[accuracy], best_yet, progress.speed, left)
        return self._result(trainer, entries, best)

    def _epoch(self, trainer: Trainer, epoch: int, progress: TrainingProgress) -> dict[str, Any]:
        """Train for an epoch and judge it: the journal's entry."""
        recipe, images = self.recipe, self.images
        draws = draw_epoch(
            images.train, images.learned, images.sizes, recipe.cutout_length, self.options.seed, epoch
        )
        try:
            trained = trainer.train_epoch(images.train, draws, epoch, progress.step)
            progress.trained()
            judging = (images.judging, images.judged_by, recipe.batch_size)
            [judged] = trainer.evaluate([trainer.network], *judging)
            if not math.isfinite(judged.loss):
                raise NotFinite
        except NotFinite:
            if not self.processes.is_first:
                raise SystemExit(2) from None
            last = self.checkpoints.last
            good = f"is {last}, after epoch {epoch}" if epoch else "does not exist: it was the first epoch"
            raise UserError(
                f"the loss became NaN or infinite in epoch {epoch + 1}: the last good checkpoint {good}; "
                "a lower --learning_rate may help"
            ) from None
        return {
            "epoch": epoch + 1,
            "learning_rate": recipe.learning_rate_at(epoch),
            "train_loss": trained.loss,
            "train_accuracy": trained.accuracy,
            **{f"{self.judged}_{name}": value for name, value in judged._asdict().items()},
        }

    def _result(self, trainer: Trainer, entries: list[dict[str, Any]], best: int) -> dict[str, Any]:
        """What the training came to; reads the test images unless every epoch did."""
        images = self.images
        judged = {"last": entries[-1], "best": entries[best - 1]}
        chosen = {which: entry[f"{self.judged}_accuracy"] for which, entry in judged.items()}
        if self.official:
            top5 = {which: entry["test_top5"] for which, entry in judged.items()}
            scores = {"test_accuracy": chosen, "test_top5": top5}
        else:
            networks = [trainer.network]
            if best < len(entries):
                state = self.checkpoints.load(self.checkpoints.best) if self.processes.is_first else None
                networks.append(copy.deepcopy(trainer.network))
                networks[1].load_state_dict(self.processes.share(state)["network"])
            tested = trainer.evaluate(networks, images.test, images.tested, self.recipe.batch_size)
            by_name = {"last": tested[0], "best": tested[-1]}
            scores = {
                "held_out_accuracy": chosen,
                "test_accuracy": {which: score.accuracy for which, score in by_name.items()},
                "test_top5": {which: score.top5 for which, score in by_name.items()},
            }
        return {
            "architecture": self.job.name,
            **self.job.settings,
            "protocol": self.options.protocol,
            "seed": self.options.seed,
            "epochs": self.recipe.epochs,
            "effective_batch": self.recipe.batch_size,
            "processes": self.processes.count,
            "fast": self.options.fast,
            "parameters": _parameters(trainer.network),
            "best_epoch": best,
            "best_epoch_chosen_by": f"{self.judge} accuracy",
            **scores,
            "seconds": round(sum(entry["seconds"] for entry in entries), 3),
        }


def _parameters(network: nn.Module) -> int:
    """Parameters without the auxiliary head, which is for training only."""
    named = network.named_parameters()
    return sum(weight.numel() for name, weight in named if not name.startswith("auxiliary_head."))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        raise _damaged(path) from None


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: delete it, and the same command makes it again")
