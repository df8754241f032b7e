"""Which images a minibatch holds and how they are cropped: what a DataLoader would draw, without images."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from foresight_ext.errors import UserError
from foresight_ext.randomness import seeded

Item = TypeVar("Item")

# The official validation loads with four workers, each with a stream of its own. The number is a part of
# the method; how many threads really read images is not.
VALIDATION_STREAMS = 4


class BatchDraws(NamedTuple):
    """A minibatch before its images are read: indices (n) and the augmentation's draws (n x ...)."""

    indices: Tensor
    augmentation: Tensor


class Batch(NamedTuple):
    """A minibatch: inputs (n x C x H x W, float32), targets (n, int64), and a seed that is its own.

    `images` is the split of the data set it came from, for proxies that look at more of it; None without one.
    """

    inputs: Tensor
    targets: Tensor
    seed: int = 0
    images: "Images | None" = None


class Images(Protocol):
    """A split of a data set: datasets.ImageData and large_images.LargeImages are such."""

    @property
    def classes(self) -> int: ...

    @property
    def mean(self) -> Sequence[float]: ...

    @property
    def std(self) -> Sequence[float]: ...

    @property
    def augmentation(self) -> "Augmenting": ...

    def __len__(self) -> int: ...

    def described(self) -> dict[str, Any]:
        """What tells the split from another one, for config.json."""

    def render(self, draws: BatchDraws, device: torch.device) -> Batch:
        """Augmented images: a pure function of the draws."""

    def unaugmented(self, indices: Tensor, device: torch.device) -> Batch:
        """Images as they are evaluated."""


class Augmenting(Protocol):
    """Draws from torch's global generator what `Images.render` then applies."""

    @property
    def size(self) -> int: ...

    def draw(self, count: int) -> Tensor: ...


def checked_pair(images: Any, labels: Any, what: str) -> tuple[Tensor, Tensor]:
    """A minibatch's images and labels; whole numbers become int64, labels of a regression stay as they are.

    UserError (`what` is what the minibatch comes from) unless these are tensors of as many entries, and of
    finite numbers.
    """
    for name, given in (("images", images), ("labels", labels)):
        if not isinstance(given, Tensor):
            raise UserError(
                f"{what}: a minibatch's {name} are a {type(given).__name__}: they must be a tensor"
            )
        if given.dim() == 0 or len(given) == 0:
            raise UserError(f"{what}: a minibatch has no {name}: one or more are needed")
    if len(images) != len(labels):
        raise UserError(
            f"{what}: a minibatch has {len(images)} images and {len(labels)} labels: it must have as many"
        )
    if not images.isfinite().all():
        number = int((~images.isfinite()).flatten(1).any(dim=1).nonzero()[0]) if images.dim() > 1 else 0
        raise UserError(f"{what}: image {number} of a minibatch holds NaN or infinite numbers: it must not")
    return images, labels if labels.is_floating_point() else labels.long()


def recycled(items: Iterable[Item], what: str) -> Iterator[Item]:
    """The minibatches of a loader (`what` it is called) again and again; UserError where it gives no more."""
    count, before = 0, -1
    while count > before:
        before = count
        for item in items:
            count += 1
            yield item
    ended = f"it ended after {count} and can't be read again" if count else "a pass over it gave no minibatch"
    raise UserError(f"{what}: {ended}")


def digest(parts: Iterable[str | bytes]) -> str:
    """A short digest of some texts or bytes, in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else f"{part}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()[:16]


def seed_of(indices: Tensor) -> int:
    """The seed of a minibatch of these images (n), in this order."""
    return zlib.crc32(indices.numpy().tobytes())


def draw_pass(images: int, batch_size: int, augmentation: Augmenting) -> Iterator[BatchDraws]:
    """One pass of a DataLoader without workers over SubsetRandomSampler(range(images)).

    Draws from torch's global generator, each batch when it is asked for.
    """
    _, batches = _start_pass(images, batch_size)
    for indices in batches:
        yield BatchDraws(indices, augmentation.draw(len(indices)))


def draw_validation_pass(images: int, batch_size: int, augmentation: Augmenting) -> list[BatchDraws]:
    """One pass of a DataLoader with VALIDATION_STREAMS workers, which take batches in turn."""
    base_seed, batches = _start_pass(images, batch_size)
    draws: list[Tensor] = [torch.empty(0)] * len(batches)
    for worker in range(VALIDATION_STREAMS):
        with seeded(base_seed + worker):
            for index in range(worker, len(batches), VALIDATION_STREAMS):
                draws[index] = augmentation.draw(len(batches[index]))
    return [BatchDraws(*pair) for pair in zip(batches, draws)]


def _start_pass(images: int, batch_size: int) -> tuple[int, tuple[Tensor, ...]]:
    # a DataLoader draws its workers' base seed, wanted or not, before its sampler draws the order
    base_seed = int(torch.empty((), dtype=torch.int64).random_().item())
    return base_seed, torch.randperm(images).split(batch_size)
