"""Which data set is asked for, and how its splits are opened. Known without PyTorch, opened when needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from foresight_ext.errors import UserError

if TYPE_CHECKING:
    from foresight_ext.images.batches import Images


class ImageSource(Protocol):
    """A data set: `dataset` is its name, `settings` what makes of it what it is, for a run's config.json.

    `root` is the folder that was named for it, which makes no difference; None: none was, or it needs none.
    """

    @property
    def dataset(self) -> str: ...

    @property
    def root(self) -> Path | None: ...

    def settings(self) -> dict[str, Any]: ...

    def open(self, split: str) -> "Images":
        """The split "train" or "test"; UserError if it can't be had."""


@dataclass(frozen=True)
class ImageSettings:
    """A data set of the registry DATASETS.

    `data` is the folder where it lies or is downloaded to; None means DATA_FOLDER. `image_size` (pixels a
    side; None: 32), `mean` and `std` (of each channel, on a scale of 0 to 1; None: CIFAR-10's) are those of
    the data set `folder`. `workers` threads read image files, which changes no result.
    """

    dataset: str = "cifar10"
    data: Path | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    workers: int = 2

    @property
    def root(self) -> Path | None:
        return self.data and self.data.resolve() if self.dataset != "digits" else None  # which is embedded

    def settings(self) -> dict[str, Any]:
        own = {"image_size": self.image_size, "mean": self.mean, "std": self.std}
        return {"dataset": self.dataset, **own}

    def open(self, split: str) -> "Images":
        from foresight_ext.images.datasets import Request, load

        folder_only = {"image_size": self.image_size, "mean": self.mean, "std": self.std}
        given = {name: value for name, value in folder_only.items() if value is not None}
        if given and self.dataset != "folder":
            raise UserError(f"--{next(iter(given))} goes with --dataset folder only, not {self.dataset}")
        size = Request.image_size if self.image_size is None else self.image_size
        return load(self.dataset, Request(self.data, split, size, self.mean, self.std, self.workers))


@dataclass(frozen=True)
class ImageNetSettings:
    """ImageNet's photographs in crops of `crop_size` pixels a side; `data` None: DATA_FOLDER/imagenet."""

    data: Path | None = None
    crop_size: int = 224
    workers: int = 2

    dataset = "imagenet"

    @property
    def root(self) -> Path | None:
        return self.data and self.data.resolve()

    def settings(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "crop_size": self.crop_size}

    def open(self, split: str) -> "Images":
        from foresight_ext.images.large_images import open_imagenet

        return open_imagenet(self.data, split, self.workers, self.crop_size)


class OpenedOnce:
    """A data set whose splits are opened once for several runs."""

    def __init__(self, source: ImageSource):
        self._source = source
        self._splits: dict[str, Images] = {}

    @property
    def dataset(self) -> str:
        return self._source.dataset

    @property
    def root(self) -> Path | None:
        return self._source.root

    def settings(self) -> dict[str, Any]:
        return self._source.settings()

    def open(self, split: str) -> "Images":
        if split not in self._splits:
            self._splits[split] = self._source.open(split)
        return self._splits[split]

    def __getstate__(self) -> dict[str, Any]:
        """Another process opens its own."""
        return {"_source": self._source, "_splits": {}}
