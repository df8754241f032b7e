"""TensorBoard's files of a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from foresight_ext.files import naming

if TYPE_CHECKING:  # slow to import, and a finished run needs none
    from torch.utils.tensorboard import SummaryWriter


@contextmanager
def tensorboard(run: Path) -> Iterator["SummaryWriter"]:
    """What writes a run's curves, until the block ends.

    It writes in a thread of its own, whose error the next curve, or the end of the block, raises: a full
    disk is never passed over, and when the run goes on it writes all of its curves again.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = run / "tensorboard"
    with naming(folder), SummaryWriter(str(folder)) as board:
        yield board
