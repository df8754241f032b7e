"""The minibatches of a training: which images, how drawn, read ahead; and which images are held out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from foresight_ext.errors import UserError
from foresight_ext.images.batches import BatchDraws, Images
from foresight_ext.randomness import RandomStreams, mixed_seed

_AHEAD = 3  # minibatches that are rendered before they are needed

Drawn = TypeVar("Drawn")
Rendered = TypeVar("Rendered")


class TrainingDraws(NamedTuple):
    """A minibatch before it is read; `cutout` (n x 2) are the squares' centres, y and x, None for none."""

    batch: BatchDraws
    cutout: Tensor | None

    def share(self, rank: int, processes: int) -> "TrainingDraws":
        """One process's images of the minibatch."""
        mine = slice(rank, None, processes)
        cutout = None if self.cutout is None else self.cutout[mine]
        return TrainingDraws(BatchDraws(*(draws[mine] for draws in self.batch)), cutout)


class DividedImages:
    """A training's images under its protocol: what is learned, what judges each epoch, what is tested.

    `official` learns all images of `train` and judges by `test`; otherwise a tenth of `train` is held out
    and judges. `learned`, `judged_by` and `tested` are indices, into `train`, `judging` and `test`; `sizes`
    are those of an epoch's minibatches. With `fast` there is one minibatch an epoch, and one to evaluate.
    UserError if there are too few images for two in each of `processes`.
    """

    def __init__(
        self,
        train: Images,
        test: Images,
        official: bool,
        seed: int,
        batch_size: int,
        processes: int,
        fast: bool = False,
    ):
        self.train, self.test, self.official = train, test, official
        if official:
            self.learned = torch.arange(len(train))
            self.judging, self.judged_by = test, torch.arange(len(test))
        else:
            self.learned, held_out = hold_out(len(train), seed)
            self.judging, self.judged_by = train, held_out
        self.tested = torch.arange(len(test))
        self.sizes = batch_sizes(len(self.learned), batch_size, 2 * processes)
        if not self.sizes:
            raise UserError(f"{len(self.learned)} images to train on are too few: {2 * processes} are needed")
        if fast:
            self.sizes = self.sizes[:1]
            self.judged_by, self.tested = self.judged_by[:batch_size], self.tested[:batch_size]


def hold_out(images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices to train on, and those of the tenth that is held out (at least one): fixed by the seed."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    held = max(1, images // 10)
    return order[held:].sort().values, order[:held].sort().values


def batch_sizes(images: int, batch_size: int, least: int) -> list[int]:
    """The sizes of an epoch's minibatches; a last one smaller than `least` is left out."""
    full, rest = divmod(images, batch_size)
    return [batch_size] * full + ([rest] if rest >= least else [])


def draw_epoch(
    data: Images, indices: Tensor, sizes: list[int], cutout_length: int, seed: int, epoch: int
) -> Iterator[TrainingDraws]:
    """Draw an epoch's minibatches from streams that are this epoch's own.

    So an epoch needs nothing from the one before, and no other draw (drop path, another process, a reading
    thread) moves it. Cutout draws from numpy, everything else from torch.
    """
    streams = RandomStreams(mixed_seed(seed, epoch))
    with streams.torch():
        order = indices[torch.randperm(len(indices))]
    for batch in order[: sum(sizes)].split(sizes):
        with streams.torch():
            draws = BatchDraws(batch, data.augmentation.draw(len(batch)))
        centres = draw_cutout(streams.numpy, len(batch), data.augmentation.size) if cutout_length else None
        yield TrainingDraws(draws, centres)


def draw_cutout(stream: np.random.RandomState, count: int, size: int) -> Tensor:
    """Centres (count x 2, int64) of the squares to blank: y, then x, image by image."""
    return torch.from_numpy(stream.randint(size, size=(count, 2), dtype=np.int64))


def cut_out(inputs: Tensor, centres: Tensor, length: int) -> Tensor:
    """Cutout (DeVries & Taylor 2017): blank a square, cut off at the border, in each normalised image."""
    centres, half = centres.to(inputs.device), length // 2
    holes = []
    for centre, side in zip(centres.unbind(1), inputs.shape[2:]):
        place = torch.arange(side, device=inputs.device)
        holes.append((place >= centre[:, None] - half) & (place < centre[:, None] + half))
    rows, columns = holes
    return inputs.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def read_ahead(
    draws: Iterable[Drawn], render: Callable[[Drawn], Rendered], ahead: bool
) -> Iterator[Rendered]:
    """Render minibatches, if `ahead` in a thread beside the computation. All draws happen in the caller's."""
    if not ahead:
        yield from map(render, draws)
        return
    waiting: deque[Future[Rendered]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            for drawn in draws:
                waiting.append(pool.submit(render, drawn))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
