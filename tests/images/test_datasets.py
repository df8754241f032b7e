"""The data sets: every one of the registry reads its miniature, and all mistakes."""

import os
import pickle
import shutil
import socket
import urllib.request
from collections.abc import Callable
from http.client import BadStatusLine
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor

from foresight_ext.errors import UserError
from foresight_ext.images import datasets
from foresight_ext.images.batches import BatchDraws
from foresight_ext.images.datasets import DATASETS, Request, load
from foresight_ext.images.pickles import load_arrays
from tests import PROJECT_ROOT
from tests.images.miniatures import (
    MINIATURES,
    enlarged_digits,
    pixels,
    read_folder,
    write_folder,
    write_imagenet16,
    write_pickle,
)

INSTEAD = "or use --dataset digits, which needs no download"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def fault_of(call: Callable, *arguments) -> str:
    """The message of the UserError that a call raises, which must be one line."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message == message.strip()
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set(name, tmp_path, monkeypatch):
    assert name in MINIATURES, f"the data set {name} is new: give it a miniature in MINIATURES"
    expected = MINIATURES[name](tmp_path, monkeypatch)
    for split in ("train", "test"):
        data, told = load(name, Request(tmp_path, split)), getattr(expected, split)
        count = len(told.labels)
        assert (data.name, data.classes, len(data)) == (name, expected.classes, count)
        assert data.labels.dtype == torch.int64
        assert data.labels.tolist() == told.labels
        assert (data.labels.min(), data.labels.max()) == (0, data.classes - 1)
        size = data.augmentation.size
        images = data.fetch(torch.arange(count))
        assert (images.shape, images.dtype) == ((count, 3, size, size), torch.uint8)
        assert torch.equal(images, told.images)
        some = torch.tensor([count - 1, 0, 2, 0])
        assert torch.equal(data.fetch(some), told.images[some])
        assert (tuple(data.mean), tuple(data.std)) == (expected.mean, expected.std)

        torch.manual_seed(4)
        official = Compose([*expected.transforms, ToTensor(), Normalize(data.mean, data.std)])
        hwc = told.images[some].permute(0, 2, 3, 1).numpy()
        inputs = torch.stack([official(Image.fromarray(image)) for image in hwc])
        torch.manual_seed(4)
        batch = data.render(BatchDraws(some, data.augmentation.draw(len(some))), torch.device("cpu"))
        assert torch.equal(batch.inputs, inputs)
        assert batch.inputs.is_contiguous()
        assert torch.equal(batch.targets, data.labels[some])
    assert not torch.equal(expected.train.images[:3], expected.test.images[:3])


def test_default_place():
    assert Request().folder == datasets.DATA_FOLDER == PROJECT_ROOT / "data"


def test_digits_are_split_by_class():
    train, test = load("digits", Request()), load("digits", Request(split="test"))
    assert (len(train), len(test)) == (1437, 360)
    counts, held = train.labels.bincount(), test.labels.bincount()
    assert (counts + held).tolist() == np.bincount(load_digits().target).tolist()
    assert ((held - 0.2 * (counts + held)).abs() < 1).all()
    images = [data.fetch(torch.arange(len(data))) for data in (train, test)]
    assert (images[0].min(), images[0].max()) == (0, 255)
    for channel in (1, 2):
        assert torch.equal(images[0][:, 0], images[0][:, channel])
    # every digit is in one of the splits, once
    both = sorted(image.numpy().tobytes() for image in torch.cat(images))
    assert both == sorted(image.numpy().tobytes() for image in enlarged_digits())
    again = load("digits", Request())
    assert torch.equal(again.labels, train.labels)
    assert torch.equal(again.fetch(torch.arange(len(again))), images[0])


@pytest.mark.parametrize("place", ["ImageNet16", "imagenet16", "."])
def test_places_of_imagenet16(tmp_path, place):
    splits = write_imagenet16(tmp_path / place)
    data = load("imagenet16-120", Request(tmp_path))
    assert torch.equal(data.fetch(torch.arange(len(data))), splits["train"].images)


# ---- class folders ----


def test_folder_of_another_size(tmp_path):
    expected = read_folder(write_folder(tmp_path / "train"), 20)
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)
    data = load("folder", Request(tmp_path, image_size=20, mean=mean, std=std))
    assert torch.equal(data.fetch(torch.arange(9)), expected.images)
    assert (data.mean, data.std) == (mean, std)
    official = Compose([RandomCrop(20, padding=4), RandomHorizontalFlip(), ToTensor(), Normalize(mean, std)])
    torch.manual_seed(0)
    inputs = [official(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in expected.images]
    torch.manual_seed(0)
    draws = BatchDraws(torch.arange(9), data.augmentation.draw(9))
    assert torch.equal(data.render(draws, torch.device("cpu")).inputs, torch.stack(inputs))


def test_folder_test_split(tmp_path):
    write_folder(tmp_path / "train")
    val = read_folder(write_folder(tmp_path / "val", seed=50))
    data = load("folder", Request(tmp_path, "test"))
    assert torch.equal(data.fetch(torch.arange(9)), val.images)
    test = read_folder(write_folder(tmp_path / "test", seed=90))
    data = load("folder", Request(tmp_path, "test"))
    assert torch.equal(data.fetch(torch.arange(9)), test.images)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_reads_the_same(tmp_path, monkeypatch, workers):
    listed = write_folder(tmp_path / "train")
    expected = read_folder(listed).images
    requests = [torch.tensor([4, 2]), torch.tensor([2, 8, 4, 4, 0]), torch.arange(9)]
    kept = load("folder", Request(tmp_path, workers=workers))
    monkeypatch.setattr(datasets, "_CACHE_LIMIT", 0)
    read_anew = load("folder", Request(tmp_path, workers=workers))
    for indices in requests:
        assert torch.equal(kept.fetch(indices), expected[indices])
        assert torch.equal(read_anew.fetch(indices), expected[indices])
    # what has been read is kept as long as all of it fits
    for path, _ in listed:
        path.unlink()
    assert torch.equal(kept.fetch(torch.arange(9)), expected)
    with pytest.raises(UserError, match="cannot be read as an image"):
        read_anew.fetch(torch.arange(9))


# ---- mistakes ----


def test_unknown_data_set():
    for name, told in (
        ("cifar-10", "cifar10, cifar100, imagenet16-120, svhn, digits, folder"),
        ("CIFAR100", "cifar100, cifar10, svhn, imagenet16-120, digits, folder"),
        ("imagenet16", "imagenet16-120, cifar10, cifar100, svhn, digits, folder"),
        ("SVHN", "svhn, cifar10, cifar100, imagenet16-120, digits, folder"),
    ):
        assert fault_of(load, name, Request()) == f"unknown data set '{name}': choose from {told}"


@pytest.fixture
def patience():
    """How long sockets wait before a download: seconds that must be given back after it."""
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(7)
    yield 7
    socket.setdefaulttimeout(usual)


@pytest.mark.parametrize(
    ("name", "split", "archive"),
    [
        ("cifar10", "train", "cifar-10-python.tar.gz"),
        ("cifar100", "test", "cifar-100-python.tar.gz"),
        ("svhn", "train", "train_32x32.mat"),
        ("svhn", "test", "test_32x32.mat"),
    ],
)
def test_no_network(tmp_path, monkeypatch, patience, name, split, archive):
    place = tmp_path / "new"
    waits = []

    def refuse(error):
        def urlopen(*_, **__):
            waits.append(socket.getdefaulttimeout())
            raise error

        monkeypatch.setattr(urllib.request, "urlopen", urlopen)

    for found in (None, b"half of it"):
        if found:
            place.mkdir(exist_ok=True)
            (place / archive).write_bytes(found)
        for error, told in (
            (URLError("no\nnetwork"), "<urlopen error no network>"),
            (TimeoutError(), "TimeoutError"),
            (BadStatusLine("who?"), "who?"),
        ):
            refuse(error)
            assert fault_of(load, name, Request(place, split)) == (
                f"--dataset {name}: no intact {archive} in {place}, and it could not be downloaded "
                f"({told}): put it there, {INSTEAD}"
            )
            assert socket.getdefaulttimeout() == patience
    assert set(waits) == {30}


def test_missing_imagenet16(tmp_path):
    where = f"{tmp_path}/ImageNet16 or {tmp_path}/imagenet16: put the published ImageNet16 batches there"
    for split, first in (("train", "train_data_batch_1"), ("test", "val_data")):
        assert fault_of(load, "imagenet16-120", Request(tmp_path, split)) == (
            f"--dataset imagenet16-120: {first} is not in {where}, {INSTEAD}"
        )
    write_imagenet16(tmp_path)
    (tmp_path / "train_data_batch_7").unlink()
    assert fault_of(load, "imagenet16-120", Request(tmp_path)) == f"{tmp_path}/train_data_batch_7 is missing"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"labels": [1, 2]}, "it has no 'data'"),
        ({"data": pixels(2, 768)}, "it has no 'labels'"),
        ([1, 2], "list indices must be integers or slices, not str"),
        ({"data": pixels(2, 767), "labels": [1, 2]}, "cannot reshape array of size 1534"),
        ({"data": pixels(2, 768), "labels": ["a", "b"]}, "invalid literal for int()"),
        ({"data": pixels(2, 768), "labels": [1, 2, 3]}, "2 images with 3 labels"),
        ({"data": pixels(2, 768), "labels": 1}, "2 images with 1 labels"),
    ],
)
def test_a_batch_of_something_else(tmp_path, content, told):
    path = tmp_path / "val_data"
    write_pickle(path, content)
    fault = fault_of(load, "imagenet16-120", Request(tmp_path, "test"))
    assert fault.startswith(f"{path} is no ImageNet16 batch: {told}")


def test_damaged_pickles(tmp_path):
    path = tmp_path / "val_data"
    request = Request(tmp_path, "test")
    for protocol in range(6):
        write_pickle(path, {"data": pixels(2, 768), "labels": [1, 2]}, protocol)
        whole = path.read_bytes()
        assert len(load("imagenet16-120", request)) == 2
        for cut in (0, 1, 2, 20, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:cut])
            fault = fault_of(load, "imagenet16-120", request)
            assert fault.startswith(f"{path} is not an intact pickle of arrays: ")
            assert not fault.endswith(": ")
    for damaged in (
        b"not a pickle",
        b"Pid\n.",  # a message of two lines
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # longer than any memory
        b"c_codecs\nencode\n(Va\nVno_codec\ntR.",  # LookupError
    ):
        path.write_bytes(damaged)
        fault = fault_of(load_arrays, path)
        assert fault.startswith(f"{path} is not an intact pickle of arrays: ")
    assert fault_of(load_arrays, tmp_path) == f"{tmp_path} cannot be read: Is a directory"


class Malicious:
    """Runs a call when unpickled."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def test_a_malicious_pickle_is_not_executed(tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "val_data"
    module = os.system.__module__
    through_pathlib = f"\x80\x04\x8c\x07pathlib\x8c\x09os.system\x93\x8c{chr(len(f'echo > {marker}'))}"
    for content, told in (
        (pickle.dumps({"data": Malicious(os.system, f"echo > {marker}")}), f"{module}.system"),
        (pickle.dumps(Malicious(eval, f"open({str(marker)!r}, 'w')"), 2), "__builtin__.eval"),
        (f"{through_pathlib}echo > {marker}\x85R.".encode("latin1"), "pathlib.os.system"),
    ):
        pickle.loads(content)
        assert marker.exists()
        marker.unlink()
        path.write_bytes(content)
        assert fault_of(load, "imagenet16-120", Request(tmp_path, "test")) == (
            f"{path} is not an intact pickle of arrays: it holds {told}, which is no array"
        )
        assert not marker.exists()


def test_faulty_folders(tmp_path):
    assert fault_of(load, "folder", Request()) == (
        "--dataset folder needs --data DIR, with the images in DIR/train/<class>/"
    )
    missing = tmp_path / "missing"
    for root in (missing, tmp_path):
        for split, told in (("train", "train"), ("test", "test or val")):
            fault = fault_of(load, "folder", Request(root, split))
            assert fault == f"--data {root} has no folder {told} of class folders"
    (tmp_path / "train").mkdir()
    fault = fault_of(load, "folder", Request(tmp_path))
    assert fault.startswith(f"--data {tmp_path}: in train/: Couldn't find any class folder in ")
    write_folder(tmp_path / "train")
    (tmp_path / "train" / "cow").mkdir()
    fault = fault_of(load, "folder", Request(tmp_path))
    assert fault.startswith(f"--data {tmp_path}: in train/: Found no valid file for the classes cow. ")


def shorten_chunk(whole: bytes) -> bytes:
    """A PNG whose first chunk of pixels claims to be shorter than it is: no chunk follows it."""
    start = whole.index(b"IDAT")
    return whole[: start - 4] + (500).to_bytes(4, "big") + whole[start:]


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("empty.png", lambda whole: b"", "is not an image, or damaged"),
        ("text.jpg", lambda whole: b"no image", "is not an image, or damaged"),
        ("cut.png", lambda whole: whole[: len(whole) // 2], "cannot be read as an image: "),
        ("cut.jpg", lambda whole: whole[: len(whole) // 2], "cannot be read as an image: "),
        # a short header, ValueError; a broken chunk, SyntaxError; a size that is no number, ValueError
        ("header.png", lambda whole: whole.replace(b"\0\0\0\rIHDR", b"\0\0\0\x0cIHDR"), ""),
        ("chunk.png", shorten_chunk, ""),
        ("size.ppm", lambda whole: whole.replace(b"40 40", b"40 4x"), ""),
    ],
)
def test_a_damaged_image(tmp_path, workers, name, damage, told):
    path = tmp_path / "train" / "ant" / name
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels(40, 40, 3)).save(path)
    path.write_bytes(damage(path.read_bytes()))
    Image.fromarray(pixels(40, 40, 3)).save(path.with_name("intact.png"))
    fault = fault_of(load, "folder", Request(tmp_path, workers=workers))
    assert fault.startswith(f"{path} {told or 'cannot be read as an image'}")


# ---- what lies about in folders, and pictures of more than 8 bits


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    write_folder(tmp_path / "train")
    expected = load("folder", Request(tmp_path))
    first = next(path for path in sorted((tmp_path / "train").rglob("*.*")) if path.is_file())
    for name in (".ipynb_checkpoints", "._junk"):
        (tmp_path / "train" / name).mkdir()
        (first.parent / name).mkdir()
        shutil.copy(first, first.parent / name / first.name)
        shutil.copy(first, tmp_path / "train" / name / first.name)
    for name in (f"._{first.name}", ".DS_Store", "Thumbs.db"):
        (first.parent / name).write_bytes(b"no image")
        (tmp_path / "train" / name).write_bytes(b"no image")
    found = load("folder", Request(tmp_path))
    assert (found.classes, found.labels.tolist()) == (expected.classes, expected.labels.tolist())
    assert found.fetch.files == expected.fetch.files
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    assert len(load("folder", Request(tmp_path, "test"))) == len(found)


def test_a_class_of_hidden_files_alone_is_told(tmp_path):
    write_folder(tmp_path / "train")
    (tmp_path / "train/cow").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "train/cow/._one.png")
    assert "Found nothing but hidden files in some class folder" in fault_of(
        load, "folder", Request(tmp_path)
    )


RAMP = np.linspace(0, 1, 32)


def ramp(path, mode):
    """A ramp from black to white, 32 pixels wide, in a mode of Pillow's."""
    if mode == "8":
        Image.fromarray((RAMP * 255).round().astype(np.uint8)[None].repeat(32, 0)).save(path)
    elif mode == "16":
        Image.fromarray((RAMP * 65535).round().astype(np.uint16)[None].repeat(32, 0)).save(path)
    elif mode == "I":
        Image.fromarray((RAMP * 1e9).astype(np.int32)[None].repeat(32, 0)).save(path)
    else:
        Image.fromarray(RAMP.astype(np.float32)[None].repeat(32, 0)).save(path)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_the_same_picture_as_eight(tmp_path, suffix):
    folder = tmp_path / "train/a"
    folder.mkdir(parents=True)
    ramp(folder / f"0.{suffix}", "16")
    ramp(folder / f"1.{suffix}", "8")
    images = load("folder", Request(tmp_path))
    first, second = images.fetch(torch.arange(2)).int()
    assert len(first.unique()) == 32
    assert (first - second).abs().max() <= 1


@pytest.mark.parametrize("mode, told", [("I", "32-bit whole numbers"), ("F", "32-bit fractions")])
def test_pictures_without_a_known_scale_are_told_by_name(tmp_path, mode, told):
    folder = tmp_path / "train/a"
    folder.mkdir(parents=True)
    ramp(folder / "0.tiff", mode)
    fault = fault_of(load, "folder", Request(tmp_path))
    assert fault.startswith(f"{folder / '0.tiff'} holds {told}, whose scale is unknown")
