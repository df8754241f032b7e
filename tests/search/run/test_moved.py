"""Images are known by what they are, not by where they lie: moved, other ones, runs of older versions."""

import json
import shutil

import pytest

from nasbench201 import networks_proposal, score_archs
from tests import running as commands
from tests.running import TINY_NASBENCH201, class_folders, read, stopped_after
from tests.search.run.runs import FIXED, done, refused, run

FOLDER = [*FIXED[1:], "--batch_size=4", "--pool_size=1", "--validate_rounds=2", "--dataset=folder"]
NAME = "nas-bench-201/zerocostpt-seed0-folder-jacob-random"
SCORED = [*TINY_NASBENCH201[1:], "--dataset=folder", "--batch_size=4", "--sample=1"]


@pytest.fixture
def begun(tmp_path):
    """Run folders with a run that was stopped after four entries; its images lie in tmp_path/data."""
    for split in ("train", "test"):
        class_folders(tmp_path / "data" / split, (8, 8), images=20)
    with stopped_after(4):
        assert run(tmp_path / "out", *FOLDER, f"--data={tmp_path / 'data'}").code == 130
    return tmp_path / "out"


def others(place):
    """Images that are not those of the run; returns the option."""
    for split in ("train", "test"):
        class_folders(place / split, (8, 8), images=21)
    return f"--data={place}"


def as_written_before(folder):
    """The config.json as versions wrote it that had the path among the settings."""
    config = read(folder, "config.json")
    config["settings"]["data"] = config["data"].pop("root")
    (folder / "config.json").write_text(json.dumps(config))


def without_record(folder):
    """The config.json of a run that was killed before it had opened its images."""
    config = read(folder, "config.json")
    del config["data"]
    (folder / "config.json").write_text(json.dumps(config))


def as_it_is(folder):
    pass


@pytest.mark.parametrize("before", [as_it_is, as_written_before, without_record])
def test_a_run_goes_on_with_images_that_were_moved(begun, tmp_path, monkeypatch, before):
    before(begun / NAME)
    (tmp_path / "data").rename(tmp_path / "d")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert done(begun, *FOLDER, "--data=../d").says("search: going on after 4 of 6 decisions") == 1
    recorded = read(begun / NAME, "config.json")["data"]
    assert (recorded["root"], recorded["train"]["images"]) == (str(tmp_path / "d"), 40)
    begun.rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "d")  # a finished run need not open what it knows
    again = done(tmp_path / "moved", *FOLDER, "--data=../d")
    assert again.says("finished before, nothing to compute") == 1


def test_a_finished_run_is_not_told_for_other_images(begun, tmp_path):
    known = f"--data={tmp_path / 'data'}"
    done(begun, *FOLDER, known)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    assert done(begun, *FOLDER, f"--data={tmp_path / 'copy'}").says("finished before") == 1
    for before in (as_it_is, as_written_before):
        before(begun / NAME)
        other = others(tmp_path / before.__name__)
        message = refused(begun, *FOLDER, other)
        assert "was begun on other images (train: images 40 there, 42 now; train: digest " in message
        assert message.endswith(f"): give --data {tmp_path / 'copy'}, or use --save NAME for a run beside it")
    gone = refused(begun, *FOLDER, f"--data={tmp_path / 'gone'}")
    assert gone == f"--data {tmp_path / 'gone'} has no folder train of class folders"


def test_an_unfinished_run_does_not_go_on_with_other_images(begun, tmp_path):
    message = refused(begun, *FOLDER, others(tmp_path / "other"))
    assert message.endswith(f"): give --data {tmp_path / 'data'}, or use --save NAME for a run beside it")


def test_the_winner_is_not_trained_on_other_images(begun, tmp_path):
    done(begun, *FOLDER, f"--data={tmp_path / 'data'}")
    training = ["--stage=training", "--epochs=1", "--fast", "--train_batch_size=8"]
    other = others(tmp_path / "other")
    assert "was begun on other images (train: images 40 there" in refused(begun, *FOLDER, *training, other)
    assert not (begun / NAME / "training").exists()
    (tmp_path / "data").rename(tmp_path / "d")
    done(begun, *FOLDER, *training, f"--data={tmp_path / 'd'}")
    recorded = read(begun / NAME / "training", "config.json")
    assert set(recorded["data"]) == {"root", "train", "test"}  # the search knows of the training images only
    assert "data" not in recorded["settings"]
    shutil.rmtree(tmp_path / "other/test")
    class_folders(tmp_path / "other/test", (8, 8), images=2)
    shutil.rmtree(tmp_path / "other/train")
    shutil.copytree(tmp_path / "d/train", tmp_path / "other/train")  # the search's, with other test images
    told = refused(begun, *FOLDER, *training, other)
    assert f"{begun / NAME / 'training'} was begun on other images (test: images 40 there, 4 now" in told
    assert "--force" not in told


def test_digits_lie_nowhere(tmp_path):
    main, arguments = networks_proposal.main, [*TINY_NASBENCH201, "--pool_size=1", "--stage=search"]
    [*_, last] = commands.done(main, f"--out={tmp_path}", *arguments, f"--data={tmp_path / 'one'}")
    told = commands.done(main, f"--out={tmp_path}", *arguments, f"--data={tmp_path / 'two'}")
    assert told[-1] == last
    folder = tmp_path / "nas-bench-201/zerocostpt-seed0-digits-jacob-random"
    assert read(folder, "config.json")["data"]["root"] is None


def test_scores_of_networks_are_of_the_same_images_wherever_they_lie(tmp_path):
    def scores(data, *arguments):
        return (f"--out={tmp_path / 'out'}", *SCORED, f"--data={tmp_path / data}", *arguments)

    class_folders(tmp_path / "data/train", (8, 8))
    commands.done(score_archs.main, *scores("data"))
    (tmp_path / "data").rename(tmp_path / "d")
    assert "scored before, nothing to compute" in commands.done(score_archs.main, *scores("d"))[0]
    commands.done(score_archs.main, *scores("d", "--sample=2"))
    others(tmp_path / "other")
    for more in ([], ["--sample=3"]):
        message = commands.refused(score_archs.main, *scores("other", *more))
        assert "was begun on other images (train: images 12 there, 42 now" in message
        assert message.endswith(f"): give --data {tmp_path / 'd'}, or use --save NAME for a run beside it")
