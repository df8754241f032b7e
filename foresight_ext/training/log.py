"""What a training tells as it goes: lines for people, curves for TensorBoard."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foresight_ext.runs.board import tensorboard
from foresight_ext.runs.progress import in_words
from foresight_ext.training.data import DividedImages
from foresight_ext.training.distributed import Processes
from foresight_ext.training.recipe import Recipe
from foresight_ext.training.settings import TrainSettings

_log = logging.getLogger(__name__)


class TrainingLog:
    """Lines about one training; every report names its protocol. `settings` are those of the training."""

    def __init__(self, name: str, recipe: Recipe, settings: TrainSettings, processes: Processes):
        self.name = name
        self.recipe = recipe
        self.settings = settings
        self.processes = processes

    def begin(self, parameters: int, images: DividedImages, done: int) -> None:
        """What is about to happen, `done` epochs having been trained before."""
        settings, recipe, count = self.settings, self.recipe, self.processes.count
        _log.info(
            "training %s: %.3f million parameters, seed %d, on %s",
            self.name,
            parameters / 1e6,
            settings.seed,
            self.processes.why,
        )
        if images.official:
            _log.info(
                "protocol official: trains on all %d images, reads test accuracy (%d images) every epoch and "
                "chooses the best epoch by it, as the official code does",
                len(images.learned),
                len(images.test),
            )
        else:
            _log.info(
                "protocol holdout: trains on %d images, chooses the best epoch by %d held out; the %d test "
                "images are read once, at the end",
                len(images.learned),
                len(images.train) - len(images.learned),
                len(images.test),
            )
        split = f", split over {count} processes: the effective batch is {recipe.batch_size}"
        _log.info("%d epochs, minibatches of %d%s", recipe.epochs, recipe.batch_size, split * (count > 1))
        left_out = len(images.learned) - sum(images.sizes)
        if settings.fast:
            _log.info("--FAST: ONE MINIBATCH PER EPOCH, ONE TO EVALUATE: THE ACCURACIES MEAN NOTHING")
        elif left_out:
            what = "batch norm needs two images in each process"
            _log.info("each epoch leaves out a last minibatch of %d: %s", left_out, what)
        if done:
            _log.info("training: going on after %d of %d epochs", done, recipe.epochs)

    def epoch(
        self, entry: dict[str, Any], judge: str, accuracy: float, best: str, speed: float, left: float
    ) -> None:
        """An epoch's line; `accuracy` (percent) is what `judge` says of it, `left` are seconds."""
        to_go = f", about {in_words(left)} to go" if entry["epoch"] < self.recipe.epochs else ""
        _log.info(
            "epoch %d of %d (%s): learning rate %.5f, train loss %.4f, train accuracy %.2f%%, "
            "%s accuracy %.2f%% (best %s), %.0f images/s, %s%s",
            entry["epoch"],
            self.recipe.epochs,
            self.settings.protocol,
            entry["learning_rate"],
            entry["train_loss"],
            entry["train_accuracy"],
            judge,
            accuracy,
            best,
            speed,
            in_words(entry["seconds"]),
            to_go,
        )

    def result(self, result: dict[str, Any]) -> None:
        """What the training came to; KeyError or TypeError if that is not the content of result.json."""
        accuracy = result["test_accuracy"]
        _log.info(
            "test accuracy (protocol %s%s): %.2f%% after the last epoch (%d), "
            "%.2f%% after the best by %s (%d)",
            result["protocol"],
            ", --fast: MEANS NOTHING" * result["fast"],
            accuracy["last"],
            result["epochs"],
            accuracy["best"],
            result["best_epoch_chosen_by"],
            result["best_epoch"],
        )
        _log.info("training took %s", in_words(result["seconds"]))


class Curves:
    """TensorBoard's curves of a run folder; without one (None) nothing is shown."""

    def __init__(self, board: Any):
        self._board = board

    @classmethod
    @contextmanager
    def of(cls, run: Path | None) -> Iterator["Curves"]:
        """The curves of a run, to be left when nothing more will be shown."""
        if run is None:
            yield cls(None)
            return
        with tensorboard(run) as board:
            yield cls(board)

    def show(self, entry: dict[str, Any]) -> None:
        """Add an epoch's point to every curve."""
        if self._board is None:
            return
        for name, value in entry.items():
            if name != "epoch":
                self._board.add_scalar(f"training/{name}", value, entry["epoch"])
