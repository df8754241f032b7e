"""A list beside a split's folder gives the order of its images, whatever reads them; a wrong list is told."""

import os
from pathlib import Path

import pytest
import torch

from foresight_ext.errors import UserError
from foresight_ext.images import checking, datasets
from foresight_ext.images.datasets import Request, load
from foresight_ext.images.large_images import open_imagenet
from foresight_ext.training.data import DividedImages
from nasbench201.networks_proposal import main as search
from nasbench201.train import main as train
from tests.images.miniatures import FOLDER, read_listed, write_folder
from tests.running import TINY_NASBENCH201, class_folders, done, read, refused, run, stopped_after

FILES = [f"{name}/{file}" for name, files in FOLDER.items() for file in files]
# an order of its own: classes mixed, none where sorting or shuffling would have them
ORDER = [7, 0, 4, 3, 8, 1, 6, 2, 5]
CPU = torch.device("cpu")


def listed(root, split="train", order=ORDER, form="{}\n"):
    """Write class folders and their list; what must be read, in the list's order."""
    files = write_folder(root / split)
    (root / f"{split}.txt").write_text("".join(form.format(FILES[place]) for place in order))
    return read_listed([files[place] for place in order])


def fault_of(root, content: str | bytes, split="train"):
    """What is told of a list, after its name, of class folders with a and b, images 0.png and 1.png each."""
    if not (root / split).exists():
        class_folders(root / split, (8, 8), images=2)
    path = root / f"{split}.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        load("folder", Request(root, "train" if split == "train" else "test"))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}")
    return message.removeprefix(f"{path}").removeprefix(": ")


MUST = ": it must name each image of train/ once, a line for each, by its path in train/, or not be there"
ALL = ["b/1.png", "a/0.png", "a/1.png", "b/0.png"]


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("kept", [True, False])
def test_images_come_in_the_order_of_the_list(tmp_path, monkeypatch, workers, kept):
    if not kept:  # too many images to keep in memory
        monkeypatch.setattr(datasets, "_CACHE_LIMIT", 0)
    expected = listed(tmp_path)
    data = load("folder", Request(tmp_path, workers=workers))
    assert data.labels.tolist() == expected.labels == [2, 0, 1, 1, 2, 0, 2, 0, 1]
    some = torch.tensor([8, 2, 2, 0])
    assert torch.equal(data.fetch(some), expected.images[some])
    assert torch.equal(data.fetch(torch.arange(9)), expected.images)


@pytest.mark.parametrize("split", ["test", "val"])
def test_every_split_has_a_list_of_its_own(tmp_path, split):
    write_folder(tmp_path / "train")
    shuffled = load("folder", Request(tmp_path)).described()
    expected = listed(tmp_path, split)
    data = load("folder", Request(tmp_path, "test"))
    assert torch.equal(data.fetch(torch.arange(9)), expected.images)
    assert load("folder", Request(tmp_path)).described() == shuffled
    assert "order" not in shuffled


@pytest.mark.parametrize(
    "form",
    ["{}\r\n", "{}\r", "./{}\n", "bee/..//{}\n"],
    ids=["as Windows ends lines", "as old Macs do", "as find prints", "by a roundabout path"],
)
def test_spellings_of_a_list(tmp_path, form):
    expected = listed(tmp_path)
    described = load("folder", Request(tmp_path)).described()
    assert torch.equal(listed(tmp_path, form=form).images, expected.images)
    text = (tmp_path / "train.txt").read_bytes()
    for content in (text, b"\xef\xbb\xbf" + text, text[:-1] if form.endswith("\n") else text):
        (tmp_path / "train.txt").write_bytes(content)
        data = load("folder", Request(tmp_path))
        assert data.described() == described
        assert torch.equal(data.fetch(torch.arange(9)), expected.images)


def test_names_may_hold_whatever_names_hold(tmp_path):
    class_folders(tmp_path / "train", (8, 8), ("größe", "two words"), images=1)
    odd = "two words/ \u2028#,;.png"
    (tmp_path / "train/two words/0.png").rename(tmp_path / "train" / odd)
    (tmp_path / "train.txt").write_text(f"{odd}\ngröße/0.png\n", encoding="utf-8")
    assert load("folder", Request(tmp_path)).labels.tolist() == [1, 0]


def test_links_are_followed(tmp_path):
    expected = listed(tmp_path / "there")
    (tmp_path / "here").mkdir()
    for name in ("train", "train.txt"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "there" / name)
    assert torch.equal(load("folder", Request(tmp_path / "here")).fetch(torch.arange(9)), expected.images)


def test_imagenet_takes_the_order_as_well(tmp_path):
    class_folders(tmp_path / "train", (20, 20))
    class_folders(tmp_path / "val", (20, 20), images=2)
    shuffled, sorted_by_path = (open_imagenet(tmp_path, split, 0, 8) for split in ("train", "test"))
    files = [path.relative_to(tmp_path / "train") for path in sorted((tmp_path / "train").rglob("*.png"))]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    (tmp_path / "train.txt").write_text("".join(f"{files[place]}\n" for place in order))
    (tmp_path / "val.txt").write_text("".join(f"{name}\n" for name in ALL))
    train, val = (open_imagenet(tmp_path, split, 0, 8) for split in ("train", "test"))
    every = train.unaugmented(torch.arange(12), CPU)
    assert every.targets.tolist() == (order // 6).tolist()
    assert val.unaugmented(torch.arange(4), CPU).targets.tolist() == [1, 0, 0, 1]
    mixed = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    old = shuffled.unaugmented(torch.arange(12), CPU)
    assert torch.equal(every.inputs, old.inputs[mixed.argsort()[order]])  # the same images, placed anew
    for with_list, without in ((train, shuffled), (val, sorted_by_path)):
        assert "order" not in without.described()
        assert with_list.described()["digest"] != without.described()["digest"]


def test_a_described_order_is_that_of_a_list(tmp_path):
    listed(tmp_path)
    data = load("folder", Request(tmp_path)).described()
    assert data["order"] == "train.txt"
    listed(tmp_path, order=ORDER[1:3] + ORDER[:1] + ORDER[3:])
    other = load("folder", Request(tmp_path)).described()
    assert other["digest"] != data["digest"]
    (tmp_path / "train.txt").unlink()
    assert load("folder", Request(tmp_path)).described()["digest"] not in (data["digest"], other["digest"])


def test_images_found_whole_are_remembered_in_any_order(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(checking, "_fault", lambda path: looks.append(Path(path).name))
    listed(tmp_path)
    load("folder", Request(tmp_path))
    assert len(looks) == 9
    (tmp_path / "train.txt").write_text("".join(f"{file}\n" for file in FILES))
    load("folder", Request(tmp_path))
    (tmp_path / "train.txt").unlink()
    load("folder", Request(tmp_path))
    assert len(looks) == 9


def test_a_damaged_image_of_a_list_is_told(tmp_path):
    listed(tmp_path)
    path = tmp_path / "train" / FILES[2]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=f"^{path} cannot be read as an image"):
        load("folder", Request(tmp_path))


def test_a_training_divides_the_images_in_their_order(tmp_path):
    """The held-out tenth are places in the list, by the seed alone."""
    expected = listed(tmp_path)
    data = load("folder", Request(tmp_path))
    divided = DividedImages(data, data, official=False, seed=4, batch_size=2, processes=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(4))
    assert divided.judged_by.tolist() == order[:1].tolist()
    held = divided.train.unaugmented(divided.judged_by, CPU)
    assert held.targets.tolist() == [expected.labels[order[0]]]


# ---- mistakes


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([*ALL, "b/2.png"], "line 5 ('b/2.png') is not there"),
        (["train/" + ALL[0], *ALL[1:]], "line 1 ('train/b/1.png') is not there"),
        ([*ALL[:3], "b/0.png 1"], "line 4 ('b/0.png 1') is not there"),
        ([*ALL[:3], "b/0.png\0"], "line 4 ('b/0.png\\x00') is not there"),
        ([ALL[0], *ALL], "line 2 ('b/1.png') is the same as line 1"),
        ([*ALL, "./a//0.png"], "line 5 ('./a//0.png') is the same as line 2"),
        ([*ALL, "a/notes.txt"], "line 5 ('a/notes.txt') is no image of a class folder"),
        ([*ALL, "a"], "line 5 ('a') is no image of a class folder"),
        ([*ALL, "a/.hidden.png"], "line 5 ('a/.hidden.png') is no image of a class folder"),
        ([*ALL, "../test/a/0.png"], "line 5 ('../test/a/0.png') leads out of train/"),
        ([*ALL, "a/../../train/a/0.png"], "line 5 ('a/../../train/a/0.png') leads out of train/"),
        ([*ALL, "/etc/0.png"], "line 5 ('/etc/0.png') leads out of train/"),
        ([*ALL, ""], "line 5 is empty"),
        ([ALL[0], "", *ALL[1:]], "line 2 is empty"),
        (["x", "", "a", "b", ALL[0]], "line 1 ('x') is not there; line 2 is empty; line 3 ('a') is no image "
         "of a class folder; and 1 more"),
        (ALL[1:], "1 of the 4 images in train/ are not listed ('b/1.png')"),
        ([], "4 of the 4 images in train/ are not listed ('a/0.png', 'a/1.png', 'b/0.png', ...)"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_told(tmp_path, lines, told):
    class_folders(tmp_path / "train", (8, 8), images=2)
    for name in ("notes.txt", ".hidden.png"):
        (tmp_path / "train/a" / name).write_bytes((tmp_path / "train/a/0.png").read_bytes())
    assert fault_of(tmp_path, "".join(f"{line}\n" for line in lines)) == told + MUST


def test_a_file_that_is_no_list_is_told(tmp_path):
    text = "\n".join(ALL)
    assert fault_of(tmp_path, text.encode("utf-16")) == " is no text in UTF-8: byte 0 can't be read"
    assert fault_of(tmp_path, f"{text}\ngröße".encode("latin-1")) == (
        f" is no text in UTF-8: byte {len(text) + 3} can't be read"
    )
    told = fault_of(tmp_path, "x" * 10_000)
    assert "line 1 ('xxx" in told
    assert len(told) < 300
    path = tmp_path / "train.txt"
    path.unlink()
    for make, why in (
        (path.mkdir, "Is a directory"),
        (lambda: path.symlink_to("x"), "No such file or directory"),
        (lambda: os.mkfifo(path), "it is no file"),  # nor waited for
    ):
        make()
        with pytest.raises(UserError, match=f"^{path} cannot be read: {why}$"):
            load("folder", Request(tmp_path))
        (path.rmdir if path.is_dir() else path.unlink)()
    assert "val/ are not listed" in fault_of(tmp_path, "", "val")


# ---- commands


def small(tmp_path):
    images = ["--dataset=folder", f"--data={tmp_path / 'images'}", f"--out={tmp_path / 'out'}"]
    return [*TINY_NASBENCH201, *images, "--batch_size=4"]


def test_commands_refuse_a_wrong_list_before_they_make_anything(tmp_path):
    for split in ("train", "test"):
        class_folders(tmp_path / "images" / split, (8, 8))
    (tmp_path / "images/test.txt").write_text("c/0.png\n")
    told = f"{tmp_path}/images/test.txt: line 1 ('c/0.png') is not there: it must name each image of test/ "
    arch = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    assert refused(train, *small(tmp_path), "--arch", arch).startswith(told)
    (tmp_path / "images/test.txt").rename(tmp_path / "images/train.txt")
    told = told.replace("test.txt", "train.txt").replace("test/", "train/")
    assert refused(search, *small(tmp_path), "--pool_size=1", "--validate_rounds=1").startswith(told)
    assert not (tmp_path / "out").exists()


def test_a_run_goes_on_in_the_order_it_was_begun_in(tmp_path):
    images, arguments = tmp_path / "images", [*small(tmp_path), "--pool_size=1", "--validate_rounds=1"]
    class_folders(images / "train", (8, 8), images=20)
    files = [f"{name}/{number}.png\n" for number in range(20) for name in "ba"]
    (images / "train.txt").write_text("".join(files))
    with stopped_after(2):
        assert run(search, *arguments)[0] == 130
    (images / "train.txt").write_text("".join(files[::-1]))
    told = refused(search, *arguments)
    assert "was begun on other images (train: digest " in told
    (images / "train.txt").unlink()
    assert "was begun on other images (train: " in refused(search, *arguments)
    (images / "train.txt").write_text("".join(files))
    done(search, *arguments)
    [config] = (tmp_path / "out").rglob("config.json")
    assert read(config.parent, "config.json")["data"]["train"]["order"] == "train.txt"
