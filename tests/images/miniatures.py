"""Miniature files of every data set in its published format, and the images and labels they hold."""

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.datasets import CIFAR10, CIFAR100, SVHN
from torchvision.datasets.folder import default_loader
from torchvision.transforms import RandomCrop, RandomHorizontalFlip, Resize

CIFAR10_MEAN = (0.49139968, 0.48215827, 0.44653124)
CIFAR10_STD = (0.24703233, 0.24348505, 0.26158768)
CIFAR_STYLE = (RandomCrop(32, padding=4), RandomHorizontalFlip())


@dataclass
class Split:
    images: torch.Tensor
    labels: list[int]


@dataclass
class Miniature:
    """What a miniature must be read as, and torchvision's transforms for training in their order."""

    classes: int
    train: Split
    test: Split
    mean: tuple
    std: tuple
    transforms: tuple = CIFAR_STYLE


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def write_pickle(path: Path, content, protocol: int = 4) -> str:
    """Write a pickle and return its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return md5(path)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar(root, monkeypatch, source, classes, key, parts, mean, std) -> Miniature:
    folder = root / source.base_folder
    sums, splits = {}, {}
    for seed, (split, names) in enumerate(parts.items()):
        rows = pixels(4 * len(names), 3072, seed=seed)
        labels = [(7 * index + seed) % classes for index in range(len(rows))]
        labels[:2] = [0, classes - 1]
        for part, name in enumerate(names):
            some = slice(4 * part, 4 * part + 4)
            sums[name] = write_pickle(folder / name, {"data": rows[some], key: labels[some]}, 2)
        splits[split] = Split(torch.from_numpy(rows).view(-1, 3, 32, 32), labels)
    names = {source.meta["key"]: [f"class {index}" for index in range(classes)]}
    meta_sum = write_pickle(folder / source.meta["filename"], names)
    # torchvision checks the published checksums, which are those of the full files
    monkeypatch.setattr(source, "train_list", [[name, sums[name]] for name in parts["train"]])
    monkeypatch.setattr(source, "test_list", [[name, sums[name]] for name in parts["test"]])
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": meta_sum})
    return Miniature(classes, splits["train"], splits["test"], mean, std)


def cifar10(root, monkeypatch):
    parts = {"train": [f"data_batch_{part}" for part in range(1, 6)], "test": ["test_batch"]}
    return cifar(root, monkeypatch, CIFAR10, 10, "labels", parts, CIFAR10_MEAN, CIFAR10_STD)


def cifar100(root, monkeypatch):
    parts = {"train": ["train"], "test": ["test"]}
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    return cifar(root, monkeypatch, CIFAR100, 100, "fine_labels", parts, mean, std)


def svhn(root, monkeypatch):
    splits, published = {}, {}
    for seed, (split, count) in enumerate({"train": 12, "test": 10}.items()):
        images = pixels(32, 32, 3, count, seed=seed)
        labels = [index % 10 + 1 for index in range(count)]
        path = root / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": images, "y": np.array(labels, dtype=np.uint8)[:, None]})
        published[split] = [SVHN.split_list[split][0], path.name, md5(path)]
        # the digit 0 has the label 10 in the files
        splits[split] = Split(torch.from_numpy(images).permute(3, 2, 0, 1), [label % 10 for label in labels])
    monkeypatch.setattr(SVHN, "split_list", published)
    mean, std = (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)
    return Miniature(10, splits["train"], splits["test"], mean, std)


def write_imagenet16(folder: Path) -> dict[str, Split]:
    splits = {}
    names = {"train": [f"train_data_batch_{part}" for part in range(1, 11)], "test": ["val_data"]}
    for seed, (split, files) in enumerate(names.items()):
        kept_images, kept_labels = [], []
        for part, file in enumerate(files):
            rows = pixels(6, 768, seed=100 * seed + part)
            labels = [1, 120, 121, 1000, 11 * part + 2, 120 + 17 * (part + 1)]
            labels = labels[part % 6 :] + labels[: part % 6]
            # the arrays are pickled in other ways by other protocols
            write_pickle(folder / file, {"data": rows, "labels": labels, "mean": rows.mean(0)}, part % 6)
            for row, label in zip(rows, labels):
                if label <= 120:
                    kept_images.append(torch.from_numpy(row).view(3, 16, 16))
                    kept_labels.append(label - 1)
        splits[split] = Split(torch.stack(kept_images), kept_labels)
    return splits


def imagenet16(root, monkeypatch):
    splits = write_imagenet16(root / "ImageNet16")
    assert len(splits["train"].labels) == 30
    mean = tuple(value / 255 for value in (122.68, 116.66, 104.01))
    std = tuple(value / 255 for value in (63.22, 61.26, 65.09))
    transforms = (RandomHorizontalFlip(), RandomCrop(16, padding=2))
    return Miniature(120, splits["train"], splits["test"], mean, std, transforms)


def enlarged_digits() -> torch.Tensor:
    """All digits, 8x8 to 32x32 by a product of matrices: bilinear, pixel centres aligned, edges held."""
    place = ((np.arange(32) + 0.5) / 4 - 0.5).clip(0, 7)
    weights = (1 - abs(place[:, None] - np.arange(8))).clip(0)
    large = np.round(weights @ (load_digits().images * 255 / 16) @ weights.T)
    return torch.from_numpy(large.astype(np.uint8))[:, None].repeat(1, 3, 1, 1)


def digits(root, monkeypatch):
    images, labels = enlarged_digits(), load_digits().target
    train, test = train_test_split(np.arange(1797), test_size=0.2, random_state=0, stratify=labels)
    mean, std = images[train].double().div(255).mean(), images[train].double().div(255).std()
    return Miniature(
        10,
        Split(images[train], labels[train].tolist()),
        Split(images[test], labels[test].tolist()),
        (pytest.approx(mean.item(), rel=1e-5),) * 3,
        (pytest.approx(std.item(), rel=1e-5),) * 3,
        (RandomCrop(32, padding=4),),
    )


# sorted by class folder, then by file; several modes and sizes
FOLDER = {
    "Zebra": {"1.png": ("RGB", 32, 32), "10.png": ("L", 32, 32), "2.png": ("RGB", 64, 48)},
    "ant": {"B.jpg": ("RGB", 32, 32), "a.PNG": ("RGBA", 40, 20), "b.bmp": ("RGB", 9, 70)},
    "bee": {"deep/1.png": ("P", 32, 32), "deep/2.jpeg": ("L", 100, 31), "deep/3.png": ("RGB", 8, 8)},
}


def write_folder(place: Path, seed: int = 0) -> list[tuple[Path, int]]:
    """Image files in class folders, made in another order than the one they are listed in: by hand sorted."""
    listed = [
        (place / name / file, label, *form)
        for label, (name, files) in enumerate(FOLDER.items())
        for file, form in files.items()
    ]
    for path, label, mode, width, height in reversed(listed):
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = [len(mode)] if mode in ("RGB", "RGBA") else []
        array = pixels(height, width, *channels, seed=seed + 10 * label + len(path.name))
        image = Image.fromarray(array)
        (image.convert("P") if mode == "P" else image).save(path)
        (path.parent / "notes.txt").write_text("no image")
    return [(path, label) for path, label, *_ in listed]


def read_listed(listed: list[tuple[Path, int]], size: int = 32) -> Split:
    """The images as they are listed."""
    resize = Resize((size, size))
    images = [np.array(resize(default_loader(str(path)))) for path, _ in listed]
    return Split(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), [label for _, label in listed])


def read_folder(listed: list[tuple[Path, int]], size: int = 32) -> Split:
    """The images shuffled, as where nothing gives their order."""
    order = torch.randperm(len(listed), generator=torch.Generator().manual_seed(0)).tolist()
    return read_listed([listed[index] for index in order], size)


def folder(root, monkeypatch):
    train, test = write_folder(root / "train"), write_folder(root / "test", seed=50)
    return Miniature(3, read_folder(train), read_folder(test), CIFAR10_MEAN, CIFAR10_STD)


MINIATURES = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "imagenet16-120": imagenet16,
    "digits": digits,
    "folder": folder,
}
