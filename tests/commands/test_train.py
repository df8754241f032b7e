"""The training commands of the DARTS spaces: their options, defaults, run folders, scripts and refusals."""

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.images.datasets import DATASETS
from foresight_ext.images.large_images import LargeAugmentation, crop_box, open_imagenet
from foresight_ext.training import run as training
from sota.cnn import train, train_imagenet
from sota.cnn.genotypes import ARCHITECTURES, format_genotype
from sota.mobilenet import train as mobilenet_train
from tests import PROJECT_ROOT
from tests import running as commands
from tests.running import class_folders, finished, interrupted, read, script

ARCH = "init_pt_s5_C10_0_100_N10"
FIXED = ["--dataset=digits", "--device=cpu", "--threads=1"]
TINY = [*FIXED, f"--arch={ARCH}", "--init_channels=2", "--layers=3", "--fast", "--batch_size=8"]
NAME = f"training/eval-{ARCH}-seed2-digits"


def done(out, *arguments, main=train.main):
    """The lines of a command that must succeed."""
    return commands.done(main, f"--out={out}", *arguments)


def refused(out, *arguments, main=train.main):
    """The one line of a command that must be refused."""
    return commands.refused(main, f"--out={out}", *arguments)


@pytest.fixture
def jobs(monkeypatch):
    """Keeps what would be trained."""
    kept = []

    def keep(job, settings, place, compute):
        kept.append((job, SimpleNamespace(**place.options)))

    monkeypatch.setattr(training, "train", keep)
    return kept


# ---- options and defaults


def test_the_recipe_is_the_papers_by_default(jobs, tmp_path):
    done(tmp_path, f"--arch={ARCH}")
    [(job, options)] = jobs
    recipe = job.spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.decay) == (600, 96, 0.025, None)
    assert (recipe.momentum, recipe.weight_decay, recipe.grad_clip) == (0.9, 3e-4, 5)
    assert (recipe.auxiliary_weight, recipe.drop_path_prob, recipe.cutout_length) == (0.4, 0.2, 16)
    assert recipe.label_smoothing == 0
    assert (options.init_channels, options.layers, options.seed, options.dataset) == (36, 20, 2, "cifar10")
    assert (options.auxiliary, options.protocol, options.ckpt_interval) == (True, "holdout", 50)
    assert job.path == tmp_path / f"training/eval-{ARCH}-seed2-cifar10"


def test_imagenets_recipe_is_the_papers_by_default(jobs, tmp_path):
    done(tmp_path, f"--arch={ARCH}", main=train_imagenet.main)
    [(job, options)] = jobs
    recipe = job.spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.decay) == (250, 128, 0.1, 0.97)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.grad_clip) == (3e-5, 0.1, 5)
    assert (recipe.auxiliary_weight, recipe.drop_path_prob, recipe.cutout_length) == (0.4, 0, 0)
    assert (options.init_channels, options.layers, options.auxiliary) == (48, 14, True)
    assert job.path == tmp_path / f"training/eval-{ARCH}-seed2-imagenet"


def test_every_option_of_the_recipe_is_used(jobs, tmp_path):
    given = ["--epochs=3", "--batch_size=4", "--learning_rate=0.5", "--momentum=0.1", "--weight_decay=0"]
    given += ["--grad_clip=2", "--auxiliary_weight=0.3", "--drop_path_prob=0.1", "--cutout_length=8"]
    done(tmp_path, f"--arch={ARCH}", *given)
    done(tmp_path, f"--arch={ARCH}", *given, "--no_cutout", "--no_auxiliary")
    (job, options), (other, without) = jobs
    recipe = job.spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.momentum) == (3, 4, 0.5, 0.1)
    assert (recipe.weight_decay, recipe.grad_clip, recipe.auxiliary_weight) == (0, 2, 0.3)
    assert (recipe.drop_path_prob, recipe.cutout_length) == (0.1, 8)
    assert (other.spec.recipe.cutout_length, without.auxiliary) == (0, False)
    assert job.spec.build(job.genotype, 10).auxiliary_head is not None
    assert other.spec.build(job.genotype, 10).auxiliary_head is None


def test_digits_gets_smaller_minibatches(jobs, tmp_path):
    done(tmp_path, f"--arch={ARCH}", "--dataset=digits")
    done(tmp_path, f"--arch={ARCH}", "--dataset=digits", "--batch_size=96")
    assert [job.spec.recipe.batch_size for job, _ in jobs] == [16, 96]


def test_arch_is_a_name_a_folder_or_a_file(jobs, tmp_path):
    genotype = format_genotype(ARCHITECTURES.get(ARCH))
    best = tmp_path / "my-run/best_networks.json"
    write_json(best, {"search_space": "s5", "dataset": "cifar10", "networks": genotype})
    pool = tmp_path / "pool.json"
    write_json(pool, {"search_space": "s5", "networks": [{"id": "0", "genotype": genotype}]})
    done(tmp_path, f"--arch={ARCH}")
    done(tmp_path, f"--arch={best.parent}")
    done(tmp_path, f"--arch={pool}", "--id=0")
    assert [job.name for job, _ in jobs] == [ARCH, "my-run", "pool-0"]
    assert {job.genotype for job, _ in jobs} == {genotype}


@pytest.mark.parametrize("bare", [["--arch"], ["--epochs=3"]])
def test_arch_is_needed(tmp_path, bare):
    assert "--arch" in refused(tmp_path, *bare)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--epochs=0"], "argument --epochs: '0' is not a whole number from 1 on"),
        (["--batch_size=1"], "argument --batch_size: '1' is not a whole number from 2 on"),
        (["--learning_rate=0"], "argument --learning_rate: '0' is not a number above 0"),
        (["--learning_rate=nan"], "argument --learning_rate: 'nan' is not a number above 0"),
        (["--weight_decay=-1"], "argument --weight_decay: '-1' is not a number from 0 on"),
        (["--drop_path_prob=1"], "argument --drop_path_prob: '1' is not a number from 0 to below 1"),
        (["--protocol=best"], "argument --protocol: invalid choice: 'best'"),
        (["--resume_expid=gone"], "--resume_expid gone: no such run in"),
        (["--resume_epoch=5"], "--resume_epoch 5:"),
        (["--resume_epoch=5", "--force"], "--force deletes the checkpoint that --resume_epoch 5 needs"),
        (["--arch=init_pt"], "'init_pt' is neither an architecture of sota/cnn/genotypes.py (close: "),
        (["--amp"], "--amp needs a GPU"),
        (["--gpu=0"], "--gpu 0 contradicts --device cpu"),
        (["--image_size=40"], "--image_size goes with --dataset folder only, not digits"),
        (["--nproc_per_node=0"], "argument --nproc_per_node: '0' is not a whole number from 1 on"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_makes_nothing(tmp_path, arguments, message):
    assert message in refused(tmp_path / "out", *TINY, *arguments)
    assert not (tmp_path / "out").exists()


def test_missing_data_is_told_before_anything_is_made(tmp_path):
    options = ["--dataset=folder", f"--data={tmp_path}"]
    assert f"--data {tmp_path} has no folder train" in refused(tmp_path / "out", *TINY, *options)
    class_folders(tmp_path / "train", (40, 40))
    assert f"--data {tmp_path} has no folder test or val" in refused(tmp_path / "out", *TINY, *options)
    class_folders(tmp_path / "test", (40, 40), names=("a", "c"))
    told = refused(tmp_path / "out", *TINY, *options)
    assert told == f"--data {tmp_path}: test/ and train/ have different class folders"
    assert not (tmp_path / "out").exists()


def test_images_that_do_not_fit_the_network_are_told(tmp_path):
    class_folders(tmp_path / "train", (40, 40))
    class_folders(tmp_path / "test", (40, 40))
    options = [*TINY, "--dataset=folder", f"--data={tmp_path}", "--image_size=64"]
    told = refused(tmp_path / "out", *options)
    expected = (
        "the network can't be trained on images of 64 pixels: the auxiliary head is for about 32 pixels"
    )
    assert told == f"{expected}: use --no_auxiliary"
    assert not (tmp_path / "out").exists()
    done(tmp_path / "out", *options, "--no_auxiliary", "--epochs=1")


# ---- runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, done(out, *TINY, "--epochs=3", "--ckpt_interval=1")


def test_a_run(trained):
    out, told = trained
    folder = out / NAME
    assert told[-1] == f"run: {folder}"
    assert told[0] == f"training {ARCH}: 0.006 million parameters, seed 2, on the CPU"
    assert sum("MEANS NOTHING" in line or "MEAN NOTHING" in line for line in told) == 2
    content = read(folder, "result.json")
    assert (content["architecture"], content["protocol"], content["dataset"]) == (ARCH, "holdout", "digits")
    config = read(folder, "config.json")
    assert config["settings"]["genotype"] == format_genotype(ARCHITECTURES.get(ARCH))
    assert config["settings"]["init_channels"] == 2
    assert not set(config["settings"]) & set(config["other_options"])
    assert (folder / "log.txt").read_text().count("test accuracy (protocol holdout") == 1


def test_the_same_command_tells_and_does_not_compute(trained, monkeypatch):
    out, told = trained
    monkeypatch.setitem(DATASETS._entries, "digits", lambda request: pytest.fail("the images are gone"))
    again = done(out, *TINY, "--epochs=3", "--ckpt_interval=1")
    assert again[0] == "training finished before, nothing to compute: --force would start afresh"
    assert again[1:] == told[-4:]


def test_other_settings_are_refused(trained):
    out, _ = trained
    told = refused(out, *TINY, "--epochs=3", "--layers=4")
    assert "is a run with other settings (layers 3 there, 4 asked for)" in told


def test_resume_by_name_and_epoch(trained):
    out, told = trained
    before = read(out / NAME, "result.json")
    resumed = [f"--resume_expid={Path(NAME).name}", "--resume_epoch=2", "--save=ignored"]
    again = done(out, *TINY, "--epochs=3", "--ckpt_interval=1", *resumed)
    assert "training: going on after 2 of 3 epochs" in again
    after = read(out / NAME, "result.json")
    assert {**after, "seconds": 0} == {**before, "seconds": 0}
    listed = refused(out, *TINY, "--resume_expid=other")
    assert listed.endswith(f"no such run in {out}/training: there are {Path(NAME).name}")


def test_training_learns(tmp_path):
    """Few channels, few layers, an architecture of cheap operations: far above chance after an epoch."""
    cheap = [["skip_connect", 0], ["sep_conv_3x3", 1]] * 4
    form = {"normal": cheap, "normal_concat": [2, 3, 4, 5], "reduce": cheap, "reduce_concat": [2, 3, 4, 5]}
    write_json(tmp_path / "cheap.json", {"search_space": "s5", "networks": json.dumps(form)})
    size = ["--init_channels=4", "--layers=3", "--epochs=2", "--no_cutout", "--drop_path_prob=0"]
    done(tmp_path, *FIXED, f"--arch={tmp_path / 'cheap.json'}", *size)
    content = read(tmp_path / "training/eval-cheap-seed2-digits", "result.json")
    assert content["test_accuracy"]["last"] > 40


# ---- ImageNet


IMAGENET = [f"--arch={ARCH}", "--device=cpu", "--threads=1", "--init_channels=2", "--layers=3"]
IMAGENET += ["--no_auxiliary", "--crop_size=32", "--batch_size=4", "--epochs=2"]


def test_imagenet_from_class_folders(tmp_path):
    class_folders(tmp_path / "data/train", (50, 40))
    class_folders(tmp_path / "data/val", (40, 60))
    arguments = [*IMAGENET, f"--data={tmp_path / 'data'}"]
    results = []
    for workers in (0, 3):
        done(tmp_path / str(workers), *arguments, f"--workers={workers}", main=train_imagenet.main)
        folder = tmp_path / str(workers) / f"training/eval-{ARCH}-seed2-imagenet"
        content = torch.load(folder / "checkpoints/last.pt", weights_only=True)
        results.append((content["network"], read(folder, "result.json")["test_accuracy"]))
    (first, told), (second, told_again) = results
    assert told == told_again
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_imagenet_that_is_missing_is_told(tmp_path):
    told = refused(tmp_path, *IMAGENET, f"--data={tmp_path}", main=train_imagenet.main)
    assert told == f"--data {tmp_path} has neither a folder train/ of class folders nor imagenet-train-256.h5"


def test_hdf5_without_h5py_is_told(tmp_path, monkeypatch):
    (tmp_path / "imagenet-train-256.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="imagenet-train-256.h5 needs the package h5py: pip install h5py"):
        open_imagenet(tmp_path, "train", 0)


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    pixels = np.random.RandomState(0).randint(0, 256, (3, 256, 300, 3)).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(pixels[2]).save(jpeg, "JPEG")
    with h5py.File(tmp_path / "imagenet-val-256.h5", "w") as file:
        for index in range(3):
            group = file.create_group(str(index))
            group["data"] = pixels[index] if index < 2 else np.frombuffer(jpeg.getvalue(), np.uint8)
            group["target"] = 10 * index
    images = open_imagenet(tmp_path, "test", 2)
    assert (len(images), images.classes) == (3, 1000)
    batch = images.unaugmented(torch.tensor([2, 0, 1]), torch.device("cpu"))
    assert batch.targets.tolist() == [20, 0, 10]
    centre = torch.from_numpy(pixels[0, 16:240, 38:262]).permute(2, 0, 1) / 255
    assert torch.allclose(
        batch.inputs[1],
        (centre - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
        atol=1e-6,
    )
    (tmp_path / "imagenet-train-256.h5").write_bytes(b"no HDF5")
    with pytest.raises(UserError, match="is no HDF5 file, or damaged"):
        open_imagenet(tmp_path, "train", 0)


def test_crops_are_torchvisions_by_hand():
    # area 0.08 + 0.92 / 2 = 0.54, aspect ratio 1: a square of side sqrt(0.54) * 100 = 73
    assert crop_box(100, 100, [0.5, 0.5] + [0.0] * 18 + [0.0, 0.999]) == (0, 27, 73, 73)
    # the first try, the full area at ratio 4/3, is 115 wide; the second, ratio 3/4, 115 high; the third fits
    assert crop_box(100, 100, [1.0, 1.0, 1.0, 0.0, 0.0, 0.5] + [0.0] * 14 + [0.5, 0.0]) == (36, 0, 28, 28)
    assert crop_box(100, 300, [1.0, 0.5] * 10 + [0.0, 0.0]) == (0, 83, 100, 133)  # none fits: the centre
    assert crop_box(300, 100, [1.0, 0.5] * 10 + [0.0, 0.0]) == (83, 0, 133, 100)


def test_large_images_are_changed_by_their_draws_alone():
    augmentation = LargeAugmentation(32)
    torch.manual_seed(0)
    draws = augmentation.draw(8)
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (50, 70, 3)).astype(np.uint8))
    changed = [np.asarray(augmentation.apply(image, row)) for row in draws]
    assert all(one.shape == (32, 32, 3) for one in changed)
    assert all(np.array_equal(one, augmentation.apply(image, row)) for one, row in zip(changed, draws))
    assert len({one.tobytes() for one in changed}) == 8
    plain = torch.full((31,), 0.5, dtype=torch.float64)  # no flip; brightness, contrast, saturation 1, hue 0
    flipped = plain.clone()
    flipped[22] = 0.4
    one, other = (np.asarray(augmentation.apply(image, row)) for row in (plain, flipped))
    assert np.array_equal(one[:, ::-1], other)
    top, left, height, width = crop_box(50, 70, plain[:22].tolist())
    box = (left, top, left + width, top + height)
    cropped = np.asarray(image.crop(box).resize((32, 32), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(one - cropped).mean() < 2  # hue goes through HSV bytes, which rounds


# ---- scripts


@pytest.mark.parametrize(
    "name, defaults",
    [
        ("eval.sh", {"dataset": "cifar10", "init_channels": 36, "layers": 20}),
        ("eval-c100.sh", {"dataset": "cifar100", "init_channels": 16, "layers": 8}),
        ("eval-svhn.sh", {"dataset": "svhn", "init_channels": 16, "layers": 8}),
        ("eval-imagenet.sh", {"init_channels": 48, "layers": 14}),
        ("eval-mobilenet.sh", {"dataset": "imagenet", "image_size": None, "epochs": 250, "batch_size": 128}),
    ],
)
def test_scripts_have_the_defaults_of_their_data_set(name, defaults, jobs):
    text = (PROJECT_ROOT / "exp_scripts" / name).read_text()
    module, *given = re.search(r'^run_module (.*) "\$@"$', text, re.M).group(1).split()
    main, arch = {
        "sota.cnn.train": (train.main, ARCH),
        "sota.cnn.train_imagenet": (train_imagenet.main, ARCH),
        "sota.mobilenet.train": (mobilenet_train.main, "largest"),
    }[module]
    done("/nowhere", *given, f"--arch={arch}", main=main)
    [(_, options)] = jobs
    assert {name: getattr(options, name) for name in defaults} == defaults


def test_a_script_trains_from_any_folder_in_two_processes(tmp_path):
    arguments = [option for option in TINY if not option.startswith("--batch")]
    arguments += ["--epochs=1", "--out", "my runs", "--nproc_per_node", "2"]
    done = finished(script("eval.sh", *arguments), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path.resolve() / "my runs" / NAME
    assert done.stdout.splitlines()[-1] == f"run: {folder}"
    assert done.stdout.count("minibatches of 16, split over 2 processes: the effective batch is 16") == 1
    assert read(folder, "result.json")["processes"] == 2


def test_errors_of_several_processes_are_one_line(tmp_path):
    arguments = [*TINY, f"--out={tmp_path}", "--nproc_per_node=2", "--learning_rate=1e30", "--batch_size=2"]
    done = finished([sys.executable, "-m", "sota.cnn.train", *arguments], PROJECT_ROOT)
    assert done.returncode == 2
    told = "a batch size of 2 is too small for 2 processes: batch norm needs two images in each"
    assert done.stderr == f"error: {told}\n"


def test_ctrl_c_stops_several_processes_in_one_line(tmp_path):
    command = [sys.executable, "-m", "sota.cnn.train", *TINY, f"--out={tmp_path}", "--nproc_per_node=2"]
    log = tmp_path / NAME / "log.txt"
    code, error = interrupted(
        [*command, "--epochs=500"], lambda: log.exists() and "epoch 1" in log.read_text()
    )
    assert (code, error) == (130, "stopped: the same command goes on from here\n")


def test_too_few_layers_for_the_auxiliary_head_are_told(tmp_path):
    arguments = [option for option in TINY if not option.startswith("--layers")]
    told = refused(tmp_path / "out", *arguments, "--layers=1")
    what = "the network can't be trained: the auxiliary head needs more cells before it: use more --layers"
    assert told == f"{what} than 1, or --no_auxiliary"
    assert not (tmp_path / "out").exists()
