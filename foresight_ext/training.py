"""A training from start to end: its run folder, its protocol, its checkpoints and what it reports.

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
from torch import Tensor, nn

from foresight_ext.checkpoints import Checkpoints
from foresight_ext.distributed import Processes, joined
from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.progress import TrainingProgress, in_words
from foresight_ext.randomness import global_streams_kept, seed_everything
from foresight_ext.recipe import Recipe
from foresight_ext.runs import RunFolder, environment
from foresight_ext.trainer import NotFinite, Score, Trainer
from foresight_ext.training_data import Images, batch_sizes, draw_epoch, hold_out

RESULT = "result.json"
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

    def run(self) -> dict[str, Any]:
        if not self.processes.is_first:  # waits until the first has found all in order, and downloaded it
            begin = self.processes.share(None)
            if begin is None:  # the first has told why
                raise SystemExit(2)
            if not begin["finished"]:
                self._open_data()
                self._train(None, begin["checkpoint"])
            return {}
        result_file = self.job.path / RESULT
        try:
            self._check_options()
            finished = not self.options.force and not self.options.resume_epoch and result_file.is_file()
            result = _read(result_file) if finished else None
            if result is None:
                self._open_data()
            folder, checkpoint = self._open_folder(result is not None)
        except BaseException:
            self.processes.share(None)
            raise
        log_file = folder.log_to_file()
        try:
            self.processes.share({"finished": result is not None, "checkpoint": checkpoint})
            if result is None:
                result_file.unlink(missing_ok=True)
                result = self._train(folder, checkpoint)
                write_json(result_file, result)
            else:
                _log.info("training finished before, nothing to compute: --force would start afresh")
            self._report(result)
        finally:
            logging.getLogger().removeHandler(log_file)
            log_file.close()
            folder.close()
        return result

    def _open_folder(self, finished: bool) -> tuple[RunFolder, dict[str, Any] | None]:
        """The run's folder, and the checkpoint to go on from: None if there is none or nothing to do."""
        options, settings = self.options, self._settings()
        others = {name: value for name, value in vars(options).items() if name not in settings}
        others = {name: str(value) if isinstance(value, Path) else value for name, value in others.items()}
        notes = {"other_options": others, "environment": environment(self.processes.why)}
        if options.resume_epoch and not self.job.path.is_dir():
            self.checkpoints.start(options.resume_epoch)  # says that there is none, before a folder is made
        folder = RunFolder(self.job.path, settings, notes, options.force)
        try:
            return folder, None if finished else self.checkpoints.start(options.resume_epoch)
        except BaseException:
            folder.close()
            raise

    def _check_options(self) -> None:
        options, count = self.options, self.processes.count
        if options.amp and self.processes.device.type != "cuda":
            raise UserError("--amp needs a GPU, and this training runs on the CPU: leave it out")
        if options.force and options.resume_epoch:
            raise UserError(
                f"--force deletes the checkpoint that --resume_epoch {options.resume_epoch} needs: "
                "leave one of them out"
            )
        if self.recipe.batch_size < 2 * count:
            raise UserError(
                f"a batch size of {self.recipe.batch_size} is too small for {count} process"
                f"{'es' * (count > 1)}: batch norm needs two images in each"
            )

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

    def _open_data(self) -> None:
        """Open both splits, so that a missing one is found before the training, and divide the images."""
        recipe, least = self.recipe, 2 * self.processes.count
        self.images = self.open_split("train")
        self.test = self.open_split("test")
        if self.official:
            self.learned = torch.arange(len(self.images))
            self.judging, self.judged_by = self.test, torch.arange(len(self.test))
        else:
            self.learned, held_out = hold_out(len(self.images), self.options.seed)
            self.judging, self.judged_by = self.images, held_out
        self.tested = torch.arange(len(self.test))
        self.sizes = batch_sizes(len(self.learned), recipe.batch_size, least)
        if not self.sizes:
            raise UserError(f"{len(self.learned)} images to train on are too few: {least} are needed")
        if self.options.fast:
            self.sizes = self.sizes[:1]
            self.judged_by, self.tested = (
                indices[: recipe.batch_size] for indices in (self.judged_by, self.tested)
            )

    # ---- training ----

    def _train(self, folder: RunFolder | None, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
        """Train what a checkpoint leaves to train; the result. Only the first process has a folder."""
        seed, recipe, processes = self.options.seed, self.recipe, self.processes
        seed_everything(seed)
        network = self.job.build(self.images.classes)
        size = self.images.augmentation.size
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
        best = 0
        if checkpoint is not None:
            trainer.load(checkpoint)
            entries, best = checkpoint["entries"], checkpoint["best_epoch"]
        if folder is not None:
            self._announce(network, len(entries))
            journal = folder.journal("training")
            journal.cut(len(entries))
            for entry in entries[len(journal.entries) :]:  # killed between the checkpoint and the journal
                journal.append(entry)
        progress = TrainingProgress(recipe.epochs, sum(self.sizes), len(entries))
        with _board(folder) as board:
            for entry in entries:
                _show(board, entry)  # TensorBoard writes late: a killed process may have lost some
            for epoch in range(len(entries), recipe.epochs):
                seed_everything(seed, epoch, processes.rank)
                entry = self._epoch(trainer, epoch, progress)
                accuracy = f"{self.judged}_accuracy"
                if best == 0 or entry[accuracy] > entries[best - 1][accuracy]:
                    best = epoch + 1
                seconds, left = progress.end_epoch()
                entry["seconds"] = round(seconds, 4)
                entries.append(entry)
                if folder is not None:
                    state = {"epochs": epoch + 1, "entries": entries, "best_epoch": best}
                    self.checkpoints.save({**state, **trainer.state()})
                    journal.append(entry)
                    _show(board, entry)
                    self._say(entries, best, progress.speed, left)
        return self._result(trainer, entries, best)

    def _epoch(self, trainer: Trainer, epoch: int, progress: TrainingProgress) -> dict[str, Any]:
        """Train for an epoch and judge it: the journal's entry."""
        recipe = self.recipe
        draws = draw_epoch(
            self.images, self.learned, self.sizes, recipe.cutout_length, self.options.seed, epoch
        )
        try:
            trained = trainer.train_epoch(self.images, draws, epoch, progress.step)
            progress.trained()
            judged = self._evaluate(trainer, [trainer.network], self.judging, self.judged_by)[0]
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

    def _evaluate(
        self, trainer: Trainer, networks: list[nn.Module], images: Images, indices: Tensor
    ) -> list[Score]:
        return trainer.evaluate(networks, images, indices, self.recipe.batch_size)

    # ---- reports ----

    def _announce(self, network: nn.Module, done: int) -> None:
        options, recipe, count = self.options, self.recipe, self.processes.count
        _log.info(
            "training %s: %.3f million parameters, seed %d, on %s",
            self.job.name,
            _parameters(network) / 1e6,
            options.seed,
            self.processes.why,
        )
        if self.official:
            _log.info(
                "protocol official: trains on all %d images, reads test accuracy (%d images) every epoch and "
                "chooses the best epoch by it, as the official code does",
                len(self.learned),
                len(self.test),
            )
        else:
            _log.info(
                "protocol holdout: trains on %d images, chooses the best epoch by %d held out; the %d test "
                "images are read once, at the end",
                len(self.learned),
                len(self.images) - len(self.learned),
                len(self.test),
            )
        split = f", split over {count} processes: the effective batch is {recipe.batch_size}"
        _log.info("%d epochs, minibatches of %d%s", recipe.epochs, recipe.batch_size, split * (count > 1))
        left_out = len(self.learned) - sum(self.sizes)
        if options.fast:
            _log.info("--FAST: ONE MINIBATCH PER EPOCH, ONE TO EVALUATE: THE ACCURACIES MEAN NOTHING")
        elif left_out:
            what = "batch norm needs two images in each process"
            _log.info("each epoch leaves out a last minibatch of %d: %s", left_out, what)
        if done:
            _log.info("training: going on after %d of %d epochs", done, recipe.epochs)

    def _say(self, entries: list[dict[str, Any]], best: int, speed: float, left: float) -> None:
        entry, accuracy = entries[-1], f"{self.judged}_accuracy"
        _log.info(
            "epoch %d of %d (%s): learning rate %.5f, train loss %.4f, train accuracy %.2f%%, "
            "%s accuracy %.2f%% (best %.2f%%, epoch %d), %.0f images/s, %s, about %s to go",
            entry["epoch"],
            self.recipe.epochs,
            self.options.protocol,
            entry["learning_rate"],
            entry["train_loss"],
            entry["train_accuracy"],
            self.judge,
            entry[accuracy],
            entries[best - 1][accuracy],
            best,
            speed,
            in_words(entry["seconds"]),
            in_words(left),
        )

    def _result(self, trainer: Trainer, entries: list[dict[str, Any]], best: int) -> dict[str, Any]:
        """What the training came to; reads the test images unless every epoch did."""
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
            tested = self._evaluate(trainer, networks, self.test, self.tested)
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

    def _report(self, result: dict[str, Any]) -> None:
        try:
            accuracy, best = result["test_accuracy"], result["best_epoch"]
            _log.info(
                "test accuracy (protocol %s%s): %.2f%% after the last epoch (%d), "
                "%.2f%% after the best by %s (%d)",
                result["protocol"],
                ", --fast: MEANS NOTHING" * result["fast"],
                accuracy["last"],
                result["epochs"],
                accuracy["best"],
                result["best_epoch_chosen_by"],
                best,
            )
            _log.info("training took %s", in_words(result["seconds"]))
        except (KeyError, TypeError):
            raise _damaged(self.job.path / RESULT) from None


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


@contextmanager
def _board(folder: RunFolder | None) -> Iterator[Any]:
    """TensorBoard's writer of a run folder; None without one."""
    if folder is None:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder.path / "tensorboard")) as board:
        yield board


def _show(board: Any, entry: dict[str, Any]) -> None:
    if board is None:
        return
    for name, value in entry.items():
        if name != "epoch":
            board.add_scalar(f"training/{name}", value, entry["epoch"])
