"""The checkpoints of a training: the last, the best and every n-th epoch's, each written in one step."""

import errno
import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from foresight_ext.errors import UserError, reason
from foresight_ext.files import replacing

_KEPT = re.compile(r"epoch-(\d+)\.pt")


class Checkpoints:
    """The folder checkpoints/ of a run.

    A checkpoint is a dictionary with `epochs` (done), `network`, `optimizer` and `scaler` (state
    dictionaries), `entries` (the journal's) and `best_epoch` (counted from 1).
    """

    def __init__(self, run: Path, interval: int):
        self.folder = run / "checkpoints"
        self.last = self.folder / "last.pt"
        self.best = self.folder / "best.pt"
        self.interval = interval

    def kept(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch (counted from 1) is kept."""
        return self.folder / f"epoch-{epoch:04d}.pt"

    def kept_epochs(self) -> list[int]:
        """The epochs whose checkpoints are kept, counted from 1."""
        if not self.folder.is_dir():
            return []
        names = (_KEPT.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def save(self, content: dict[str, Any]) -> None:
        """Write the checkpoint of an epoch; once this returns it outlives the process."""
        epoch = content["epochs"]
        paths = [self.best] if content["best_epoch"] == epoch else []
        if epoch % self.interval == 0:
            paths.append(self.kept(epoch))
        # `last` at the end: if the process is killed before, the epoch is computed and saved again
        for path in [*paths, self.last]:
            _save(content, path)

    def load(self, path: Path) -> dict[str, Any]:
        """A checkpoint, on the CPU. UserError if it can't be read."""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if not {"epochs", "network", "optimizer", "scaler", "entries", "best_epoch"} <= set(content):
                raise ValueError("it is no checkpoint of a training")
        except (OSError, EOFError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError) as error:
            epochs = ", ".join(map(str, self.kept_epochs()))
            other = f", or --resume_epoch goes back to one of the epochs {epochs}" if epochs else ""
            what = reason(error).split(". ")[0]
            raise UserError(f"{path} is damaged ({what}): --force starts afresh{other}") from error
        return content

    def find(self, epoch: int) -> Path:
        """The kept checkpoint of an epoch, counted from 1; UserError if there is none."""
        path = self.kept(epoch)
        if path.is_file():
            return path
        choice = f"choose from 0 (the last){''.join(f', {kept}' for kept in self.kept_epochs())}"
        if not self.last.is_file():
            choice = "there is no run to go on with"
        raise UserError(f"--resume_epoch {epoch}: {self.folder} holds no checkpoint of that epoch: {choice}")

    def start(self, epoch: int) -> dict[str, Any] | None:
        """The checkpoint to go on from: of `epoch`, or the last one for 0; None if there is none yet."""
        if epoch == 0:
            return self.load(self.last) if self.last.is_file() else None
        content = self.load(self.find(epoch))
        best = self.load(self.best)["epochs"] if self.best.is_file() else 0
        if best > epoch:  # the best up to `epoch` is gone: what follows is compared with `epoch` itself
            content["best_epoch"] = epoch
            _save(content, self.best)
        return content


def _save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint in one step; OSError if there is no room for it."""
    with replacing(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # what PyTorch says of a disk that is full, in several ways
            if not any(words in str(error) for words in ("iostream error", "unexpected pos", "write failed")):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
