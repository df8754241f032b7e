"""A run of a training: its folder, its protocol, its checkpoints, its result.

It knows no search space: it is given how a network is built and where the images are.
"""

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foresight_ext.devices import Compute, threads_set
from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.images.source import ImageSource
from foresight_ext.randomness import global_streams_kept, seed_everything
from foresight_ext.runs.config import BESIDE, data_moved
from foresight_ext.runs.folder import Place, RunFolder
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.progress import TrainingProgress
from foresight_ext.runs.results import RESULT, damaged, read_result
from foresight_ext.training.checkpoints import Checkpoints
from foresight_ext.training.data import DividedImages, draw_epoch
from foresight_ext.training.distributed import Processes, device_of, joined
from foresight_ext.training.log import Curves, TrainingLog
from foresight_ext.training.settings import TrainSettings
from foresight_ext.training.spec import TrainedNetwork, TrainSpec
from foresight_ext.training.trainer import NotFinite, Trainer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to train: the architecture's name and genotype, how, on which images, into which run folder."""

    name: str
    genotype: str
    spec: TrainSpec
    images: ImageSource
    path: Path


def train(
    job: Job,
    settings: TrainSettings,
    place: Place,
    compute: Compute,
    remedy: str = BESIDE,
) -> dict[str, Any]:
    """Train, or go on training, or tell what a finished training came to: the content of result.json.

    `remedy` says in messages what to do about a run folder with other settings. UserError for what is asked
    wrongly, and when the loss is not finite.
    """
    with (
        joined(compute.device, compute.gpu) as processes,
        global_streams_kept(),
        threads_set(compute.threads),
        _fast_arithmetic(),
    ):
        return _Training(job, settings, place, processes, remedy).run()


def check(
    spec: TrainSpec, images: ImageSource, settings: TrainSettings, place: Place, compute: Compute
) -> None:
    """UserError for what a training would find wrong before its first epoch; other long work can go first."""
    device, _ = device_of(0, settings.processes, compute.device, compute.gpu)
    _check(spec, settings, place, device)
    _divided(spec, images, settings)


def _check(spec: TrainSpec, settings: TrainSettings, place: Place, device: torch.device) -> None:
    if settings.amp and device.type != "cuda":
        raise UserError("--amp needs a GPU, and this training runs on the CPU: leave it out")
    if place.force and settings.resume_epoch:
        raise UserError(
            f"--force deletes the checkpoint that --resume_epoch {settings.resume_epoch} needs: "
            "leave one of them out"
        )
    count = settings.processes
    if spec.recipe.batch_size < 2 * count:
        raise UserError(
            f"a batch size of {spec.recipe.batch_size} is too small for {count} process"
            f"{'es' * (count > 1)}: batch norm needs two images in each"
        )


def _divided(spec: TrainSpec, source: ImageSource, settings: TrainSettings) -> DividedImages:
    """Both splits, opened at once so that a missing one is found before the training."""
    train, test = source.open("train"), source.open("test")
    for images in (train, test):
        spec.check(images.augmentation.size)
    return DividedImages(
        train,
        test,
        settings.official,
        settings.seed,
        spec.recipe.batch_size,
        settings.processes,
        settings.fast,
    )


@contextmanager
def _fast_arithmetic() -> Iterator[None]:
    """What is fast on a GPU, TF32 and tuned convolutions: scoring must not use it."""
    cudnn = torch.backends.cudnn
    try:
        kept = cudnn.allow_tf32
    except RuntimeError:  # the caller has said how exact it is to be, by PyTorch's newer settings
        kept = None
    tuned, cudnn.benchmark = cudnn.benchmark, True
    if kept is not None:
        cudnn.allow_tf32 = True
    try:
        yield
    finally:
        cudnn.benchmark = tuned
        if kept is not None:
            cudnn.allow_tf32 = kept


class _Training:
    def __init__(self, job: Job, settings: TrainSettings, place: Place, processes: Processes, remedy: str):
        self.job = job
        self.recipe = job.spec.recipe
        self.settings = replace(settings, processes=processes.count)
        self.place = place
        self.processes = processes
        self.remedy = remedy
        # what each epoch is judged by, in reports and as a key
        self.judge, self.judged = ("test", "test") if settings.official else ("held-out", "held_out")
        self.checkpoints = Checkpoints(job.path, settings.ckpt_interval)
        self.log = TrainingLog(job.name, self.recipe, self.settings, processes)

    def run(self) -> dict[str, Any]:
        if not self.processes.is_first:  # waits until the first has found all in order, and downloaded it
            begin = self.processes.share(None)
            if begin is None:  # the first has told why
                raise SystemExit(2)
            if not begin["finished"]:
                self.images = _divided(self.job.spec, self.job.images, self.settings)
                self._train(None, begin["checkpoint"])
            return {}
        result_file = self.job.path / RESULT
        try:
            _check(self.job.spec, self.settings, self.place, self.processes.device)
            finished = not self.place.force and not self.settings.resume_epoch and result_file.is_file()
            result = read_result(result_file) if finished else None
            if result is None:
                self.images = _divided(self.job.spec, self.job.images, self.settings)
            folder, checkpoint = self._open_folder(result is not None)
        except BaseException:
            self.processes.share(None)
            raise
        with folder:
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
                raise damaged(result_file) from None
        return result

    def _open_folder(self, finished: bool) -> tuple[RunFolder, dict[str, Any] | None]:
        """The run's folder, and the checkpoint to go on from: None if there is none or nothing to do."""
        resume = self.settings.resume_epoch
        if resume and not self.job.path.is_dir():
            self.checkpoints.find(resume)  # says that there is none, before a folder is made
        folder = self.place.open(self.job.path, self._recorded(), self.processes.why, self.remedy)
        try:
            source = self.job.images
            if not finished:
                folder.must_write()
                opened = {"train": self.images.train, "test": self.images.test}
            elif data_moved(folder.path, source.root):
                opened = {split: source.open(split) for split in ("train", "test")}
            else:
                return folder, None
            folder.same_data(source.root, **{split: images.described() for split, images in opened.items()})
            return folder, None if finished else self.checkpoints.start(resume)
        except BaseException:
            folder.close()
            raise

    def _described(self) -> dict[str, Any]:
        """What is trained on what, by the names of options."""
        job = self.job
        network = {"genotype": job.genotype, **job.spec.settings}
        return {"architecture": job.name, **network, **job.images.settings()}

    def _recorded(self) -> dict[str, Any]:
        """All that makes the result, for config.json."""
        settings = {**asdict(self.recipe), **self.settings.as_written()}
        return {**self._described(), **settings, "processes": self.settings.processes}

    def _train(self, folder: RunFolder | None, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
        """Train what a checkpoint leaves to train; the result. Only the first process has a folder."""
        seed, recipe, processes = self.settings.seed, self.recipe, self.processes
        seed_everything(seed)
        network = self.job.spec.build(self.job.genotype, self.images.train.classes)
        size = self.images.train.augmentation.size
        trainer = Trainer(
            network,
            recipe,
            processes,
            (3, size, size),
            ahead=self.settings.ahead,
            amp=self.settings.amp,
            compiled=self.settings.compile,
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
        seed, recipe, processes = self.settings.seed, self.recipe, self.processes
        accuracy = f"{self.judged}_accuracy"
        progress = TrainingProgress(recipe.epochs, sum(self.images.sizes), len(entries))
        with closing(progress), Curves.of(self.job.path if journal is not None else None) as curves:
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
            images.train, images.learned, images.sizes, recipe.cutout_length, self.settings.seed, epoch
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
        if self.settings.official:
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
            **self._described(),
            "protocol": self.settings.protocol,
            "seed": self.settings.seed,
            "epochs": self.recipe.epochs,
            "effective_batch": self.recipe.batch_size,
            "processes": self.processes.count,
            "fast": self.settings.fast,
            "parameters": _parameters(trainer.network),
            "best_epoch": best,
            "best_epoch_chosen_by": f"{self.judge} accuracy",
            **scores,
            "seconds": round(sum(entry["seconds"] for entry in entries), 3),
        }


def _parameters(network: nn.Module) -> int:
    """Parameters without those that are for training only, such as an auxiliary head's."""
    count = sum(weight.numel() for weight in network.parameters())
    if isinstance(network, TrainedNetwork):
        count -= sum(weight.numel() for weight in network.training_only())
    return count
