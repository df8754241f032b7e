"""The data sets: images as bytes, labels, normalisation and augmentation, whatever they are stored as."""

import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from foresight_ext.errors import UserError, reason
from foresight_ext.files import DATA_FOLDER
from foresight_ext.images import DATASETS
from foresight_ext.images.augmentation import Augmentation
from foresight_ext.images.batches import Batch, BatchDraws, digest, seed_of
from foresight_ext.images.checking import check_images, stats_of
from foresight_ext.images.decoding import decoded
from foresight_ext.images.pickles import load_arrays

_CIFAR10_MEAN = (0.49139968, 0.48215827, 0.44653124)
_CIFAR10_STD = (0.24703233, 0.24348505, 0.26158768)
# decoded images are kept in memory up to this many bytes
_CACHE_LIMIT = 2**30


@dataclass(frozen=True)
class Request:
    """What the user asked for: where the data lies (None: the default), the split, and folder's options."""

    root: Path | None = None
    split: str = "train"
    image_size: int = 32
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    workers: int = 0

    @property
    def folder(self) -> Path:
        return self.root if self.root is not None else DATA_FOLDER


@dataclass(frozen=True)
class ImageData:
    """One split of a data set. `fetch` gives images (n x 3 x size x size, uint8) for indices (n)."""

    name: str
    classes: int
    labels: Tensor
    fetch: Callable[[Tensor], Tensor]
    mean: Sequence[float]
    std: Sequence[float]
    augmentation: Augmentation
    files: str = ""  # a digest of the files' names and sizes, where there are such
    listed: str | None = None  # the name of the list that gives their order, where there is one

    def __len__(self) -> int:
        return len(self.labels)

    def described(self) -> dict[str, Any]:
        content = digest([self.labels.numpy().tobytes(), self.files])
        return {"images": len(self), "classes": self.classes, **ordered_by(self.listed), "digest": content}

    def render(self, draws: BatchDraws, device: torch.device) -> Batch:
        """Read, crop, flip and normalise the images of a minibatch: a pure function of its draws."""
        images = self.augmentation.apply(self.fetch(draws.indices), draws.augmentation)
        return self._batch(images, draws.indices, device)

    def unaugmented(self, indices: Tensor, device: torch.device) -> Batch:
        """Read and normalise images (indices: n) as they are evaluated, not cropped or flipped."""
        return self._batch(self.fetch(indices), indices, device)

    def _batch(self, images: Tensor, indices: Tensor, device: torch.device) -> Batch:
        inputs = normalised(images.to(device), self.mean, self.std)
        return Batch(inputs, self.labels[indices].to(device), seed_of(indices), self)


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Bytes (n x 3 x H x W) as numbers less the channels' mean, by their standard deviation."""
    shift, scale = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (mean, std))
    # Augmentation leaves images channels-last, and layers pass that on. On a CPU, PyTorch's gradients are
    # less exact then (off by 1e-3, not 1e-5), and with AVX2 (PyTorch 2.14) that of a 1x1 convolution of
    # stride 2 on fewer than 8 channels spoils memory or never ends.
    return images.contiguous().float().div_(255).sub_(shift).div_(scale)


def mixed_order(images: int) -> Tensor:
    """The order of files that lie sorted by class: fixed, and the first of them mix the classes."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(0))


def ordered_by(listed: str | None) -> dict[str, Any]:
    """What a split's description says of a list that gives the order of its files."""
    return {} if listed is None else {"order": listed}


def load(name: str, request: Request) -> ImageData:
    """Open a data set of the registry; UserError says which file is missing and where it goes."""
    return DATASETS.get(name)(request)


def _in_memory(images: np.ndarray) -> Callable[[Tensor], Tensor]:
    tensor = torch.from_numpy(images)
    return lambda indices: tensor[indices]


@contextmanager
def _downloading(name: str, archive: str, folder: Path) -> Iterator[None]:
    """Turn any failure to fetch a data set into one line; give up on a silent server."""
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        yield
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"--dataset {name}: no intact {archive} in {folder}, and it could not be downloaded "
            f"({reason(error)}): put it there, or use --dataset digits, which needs no download"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def _cifar(
    name: str, source: str, mean: Sequence[float], std: Sequence[float]
) -> Callable[[Request], ImageData]:
    """What opens one of torchvision's data sets, by the name that it has there."""

    def build(request: Request) -> ImageData:
        import torchvision.datasets  # takes as long as PyTorch itself: only where it is needed

        reader = getattr(torchvision.datasets, source)
        with _downloading(name, reader.filename, request.folder):
            data = reader(str(request.folder), train=request.split == "train", download=True)
        return ImageData(
            name,
            len(data.classes),
            torch.tensor(data.targets),
            _in_memory(np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))),
            mean,
            std,
            Augmentation(32),
        )

    return build


def svhn(request: Request) -> ImageData:
    """Street view house numbers."""
    import torchvision.datasets

    with _downloading("svhn", f"{request.split}_32x32.mat", request.folder):
        data = torchvision.datasets.SVHN(str(request.folder), split=request.split, download=True)
    return ImageData(
        "svhn",
        10,
        torch.from_numpy(data.labels).long(),
        _in_memory(data.data),
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
        Augmentation(32),
    )


def imagenet16(request: Request) -> ImageData:
    """ImageNet16-120 from its published batches: the first 120 of the downsampled ImageNet's classes."""
    train = request.split == "train"
    names = [f"train_data_batch_{part}" for part in range(1, 11)] if train else ["val_data"]
    places = [request.folder / "ImageNet16", request.folder / "imagenet16", request.folder]
    place = next((place for place in places if (place / names[0]).is_file()), None)
    if place is None:
        raise UserError(
            f"--dataset imagenet16-120: {names[0]} is not in {places[0]} or {places[1]}: put the published "
            "ImageNet16 batches there, or use --dataset digits, which needs no download"
        )
    images, labels = [], []
    for name in names:
        content = load_arrays(place / name)
        try:
            images.append(np.asarray(content["data"], dtype=np.uint8).reshape(-1, 3, 16, 16))
            labels.append(np.asarray(content["labels"], dtype=np.int64))
        except KeyError as error:
            raise UserError(f"{place / name} is no ImageNet16 batch: it has no {error}") from error
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise UserError(f"{place / name} is no ImageNet16 batch: {reason(error)}") from error
        if labels[-1].shape != images[-1].shape[:1]:
            told = f"{len(images[-1])} images with {labels[-1].size} labels"
            raise UserError(f"{place / name} is no ImageNet16 batch: {told}")
    label = np.concatenate(labels)
    kept = (label >= 1) & (label <= 120)
    return ImageData(
        "imagenet16-120",
        120,
        torch.from_numpy(label[kept] - 1),
        _in_memory(np.concatenate(images)[kept]),
        tuple(value / 255 for value in (122.68, 116.66, 104.01)),
        tuple(value / 255 for value in (63.22, 61.26, 65.09)),
        Augmentation(16, padding=2, flip_first=True),
    )


def digits(request: Request) -> ImageData:
    """Scikit-learn's 1,797 handwritten digits, enlarged from 8x8 to 3x32x32; a fifth is the test split."""
    train, test, mean, std = _enlarged_digits()
    images, labels = train if request.split == "train" else test
    return ImageData(
        "digits",
        10,
        labels.clone(),
        lambda indices: images[indices],
        (mean,) * 3,
        (std,) * 3,
        Augmentation(32, flip=False),
    )


@cache
def _enlarged_digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], float, float]:
    """Images (uint8) and labels of both splits, mean and deviation: reading their text takes its time."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, test, *labels = train_test_split(
        data.images, data.target, test_size=0.2, random_state=0, stratify=data.target
    )

    def enlarge(images: np.ndarray) -> Tensor:
        small = torch.from_numpy(images).float()[:, None] / 16 * 255
        large = F.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
        return large.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()

    images = enlarge(train)
    pixels = images[:, 0].double() / 255
    train_labels, test_labels = (torch.from_numpy(one).long() for one in labels)
    splits = (images, train_labels), (enlarge(test), test_labels)
    return *splits, pixels.mean().item(), pixels.std().item()


class _FolderImages:
    """Reads and resizes image files, with threads, and keeps what it has read."""

    def __init__(self, files: list[str], size: int, workers: int):
        self.files = files
        self.size = size
        self.workers = workers
        fits = len(files) * 3 * size * size <= _CACHE_LIMIT
        self._kept = torch.empty(len(files), 3, size, size, dtype=torch.uint8) if fits else None
        self._have = torch.zeros(len(files), dtype=torch.bool)

    def __call__(self, indices: Tensor) -> Tensor:
        if self._kept is None:
            return torch.stack(self._read(indices.tolist()))
        missing = indices[~self._have[indices]].unique()
        if len(missing):
            self._kept[missing] = torch.stack(self._read(missing.tolist()))
            self._have[missing] = True
        return self._kept[indices]

    def _read(self, indices: list[int]) -> list[Tensor]:
        if self.workers <= 1:
            return [self._read_one(index) for index in indices]
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._read_one, indices))

    def _read_one(self, index: int) -> Tensor:
        image = decoded(self.files[index], self.files[index])
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def folder(request: Request) -> ImageData:
    """Any images in class folders, as a list beside the folder orders them; else sorted, then shuffled once.

    UserError names damaged ones here, before long work starts.
    """
    from foresight_ext.images.class_folders import class_folders

    if request.root is None:
        raise UserError("--dataset folder needs --data DIR, with the images in DIR/train/<class>/")
    splits = ["train"] if request.split == "train" else ["test", "val"]
    place = next((request.root / s for s in splits if (request.root / s).is_dir()), None)
    if place is None:
        raise UserError(f"--data {request.root} has no folder {' or '.join(splits)} of class folders")
    samples, _, listed = class_folders(request.root, place.name)
    if listed is None:
        samples = [samples[index] for index in mixed_order(len(samples)).tolist()]
    labels = torch.tensor([label for _, label in samples])
    files = [file for file, _ in samples]
    stats = stats_of(files)
    check_images(place, files, stats, request.workers)
    sizes = (f"{Path(file).relative_to(place)} {one.st_size}" for file, one in zip(files, stats))
    return ImageData(
        "folder",
        int(labels.max()) + 1,
        labels,
        _FolderImages(files, request.image_size, request.workers),
        request.mean or _CIFAR10_MEAN,
        request.std or _CIFAR10_STD,
        Augmentation(request.image_size),
        digest(sizes),
        listed,
    )


cifar10 = _cifar("cifar10", "CIFAR10", _CIFAR10_MEAN, _CIFAR10_STD)
cifar100 = _cifar("cifar100", "CIFAR100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
