"""How a training runs, apart from its network, its recipe and its images."""

from dataclasses import dataclass
from typing import Any

PROTOCOLS = ("holdout", "official")


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a training.

    `protocol` is holdout (a tenth of the training images chooses the best epoch) or official (trains on all
    and reads the test accuracy every epoch, as the official code does). `amp` is mixed precision, `compile`
    torch.compile; with `fast` there is one minibatch an epoch. `processes` train together. A checkpoint is
    kept every `ckpt_interval` epochs; `resume_epoch` goes back to the kept one of that epoch, 0 goes on from
    the last. `ahead`: minibatches are read in a thread beside the computation.
    """

    seed: int = 0
    protocol: str = "holdout"
    amp: bool = False
    compile: bool = False
    fast: bool = False
    processes: int = 1
    ckpt_interval: int = 50
    resume_epoch: int = 0
    ahead: bool = True

    @property
    def official(self) -> bool:
        return self.protocol == "official"

    def as_written(self) -> dict[str, Any]:
        """What of this makes the result, by the names of the options, for config.json."""
        names = ("seed", "protocol", "amp", "compile", "fast")
        return {name: getattr(self, name) for name in names}
