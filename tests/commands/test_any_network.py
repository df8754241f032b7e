"""python -m foresight_ext: a stranger's network or space from the shell, killed, resumed and trained."""

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from foresight_ext import SPACES
from foresight_ext.__main__ import main
from foresight_ext.choices.space import RECIPE
from foresight_ext.errors import UserError
from foresight_ext.registry import Registry
from foresight_ext.training import run as training
from tests import PROJECT_ROOT
from tests.running import class_folders, done, finished, read, refused, script

TINY = ["--dataset=digits", "--device=cpu", "--threads=1", "--pool_size=2", "--validate_rounds=2"]
TINY += ["--batch_size=8", "--epochs=1", "--fast"]
RUN = "zerocostpt-seed0-digits-jacob-random"
NETWORK = """
from torch import nn
from foresight_ext import MixedOp

def tiny(classes):
    convolutions = {"conv3x3": nn.Conv2d(8, 8, 3, padding=1), "conv1x1": nn.Conv2d(8, 8, 1)}
    body = [nn.ReLU(), MixedOp({**convolutions, "skip": nn.Identity()}, choice="first"), nn.ReLU()]
    body += [MixedOp([lambda: nn.Conv2d(8, 8, 1), nn.Identity], choice="second"), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), *body, *head)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder where the user stands, with nets.py in it."""
    (tmp_path / "nets.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entries(folder, name):
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def what_came_out(folder):
    names = ("search", "validation", "training/training")
    result = {**read(folder, "training/result.json"), "seconds": 0}
    return [entries(folder, name) for name in names], read(folder, "best_networks.json"), result


def test_killed_and_resumed_it_ends_as_an_unkilled_run(here):
    budget = [*TINY, "--pool_size=30", "--batch_size=64", "--epochs=2"]
    whole = finished(script("zerocostpt_pipeline.sh", *budget, "nets:tiny", "--out=whole"), here)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert whole.stdout.splitlines()[-1] == f"run: {here}/whole/tiny/{RUN}/training"

    command = script("zerocostpt_pipeline.sh", "nets.py:tiny", *budget, "--out=killed")
    folder = here / "killed/tiny" / RUN
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=here, env=environment, stdout=subprocess.DEVNULL) as process:
        journal = folder / "search.jsonl"
        while not (journal.exists() and journal.read_text().count("\n") >= 5):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert len(entries(folder, "search")) < 2 * 30
    again = finished(command, here)
    assert (again.returncode, again.stderr) == (0, "")
    assert "going on after" in again.stdout
    assert what_came_out(folder) == what_came_out(here / "whole/tiny" / RUN)


def test_stages_alone_and_two_processes(here):
    whole = ["nets.py:tiny", *TINY, "--out=whole"]
    done(main, *whole)
    parts = ["nets.py:tiny", *TINY, "--out=parts"]
    for stage in ("search", "validation"):
        assert done(main, *parts, f"--stage={stage}")[-1] == f"run: {here}/parts/tiny/{RUN}"
    assert (here / "parts/tiny" / RUN / "tiny.svg").is_file()
    done(main, *parts, "--stage=training")
    assert what_came_out(here / "parts/tiny" / RUN) == what_came_out(here / "whole/tiny" / RUN)
    command = script("zerocostpt_pipeline.sh", *parts, "--stage=training", "--nproc_per_node=2", "--force")
    both = finished(command, here)
    assert (both.returncode, both.stderr) == (0, "")
    assert read(here / "parts/tiny" / RUN, "training/result.json")["processes"] == 2


def test_images_of_ones_own_of_any_size(here):
    for split in ("train", "test"):
        class_folders(here / split, (20, 30), names=("a", "b", "c"))
    told = done(
        main, "nets.py:tiny", *TINY, "--dataset=folder", f"--data={here}", "--image_size=24", "--out=o"
    )
    result = read(here / told[-1].removeprefix("run: "), "result.json")
    assert (result["image_size"], result["dataset"]) == (24, "folder")


@pytest.mark.parametrize(
    "old, new, difference",
    [
        (
            '"skip"',
            '"identity"',
            "choice first conv3x3, conv1x1, skip there, conv3x3, conv1x1, identity asked",
        ),
        (
            "nn.Conv2d(3, 8, 3)",
            "nn.Conv2d(3, 8, 5)",
            r"supernet 970 parameters, digest \w+ there, 1354 param",
        ),
        (
            "nn.ReLU()",
            "nn.GELU()",
            r"supernet 970 parameters, digest \w+ there, 970 parameters, digest \w+ ask",
        ),
    ],
)
def test_a_run_does_not_go_on_with_another_network(here, old, new, difference):
    arguments = ["nets.py:tiny", *TINY, "--skip_training", "--out=out"]
    done(main, *arguments)
    (here / "nets.py").write_text(NETWORK.replace(old, new))
    told = refused(main, *arguments)
    assert re.search(rf"is a run with other settings \({difference}", told)
    assert told.endswith("use --save NAME for a run beside it, or --force to overwrite it")


CHAIN = "from tests.chain_space import ChainSpace as Chain\n"
ONE_SPACE = f"{CHAIN}\nclass A(Chain):\n    pass\n"


@pytest.mark.parametrize(
    "code, arguments, message",
    [
        ("", ["missing.py:f"], "missing.py: no such file"),
        ("", ["mine.py"], "'mine.py' names nothing: it must be MODULE:NAME or FILE.py:NAME"),
        ("", ["mine_not_there:f"], "mine_not_there: no such module: it must be installed, in PYTHONPATH or"),
        ("def g(): pass", ["mine.py:f"], "mine.py has no 'f': it has g"),
        ("f = 3", ["mine.py:f"], "mine.py:f is a int: it must be a function that builds a network"),
        ("1 / 0", ["mine.py:f"], "mine.py: ZeroDivisionError: division by zero (HERE/mine.py:1)"),
        ("1 / 0", ["mine:f"], "mine: ZeroDivisionError: division by zero (HERE/mine.py:1)"),
        ("\nraise SystemExit(3)", ["mine.py:f"], "mine.py: SystemExit: 3 (HERE/mine.py:2)"),
        (
            "\n\nf = (",
            ["mine.py:f"],
            "mine.py: SyntaxError: '(' was never closed (mine.py, line 3) (HERE/mine.py",
        ),
        (
            "import gone",
            ["mine.py:f"],
            "mine.py: ModuleNotFoundError: No module named 'gone' (HERE/mine.py:1)",
        ),
        ("def f(): return 3", ["mine.py:f"], "mine.py:f: build returned a int: it must return an nn.Module"),
        ("def f(depth): pass", ["mine.py:f"], "mine.py:f: TypeError: f() missing 1 required"),
        (
            "from torch import nn\ndef f():\n    return nn.Conv2d(3, 8, -1)",
            ["mine.py:f"],
            "(HERE/mine.py:3)",  # the user's line, not PyTorch's
        ),
        ("from torch.nn import ReLU as f", ["mine.py:f"], "the network has no MixedOp"),
        (
            NETWORK.replace("Linear(8", "Linear(9"),
            ["mine.py:tiny"],
            "the network fails on images of 1 x 3 x 32 x 32: mat1 and mat2 shapes cannot be multiplied",
        ),
        (
            NETWORK.replace("(classes)", "()").replace("classes", "4"),
            ["mine.py:tiny"],
            "the network has 4 logits, the images have 10 classes: let the function that builds it",
        ),
        (
            "",
            [],
            "nothing to search: give a network as MODULE:FUNCTION or FILE.py:FUNCTION, or a space by --s",
        ),
        ("", ["mine.py:f", "--space=s5"], "both mine.py:f and --space s5 to search"),
        (
            "",
            ["--space=s7"],
            "unknown search space 's7': choose from s6, s5, s4, s3, s2, s1, nas-bench-201",
        ),
        ("", ["--space=mine.py"], "--space mine.py holds no subclass of Space"),
        (f"{ONE_SPACE}\nclass B(A):\n    pass", ["--space=mine.py"], "holds A, B: name one, as mine.py:A"),
        ("def f(): return 3", ["--space=mine.py:f"], "--space mine.py:f gives a int: it must give a Space"),
        (
            "def f(): 1 / 0",
            ["--space=mine.py:f"],
            "--space mine.py:f: ZeroDivisionError: division by zero (HER",
        ),
        ("", ["--space=s5"], "the space s5 does not say how a winner is trained: use --skip_training"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(here, monkeypatch, code, arguments, message):
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (here / "mine.py").write_text(code)
    told = refused(main, *TINY, "--out=out", *arguments)
    assert message in told.replace(str(here), "HERE")
    assert not (here / "out").exists()


def test_a_module_that_lies_beside_the_file_is_told(here, monkeypatch):
    (here / "far").mkdir()
    (here / "far/beside_it.py").write_text("")
    (here / "far/mine.py").write_text("import beside_it")
    told = refused(main, "far/mine.py:f", *TINY)
    assert "it imports 'beside_it', which lies beside it: stand in" in told
    assert told.endswith(f"PYTHONPATH={here}/far")


# ---- spaces


@pytest.mark.parametrize(
    "code, which",
    [
        (ONE_SPACE, "mine.py"),
        (f"{ONE_SPACE}\nclass B(A):\n    pass\n", "mine.py:B"),
        (f"{CHAIN}\ndef f(): return Chain()\n", "mine.py:f"),
        (f"{CHAIN}\nf = Chain()\n", "mine.py:f"),
        ("", "tests.chain_space:ChainSpace"),
        ("", str(PROJECT_ROOT / "tests/chain_space.py")),
    ],
)
def test_spaces_of_files(here, monkeypatch, code, which):
    jobs = []
    monkeypatch.setattr(training, "train", lambda job, *settings: jobs.append(job) or {})
    (here / "mine.py").write_text(code)
    arguments = [one for one in TINY if "epochs" not in one]
    done(main, f"--space={which}", *arguments, "--out=out", "--learning_rate=0.2")
    recipe = jobs[0].spec.recipe  # the space's own, but for what was given
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (4, 16, 0.2)
    assert (here / "out/chain" / RUN / "best_networks.json").is_file()


def test_the_recipe_of_a_network_of_ones_own(here, monkeypatch):
    jobs = []
    monkeypatch.setattr(training, "train", lambda job, *settings: jobs.append(job) or {})
    done(main, "nets.py:tiny", *[one for one in TINY if "epochs" not in one], "--out=out")
    assert jobs[0].spec.recipe == RECIPE


class Point(SimpleNamespace):
    """An entry point as importlib.metadata gives it."""

    def __init__(self, name, value, package="their-nets"):
        module, _, attr = value.partition(":")
        super().__init__(name=name, module=module, attr=attr, dist=SimpleNamespace(name=package))


@pytest.fixture
def installed(monkeypatch):
    """Lets packages be installed that have these entry points; the registry of spaces looks at them anew."""

    def install(*points):
        asked = []
        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda *, group: asked.append(group) or list(points)
        )
        fresh = Registry("search space", "foresight_ext.spaces")
        fresh.declare("s5", "sota.cnn.space:S5", "the DARTS space")
        for name, value in vars(fresh).items():
            monkeypatch.setattr(SPACES, name, value)
        return asked

    return install


def test_a_space_of_an_installed_package(here, installed, capsys):
    asked = installed(Point("theirs", "tests.chain_space:ChainSpace"))
    assert asked == []  # not before a name is asked for
    assert list(SPACES) == ["s5", "theirs"]
    assert asked == ["foresight_ext.spaces"]
    assert SPACES.line("theirs") == "of the package their-nets"
    assert done(main, "--space=theirs", *TINY, "--skip_training", "--out=out")[-1].endswith(f"chain/{RUN}")
    assert refused(main, "--space=their").endswith("choose from theirs, s5, or give FILE.py")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "theirs (of the package their-nets)" in " ".join(capsys.readouterr().out.split())


def test_a_package_that_can_not_be_loaded(installed):
    installed(Point("theirs", "not_there:Space"))
    told = refused(main, "--space=theirs", *TINY)
    assert told.startswith("the search space 'theirs' of the package their-nets: not_there: no such module")


def test_a_package_must_not_take_a_name(installed):
    installed(Point("s5", "tests.chain_space:ChainSpace"))
    told = "the entry point 's5' (foresight_ext.spaces) of the package their-nets: there is a search space"
    for _ in range(2):
        with pytest.raises(UserError, match=re.escape(told)):
            list(SPACES)


# ---- the README


def test_the_readme_is_true(tmp_path, monkeypatch):
    """Its files are written, and its commands run in the order in which they stand."""
    text = (PROJECT_ROOT / "foresight_ext/README.md").read_text()
    section = text.split("## Adding a space as a stranger would\n")[1].split("\n## Adding something\n")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.S)
    files = {"python": "nets.py", "toml": "pyproject.toml"}
    assert {kind for kind, _ in blocks} == {*files, "bash"}
    site = tmp_path / "site"
    pip = f"python -m pip install --quiet --no-deps --no-build-isolation --target={site} ."
    environment = {
        **os.environ,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "PYTHONPATH": f"{PROJECT_ROOT}:{site}",
        "OMP_NUM_THREADS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    here, told = tmp_path / "here", []
    here.mkdir()
    for kind, block in blocks:
        if kind in files:
            with (here / files[kind]).open("a") as file:
                file.write(f"{block}\n\n")
            continue
        commands = ["set -e", block.replace("pip install .", f"{pip} && rm nets.py")]
        ran = subprocess.run(
            ["bash", "-c", "\n".join(commands)],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        told += ran.stdout.splitlines()
    folder = here / "runs/tiny" / RUN
    assert folder.relative_to(here).as_posix() in section
    assert told.count(f"run: {folder}") == 2 and f"run: {folder}/training" in told
    assert any("nothing to compute" in line for line in told)  # the package's space is the same network
    genotype = read(folder, "best_networks.json")["networks"]
    assert re.fullmatch(r"3=\w+,6=\w+", genotype)
    assert read(folder, "training/result.json")["genotype"] == genotype
