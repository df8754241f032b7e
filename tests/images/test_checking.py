"""Damaged images are told before any work, all at once, and a split without any is remembered."""

import errno
import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foresight_ext.errors import UserError
from foresight_ext.images import checking
from foresight_ext.images.datasets import Request, load
from nasbench201.networks_proposal import main as search
from nasbench201.score_archs import main as score
from nasbench201.train import main as train
from tests.images.miniatures import pixels
from tests.running import TINY_NASBENCH201, class_folders, refused

ARCH = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"


@pytest.fixture
def looks(monkeypatch):
    """The names of the files that are looked at."""
    seen, fault = [], checking._fault

    def counted(path):
        seen.append(Path(path).name)
        return fault(path)

    monkeypatch.setattr(checking, "_fault", counted)
    return seen


def picture(path, mode="RGB", size=(40, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(*size, 3)).convert(mode).save(path, **options)
    return path


def fault(root, split="train", **options):
    with pytest.raises(UserError) as caught:
        load("folder", Request(root, split, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("cut", [1, 2, 40, 300, 600])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "ppm", "tiff", "webp"])
def test_a_file_that_ends_too_soon_is_told(tmp_path, suffix, cut, workers):
    path = picture(tmp_path / f"train/a/0.{suffix}")
    whole = path.read_bytes()
    assert checking._fault(str(path)) is None
    path.write_bytes(whole[:-cut])
    try:  # what can still be read, such as a JPEG that lacks a byte of its end, is not refused
        with Image.open(path) as image:
            image.convert("RGB")
    except Exception:
        assert fault(tmp_path, workers=workers).startswith(f"{path} ")
    else:
        assert len(load("folder", Request(tmp_path, workers=workers))) == 1


def test_changed_bytes_of_a_png_are_told(tmp_path):
    path = picture(tmp_path / "train/a/0.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert fault(tmp_path).startswith(f"{path} cannot be read as an image: ")


def test_what_follows_the_end_of_a_jpeg_is_no_damage(tmp_path, looks):
    path = picture(tmp_path / "train/a/0.jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert len(load("folder", Request(tmp_path))) == 1
    assert looks == ["0.jpg"]


def test_all_of_a_few_damaged_images_are_told_at_once(tmp_path):
    for number in range(9):
        picture(tmp_path / f"train/a/{number}.png")
    for number in (3, 5):
        (tmp_path / f"train/a/{number}.png").write_bytes(b"")
    told = fault(tmp_path)
    assert told.startswith("2 of 9 images can't be used: ")
    assert all(f"{tmp_path}/train/a/{number}.png is not an image, or damaged" in told for number in (3, 5))
    for number in range(9):
        (tmp_path / f"train/a/{number}.png").write_bytes(b"no image")
    told = fault(tmp_path)
    assert told.startswith("9 of 9 ") and told.endswith("; and 4 more")
    assert told.count(".png") == 5
    assert not (tmp_path / ".train-checked").exists()


def test_a_whole_split_is_looked_at_once_until_a_file_changes(tmp_path, looks):
    first, second = (picture(tmp_path / f"train/a/{name}") for name in ("0.png", "1.jpg"))
    picture(tmp_path / "val/a/2.png")
    load("folder", Request(tmp_path))
    assert sorted(looks) == ["0.png", "1.jpg"]
    load("folder", Request(tmp_path))
    assert len(looks) == 2
    load("folder", Request(tmp_path, "test"))
    assert looks[2:] == ["2.png"]
    os.utime(first, (1, 1))  # another time of change, size and name being the same
    load("folder", Request(tmp_path))
    assert sorted(looks[3:]) == ["0.png", "1.jpg"]
    second.write_bytes(second.read_bytes()[:100])
    assert fault(tmp_path).startswith(f"{second} ")
    assert fault(tmp_path).startswith(f"{second} ")  # damage is not remembered: it is to be mended
    second.unlink()
    load("folder", Request(tmp_path))
    assert looks[-1] == "0.png"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_can_not_be_written_is_looked_at_each_time(tmp_path, monkeypatch, caplog, looks, code):
    def refuse(path, text):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checking, "write_text", refuse)
    picture(tmp_path / "train/a/0.png")
    caplog.set_level("INFO")
    for _ in range(2):
        assert len(load("folder", Request(tmp_path))) == 1
    assert looks == ["0.png"] * 2
    told = f"{tmp_path}/.train-checked can't be written ({os.strerror(code)}): "
    assert [record.getMessage() for record in caplog.records] == [
        told + "images are looked at again next time"
    ] * 2


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_waits_for_few_images(tmp_path, monkeypatch, workers):
    looked = []

    def stopped(path):
        looked.append(path)
        if len(looked) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(checking, "_fault", stopped)
    stats = [tmp_path.stat()] * 10_000
    with pytest.raises(KeyboardInterrupt):
        checking.check_images(tmp_path / "train", [str(number) for number in range(10_000)], stats, workers)
    assert len(looked) <= checking._AT_ONCE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["train", "test"])
def test_commands_tell_a_damaged_image_before_they_make_anything(tmp_path, split):
    for folder in ("train", "test"):
        class_folders(tmp_path / "images" / folder, (8, 8))
    path = tmp_path / "images" / split / "b/3.png"
    path.write_bytes(path.read_bytes()[:-60])
    images = ["--dataset=folder", f"--data={tmp_path / 'images'}", f"--out={tmp_path / 'out'}"]
    small = [*TINY_NASBENCH201, *images, "--batch_size=4"]
    searching = [*small, "--pool_size=1", "--validate_rounds=1"]
    told = f"{path} cannot be read as an image: "
    assert refused(train, *small, "--arch", ARCH).startswith(told)
    assert refused(search, *searching, "--no_skip_training", "--epochs=1").startswith(told)
    if split == "train":
        assert refused(search, *searching).startswith(told)
        assert refused(score, *small, "--sample=2").startswith(told)
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path, monkeypatch):
    picture(tmp_path / "train/a/0.png")
    other = tmp_path / "train/a/1.png"
    os.mkfifo(other)
    assert fault(tmp_path) == f"{other} is no file that holds an image, but a pipe, a socket or a device"
    other.unlink()
    monkeypatch.chdir(other.parent)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(other.name)
        assert fault(tmp_path).startswith(f"{other} is no file that holds an image")
    other.unlink()
    other.symlink_to("nowhere")
    assert fault(tmp_path) == f"{other} cannot be read: No such file or directory"
    other.unlink()
    other.symlink_to(other)
    assert fault(tmp_path) == f"{other} cannot be read: Too many levels of symbolic links"


ODD = {
    "1.png": {"mode": "1"},
    "la.PNG": {"mode": "LA"},
    "p.png": {"mode": "P"},
    "clear.png": {"mode": "P", "transparency": 3},
    "cmyk.JPG": {"mode": "CMYK"},
    "grey.jpeg": {"mode": "L"},
    "progressive.jpg": {"progressive": True},
    "dot.bmp": {"size": (1, 1)},
    "wide.webp": {"size": (3, 400)},
    "ycbcr.tif": {"mode": "YCbCr"},
    "16.png": {"mode": "I;16"},
}


def test_odd_images_that_can_be_read_are_not_refused(tmp_path):
    for name, options in ODD.items():
        if options.get("mode") == "I;16":
            Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(tmp_path / "train/a" / name)
        else:
            picture(tmp_path / "train/a" / name, **options)
    animated = io.BytesIO()  # content decides, not the name
    frames = [Image.fromarray(pixels(20, 20, 3, seed=seed)) for seed in range(3)]
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "train/a/animated.png").write_bytes(animated.getvalue())
    data = load("folder", Request(tmp_path))
    assert len(data) == len(ODD) + 1
    assert data.fetch(torch.arange(len(data))).shape == (len(data), 3, 32, 32)


def test_a_palette_with_clear_colours_is_read_without_a_warning(tmp_path, recwarn):
    path = tmp_path / "train/a/0.png"
    path.parent.mkdir(parents=True)
    image = Image.fromarray(pixels(32, 32, 3)).convert("P")
    image.save(path, transparency=bytes(range(256)))
    read = load("folder", Request(tmp_path)).fetch(torch.arange(1))[0]
    assert np.array_equal(read.permute(1, 2, 0).numpy(), np.array(image.convert("RGB")))
    assert [str(one.message) for one in recwarn] == []
