"""The options: what they mean, their defaults, and one line for every mistake."""

import argparse
import errno
import logging
import os
import re

import pytest

from foresight_ext.commands.options import add_search_options
from foresight_ext.commands.parser import Parser, console_log, entry_point, whole_number
from foresight_ext.errors import UserError
from foresight_ext.files import disk_of, naming
from foresight_ext.images.datasets import DATASETS
from foresight_ext.measures import PROXIES
from foresight_ext.measures.combination import COMBINATIONS
from foresight_ext.registry import Registry
from foresight_ext.search.orders import ORDERS
from nasbench201.networks_proposal import main
from tests import PROJECT_ROOT

# every option of the pipeline with its default, as --help shows it
DEFAULTS = {
    "seed": "0",
    "dataset": "cifar10",
    "data": "none",
    "metrics": "jacob",
    "combine": "rank",
    "edge_decision": "random",
    "pool_size": "10",
    "validate_rounds": "100",
    "batch_size": "256",
    "image_size": "none",
    "mean": "none",
    "std": "none",
    "device": "auto",
    "gpu": "auto",
    "threads": "none",
    "workers": "2",
    "processes": "1",
    "save": "zerocostpt",
    "out": str(PROJECT_ROOT / "runs"),
    "stage": "all",
    "pool": "none",
    "at_most": "none",
    "init_channels": "16",
    "cells": "5",
    "benchmark": "none",
    "hardware": "none",
    # of the training
    "epochs": "200",
    "train_batch_size": "256",
    "learning_rate": "0.1",
    "momentum": "0.9",
    "weight_decay": "0.0005",
    "grad_clip": "0.0",
    "protocol": "holdout",
    "ckpt_interval": "50",
    "resume_epoch": "0",
    "nproc_per_node": "1",
}


def parsed(*arguments):
    parser = Parser("a.module", "A program.")
    add_search_options(parser, batch_size=256)
    return parser.parse_args(arguments)


def test_help_lists_every_option_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.partition("options:")[2].split())
    for name, default in DEFAULTS.items():
        shown = re.search(rf"--{name}\b.*?\(default: (.*?)\)", text)
        assert shown, name
        assert shown[1] == default
    assert text.count("(default: ") == len(DEFAULTS)
    assert "--metric " in text
    assert "--force " in text
    for name in (*DATASETS, *PROXIES, *COMBINATIONS, *ORDERS):
        assert name in text


def test_defaults():
    options = vars(parsed())
    shown = {name: "none" if value is None else str(value) for name, value in options.items()}
    assert shown.pop("force") == "False"
    assert shown.pop("metrics") == "('jacob',)"
    assert shown == {name: DEFAULTS[name] for name in shown}


def test_both_spellings_of_a_value():
    values = {"seed": "7", "metric": "nwot", "gpu": "1", "mean": "0.1,0.2,0.3", "save": "a-b.c+d_e"}
    spaced = parsed(*[word for name, value in values.items() for word in (f"--{name}", value)])
    joined = parsed(*[f"--{name}={value}" for name, value in values.items()])
    assert spaced == joined
    assert (spaced.seed, spaced.metrics, spaced.mean) == (7, ("nwot",), (0.1, 0.2, 0.3))
    assert parsed("--metric", "nwot") == parsed("--metrics", "nwot")
    assert parsed("--metrics", "nwot, jacob") == parsed("--metric=nwot,jacob")
    assert parsed("--metrics=nwot,jacob", "--combine=vote").metrics == ("nwot", "jacob")


def test_relative_paths_start_where_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    options = parsed("--data", "images", "--out=../runs")
    assert options.data == tmp_path / "images"
    assert options.out == tmp_path.parent / "runs"
    (tmp_path / "far/images").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/images")
    assert parsed("--data=link/../images").data == tmp_path / "far/images"  # `..` of where the link leads
    assert str(parsed("--out", "~/runs").out) == "/home/someone/runs"
    assert parsed().out == PROJECT_ROOT / "runs"


WHOLE = "is not a whole number from"
MISTAKES = [
    # unknown options, missing values
    (
        ["--sede", "1"],
        "unrecognized arguments: --sede 1: did you mean --seed? the options are --help, --seed",
    ),
    (
        ["--edge-decision=order"],
        "unrecognized arguments: --edge-decision=order: did you mean --edge_decision?",
    ),
    (["--xyzzy"], "unrecognized arguments: --xyzzy: the options are --help, --seed,"),
    (["stray"], "unrecognized arguments: stray"),
    (["--pool_siz", "3"], "did you mean --pool_size?"),  # no abbreviations
    (["--seed"], "argument --seed needs a value: seed of all that is random (default: 0)"),
    (["--out", "--force"], "argument --out needs a value: where run folders are made"),
    (["--metric"], "argument --metrics needs a value: the zero-cost proxy, or several with commas between"),
    (["--force=yes"], "--force"),
    # whole numbers
    (["--seed", "x"], f"argument --seed: 'x' {WHOLE} 0 to 4294967295"),
    (["--seed=-1"], f"'-1' {WHOLE} 0 to"),
    (["--seed", "-1"], f"'-1' {WHOLE} 0 to"),
    (["--seed", "4294967296"], f"'4294967296' {WHOLE} 0 to 4294967295"),
    (["--seed", "1.5"], f"'1.5' {WHOLE}"),
    (["--seed", ""], f"'' {WHOLE}"),
    (["--pool_size", "0"], f"argument --pool_size: '0' {WHOLE} 1 on"),
    (["--validate_rounds", "0"], f"argument --validate_rounds: '0' {WHOLE} 1 on"),
    (["--batch_size", "0"], f"argument --batch_size: '0' {WHOLE} 1 on"),
    (["--threads", "0"], f"argument --threads: '0' {WHOLE} 1 on"),
    (["--workers", "-2"], f"argument --workers: '-2' {WHOLE} 0 on"),
    (["--init_channels", "0"], f"argument --init_channels: '0' {WHOLE} 1 on"),
    (["--cells", "many"], f"argument --cells: 'many' {WHOLE} 1 on"),
    (["--image_size", "4"], f"argument --image_size: '4' {WHOLE} 8 on"),
    # names of a registry, the closest first
    (["--dataset", "cifar"], "unknown data set 'cifar': choose from cifar10, cifar100, "),
    (["--dataset="], "unknown data set '': choose from cifar10,"),
    (["--metrics", "nwt"], "argument --metrics/--metric: unknown proxy 'nwt': choose from nwot, "),
    (["--metrics", "jacob,nwt"], "argument --metrics/--metric: unknown proxy 'nwt': choose from nwot, "),
    (["--metrics", "jacob,"], "argument --metrics/--metric: unknown proxy '': choose from "),
    (["--metrics", "nwot,jacob,nwot"], "/--metric: the proxy 'nwot' comes twice in 'nwot,jacob,nwot'"),
    (["--combine", "ranks"], "--combine: unknown combination 'ranks': choose from rank, log_rank, vote"),
    (["--edge_decision", "revers"], "unknown edge order 'revers': choose from reverse, "),
    # one of a few words
    (["--device", "tpu"], "argument --device: invalid choice: 'tpu'"),
    (["--stage", "2"], "argument --stage: invalid choice: '2'"),
    # the others
    (["--gpu", "first"], "argument --gpu: 'first' is neither auto nor the index of a GPU"),
    (["--gpu=-1"], "'-1' is neither auto nor"),
    (
        ["--mean", "0.5,0.5"],
        "argument --mean: '0.5,0.5' is not three numbers from 0 to 1 with commas between",
    ),
    (["--mean", "125,123,114"], "'125,123,114' is not three numbers from 0 to 1"),
    (["--mean", "a,b,c"], "'a,b,c' is not three numbers"),
    (["--mean", "nan,0,0"], "'nan,0,0' is not three numbers"),
    (["--std", "0,1,1"], "argument --std: '0,1,1' is not three numbers above 0"),
    (["--std", "inf,1,1"], "'inf,1,1' is not three numbers above 0"),
    (["--save", "a/b"], "argument --save: 'a/b' is no name: up to 100 letters, digits and ._-+ make one"),
    (["--save", ".hidden"], "'.hidden' is no name"),
    (["--save="], "'' is no name"),
    (["--save", "x" * 101], "is no name: up to 100"),
    (["--data="], "argument --data: '' is not a path"),
    (["--out", "~nobody-of-this-name/x"], "argument --out: '~nobody-of-this-name/x': "),
    # options that do not go together, files that are not there
    (["--image_size", "32"], "--image_size goes with --dataset folder only, not digits"),
    (["--mean", "0,0,0"], "--mean goes with --dataset folder only, not digits"),
    (["--std", "1,1,1"], "--std goes with --dataset folder only, not digits"),
    (["--dataset", "folder"], "--dataset folder needs --data DIR"),
    (["--dataset", "folder", "--data", "nowhere"], "nowhere has no folder train of class folders"),
    (["--dataset", "imagenet16-120", "--data", "nowhere"], "train_data_batch_1 is not in"),
    (["--benchmark", "nowhere.csv"], "nowhere.csv' is not a file"),
    (["--stage", "validation"], "networks_pool.json: run --stage search first"),
    (["--stage", "validation", "--force"], "--force deletes the pool that --stage validation needs"),
]


@pytest.mark.parametrize("arguments, message", MISTAKES, ids=[" ".join(a)[:40] for a, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line_and_leaves_nothing_behind(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["--dataset", "digits", "--device=cpu", "--out=out", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.endswith("\n")
    assert told.err.count("\n") == 1
    assert message in told.err
    assert list(tmp_path.iterdir()) == []


def test_the_options_of_a_hint_are_all_of_them(capsys):
    main(["--xyzzy"])
    listed = capsys.readouterr().err.split("the options are ")[1].strip().split(", ")
    flags = ["metric", "force", "help", "skip_training", "no_skip_training", "amp", "compile", "fast"]
    flags += ["max_params"]
    assert set(listed) == {f"--{name}" for name in [*DEFAULTS, *flags]}


def test_a_percent_sign_in_a_default_is_shown_as_it_is(capsys):
    parser = Parser("a.module", "A program.")
    parser.option("--share", default="100%", help="50% or more")
    assert "50% or more (default: 100%)" in parser.format_help()
    with pytest.raises(UserError, match=r"^argument --share needs a value: 50% or more \(default: 100%\)$"):
        parser.parse_args(["--share"])


def test_entry_point_turns_a_user_error_into_one_line(capsys):
    @entry_point
    def program(argv=None):
        """What it does."""
        raise UserError("two\n  lines")

    assert program([]) == 2
    assert capsys.readouterr().err == "error: two lines\n"
    assert program.__doc__ == "What it does."


def test_entry_point_and_ctrl_c(capsys):
    @entry_point
    def program(argv=None):
        raise KeyboardInterrupt

    assert program() == 130
    assert capsys.readouterr().err == "stopped: the same command goes on from here\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_entry_point_names_file_and_disk_that_have_no_room(tmp_path, capsys, code):
    path = tmp_path / "new/file"

    @entry_point
    def program(argv=None):
        with naming(path):
            raise OSError(code, os.strerror(code))

    assert program([]) == 1
    assert capsys.readouterr().err == (
        f"error: no room to write {path}, on the disk mounted at {disk_of(tmp_path)} ({os.strerror(code)}): "
        "free some, and the same command goes on from here\n"
    )


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO, errno.ESTALE])
def test_entry_point_names_a_file_that_is_out_of_reach(tmp_path, capsys, code):
    @entry_point
    def program(argv=None):
        with naming(tmp_path):
            raise OSError(code, os.strerror(code))

    assert program([]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path} can't be read or written: {os.strerror(code)}\n"


def test_entry_point_hides_no_bug():
    @entry_point
    def program(argv=None):
        return argv[3]

    assert program([0, 0, 0, 5]) == 5
    with pytest.raises(IndexError):
        program([])


def test_console_log_prints_what_is_logged_and_leaves_logging_as_it_was(capsys):
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with pytest.raises(ZeroDivisionError), console_log():
        logging.getLogger("foresight_ext.some").info("%d images", 3)
        raise ZeroDivisionError
    assert capsys.readouterr().out == "3 images\n"
    assert (list(root.handlers), root.level) == before


def test_registry_refuses_a_name_twice():
    registry = Registry("thing")
    assert registry.register("one", 1) == 1
    with pytest.raises(ValueError, match="the thing 'one' is registered already"):
        registry.register("one", 2)
    assert registry.get("one") == 1


def test_registry_lists_names_in_order_and_the_closest_first_when_one_is_unknown():
    registry = Registry("thing")
    for number, name in enumerate(["banana", "apple", "apply", "cherry"]):
        registry.register(name, number)
    assert list(registry) == ["banana", "apple", "apply", "cherry"]
    assert len(registry) == 4
    assert "apple" in registry
    assert "appl" not in registry
    with pytest.raises(UserError) as error:
        registry.get("aple")
    assert str(error.value) == "unknown thing 'aple': choose from apple, apply, banana, cherry"
    with pytest.raises(UserError) as error:
        registry.get("zzz")
    assert str(error.value) == "unknown thing 'zzz': choose from banana, apple, apply, cherry"


def test_whole_numbers_between_two_limits():
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--n", type=whole_number(2, 4))
    assert [parser.parse_args([f"--n={n}"]).n for n in (2, 3, 4)] == [2, 3, 4]
    with pytest.raises(argparse.ArgumentError, match="'5' is not a whole number from 2 to 4"):
        parser.parse_args(["--n=5"])
