"""ImageNet's photographs, from class folders or HDF5, cropped to 224 pixels: drawn first, applied after."""

import io
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torch import Tensor

from foresight_ext.errors import UserError, reason
from foresight_ext.files import DATA_FOLDER
from foresight_ext.images.batches import Batch, BatchDraws, digest, seed_of
from foresight_ext.images.class_folders import class_folders
from foresight_ext.images.datasets import mixed_order, normalised, ordered_by
from foresight_ext.images.decoding import decoded

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_TRIES = 10  # to find a crop that fits, as in torchvision
_NUMBERS = 2 * _TRIES + 2 + 1 + 4 + 4  # sizes, place, flip, strengths, order


class LargeAugmentation:
    """RandomResizedCrop, a flip half of the time and ColorJitter(.4, .4, .4, .2), as torchvision has them.

    What torchvision draws depends on the image's size; here an image gets the same count of random numbers
    whatever its size, so that nothing has to be read to draw.
    """

    def __init__(self, size: int = 224):
        self.size = size

    def draw(self, count: int) -> Tensor:
        """(count x 31, float64): uniform random numbers from torch's global generator."""
        return torch.rand(count, _NUMBERS, dtype=torch.float64)

    def apply(self, image: Image.Image, numbers: Tensor) -> Image.Image:
        """The image under its row of numbers (31)."""
        drawn = numbers.tolist()
        top, left, height, width = crop_box(image.height, image.width, drawn[: 2 * _TRIES + 2])
        flip, *strengths = drawn[2 * _TRIES + 2 : -4]
        image = TF.resized_crop(image, top, left, height, width, [self.size, self.size])
        if flip < 0.5:
            image = TF.hflip(image)
        brightness, contrast, saturation = (0.6 + 0.8 * value for value in strengths[:3])
        changes = (
            (TF.adjust_brightness, brightness),
            (TF.adjust_contrast, contrast),
            (TF.adjust_saturation, saturation),
            (TF.adjust_hue, 0.4 * strengths[3] - 0.2),
        )
        for index in numbers[-4:].argsort().tolist():
            change, strength = changes[index]
            image = change(image, strength)
        return image


def crop_box(height: int, width: int, drawn: list[float]) -> tuple[int, int, int, int]:
    """Top, left, height and width of RandomResizedCrop's crop, out of 22 uniform random numbers."""
    low, high = math.log(3 / 4), math.log(4 / 3)
    for area, ratio in zip(drawn[0 : 2 * _TRIES : 2], drawn[1 : 2 * _TRIES : 2]):
        target = height * width * (0.08 + 0.92 * area)
        aspect = math.exp(low + (high - low) * ratio)
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(drawn[-2] * (height - h + 1)), int(drawn[-1] * (width - w + 1)), h, w
    # no crop fitted: the largest central one
    w, h = width, height
    if width / height < 3 / 4:
        h = round(width / (3 / 4))
    elif width / height > 4 / 3:
        w = round(height * (4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


class LargeImages:
    """One split of photographs. `read` gives an image (RGB) and its label for an index.

    `files` is a digest of what it is read from. `mixed` numbers the images anew, once and for all, because
    they lie sorted by class; `listed` is the name of the list that gives their order instead.
    Evaluation takes the centre (`size`) of the image whose shorter side is resized to 8/7 of that.
    """

    name = "imagenet"
    mean = MEAN
    std = STD

    def __init__(
        self,
        count: int,
        classes: int,
        read: Callable[[int], tuple[Image.Image, int]],
        workers: int,
        size: int = 224,
        mixed: bool = False,
        files: str = "",
        listed: str | None = None,
    ):
        self.classes = classes
        self.augmentation = LargeAugmentation(size)
        self._count = count
        self._files = files
        self._listed = listed
        self._read = read
        self._workers = workers
        self._order = mixed_order(count) if mixed else torch.arange(count)

    def __len__(self) -> int:
        return self._count

    def described(self) -> dict[str, Any]:
        listed = ordered_by(self._listed)
        return {"images": len(self), "classes": self.classes, **listed, "digest": self._files}

    def render(self, draws: BatchDraws, device: torch.device) -> Batch:
        """Read, crop, flip, change colours and normalise: a pure function of the draws."""
        return self._batch(draws.indices, draws.augmentation, device)

    def unaugmented(self, indices: Tensor, device: torch.device) -> Batch:
        """Images as they are evaluated."""
        return self._batch(indices, [None] * len(indices), device)

    def _batch(self, indices: Tensor, rows: Iterable[Tensor | None], device: torch.device) -> Batch:
        order = self._order[indices].tolist()
        if self._workers <= 1:
            pairs = [self._one(index, row) for index, row in zip(order, rows)]
        else:
            with ThreadPoolExecutor(self._workers) as pool:
                pairs = list(pool.map(self._one, order, rows))
        images, labels = (
            torch.stack([image for image, _ in pairs]),
            torch.tensor([label for _, label in pairs]),
        )
        inputs = normalised(images.to(device), self.mean, self.std)
        return Batch(inputs, labels.to(device), seed_of(indices), self)

    def _one(self, index: int, row: Tensor | None) -> tuple[Tensor, int]:
        image, label = self._read(index)
        if row is not None:
            image = self.augmentation.apply(image, row)
        else:
            size = self.augmentation.size
            image = TF.center_crop(TF.resize(image, size * 8 // 7), [size, size])
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), label


def open_imagenet(root: Path | None, split: str, workers: int, size: int = 224) -> LargeImages:
    """The split "train" or "test" (ImageNet's validation images) under `root`.

    UserError says what is missing: class folders in train/ and val/, or the official code's HDF5 files.
    """
    root = root if root is not None else DATA_FOLDER / "imagenet"
    folder = "train" if split == "train" else "val"
    file = root / f"imagenet-{folder}-256.h5"
    if (root / folder).is_dir():
        return _from_folders(root, folder, workers, size)
    if file.is_file():
        return _from_hdf5(file, workers, size, mixed=folder == "train")
    raise UserError(f"--data {root} has neither a folder {folder}/ of class folders nor {file.name}")


def _from_folders(root: Path, folder: str, workers: int, size: int) -> LargeImages:
    samples, classes, listed = class_folders(root, folder)

    def read(index: int) -> tuple[Image.Image, int]:
        path, label = samples[index]
        return decoded(path, path), label

    names = digest(str(Path(path).relative_to(root)) for path, _ in samples)
    mixed = folder == "train" and listed is None
    return LargeImages(len(samples), len(classes), read, workers, size, mixed, names, listed)


def _from_hdf5(file: Path, workers: int, size: int, mixed: bool) -> LargeImages:
    """A group for each image, named by its index, with `data` (H x W x 3 bytes, or a JPEG) and `target`."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{file} needs the package h5py: pip install h5py") from error
    try:
        content = h5py.File(file, "r")
    except OSError as error:
        raise UserError(f"{file} is no HDF5 file, or damaged: {reason(error)}") from error

    def read(index: int) -> tuple[Image.Image, int]:
        try:
            record = content[str(index)]
            data, label = np.asarray(record["data"][()], dtype=np.uint8), int(record["target"][()])
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise UserError(f"{file} is damaged at image {index}: {reason(error)}") from error
        if data.ndim == 1:
            return decoded(io.BytesIO(data.tobytes()), f"image {index} of {file}"), label
        return Image.fromarray(data).convert("RGB"), label

    return LargeImages(len(content), 1000, read, workers, size, mixed, digest([str(file.stat().st_size)]))
