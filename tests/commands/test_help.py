"""--help of every command: at once, without PyTorch, with a line for every name that can be chosen."""

import subprocess
import sys

import pytest

from foresight_ext import DATASETS, ORDERS, PROXIES, SPACES
from foresight_ext.measures import COMBINATIONS
from tests import PROJECT_ROOT

COMMANDS = [
    "foresight_ext.__main__",
    "foresight_ext.commands.baseline",
    "foresight_ext.report.__main__",
    "nasbench201.networks_proposal",
    "nasbench201.train",
    "nasbench201.score_archs",
    "nasbench201.reproduce",
    "nasbench201.op_scores",
    "nasbench201.benchmark",
    "nasbench201.tradeoff",
    "nasbench201.visualize",
    "sota.cnn.networks_proposal",
    "sota.cnn.networks_proposal_imagenet",
    "sota.cnn.train",
    "sota.cnn.train_imagenet",
    "sota.cnn.reproduce",
    "sota.cnn.score_archs",
    "sota.cnn.genotypes",
    "sota.cnn.visualize",
    "sota.mobilenet.networks_proposal",
    "sota.mobilenet.train",
    "sota.mobilenet.genotypes",
    "sota.mobilenet.visualize",
    "sota.nasbench_macro.networks_proposal",
    "sota.nasbench_macro.reproduce",
    "sota.nasbench_macro.visualize",
]
CODE = """
import importlib, sys
main = importlib.import_module(sys.argv[1]).main
try:
    main(["--help"])
except SystemExit:
    slow = {"torch", "torchvision", "scipy", "sklearn", "matplotlib"} & set(sys.modules)
    assert not slow, slow
"""


@pytest.fixture(scope="module")
def helps():
    """The help of each command, told by a process of its own."""
    told = {}
    for command in COMMANDS:
        program = [sys.executable, "-c", CODE, command]
        done = subprocess.run(program, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        told[command] = " ".join(done.stdout.split())
    return told


def test_every_command_is_listed():
    rooms = ("foresight_ext", "nasbench201", "sota")
    files = [path for room in rooms for path in (PROJECT_ROOT / room).rglob("*.py")]
    commands = [path for path in files if "def main(" in path.read_text()]
    names = {".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts) for path in commands}
    assert names == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_pytorch(helps, command):
    assert helps[command].startswith(f"usage: python -m {command.removesuffix('.__main__')} ")


def test_every_name_is_explained(helps):
    told = helps["nasbench201.networks_proposal"]
    for registry in (PROXIES, COMBINATIONS, ORDERS, DATASETS):
        for name in registry:
            assert f"{name} ({registry.line(name)})" in told
    told = helps["foresight_ext.__main__"].replace("- ", "-")  # a name may be cut at its hyphen
    assert all(f"{name} ({SPACES.line(name)})" in told for name in SPACES)


@pytest.mark.parametrize("registry", [PROXIES, COMBINATIONS, ORDERS, DATASETS, SPACES], ids=lambda r: r.kind)
def test_every_name_is_there(registry):
    for name in registry:
        assert registry.get(name) is registry.get(name)
        assert registry.line(name)


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_knows_its_name(name):
    assert PROXIES.get(name).name == name


def test_a_search_waits_for_no_library_that_it_does_not_need():
    """Importing torchvision takes as long as PyTorch itself, and scipy.stats half of that."""
    code = """
import sys
import foresight_ext.search.run
from foresight_ext.images import DATASETS
from foresight_ext.measures import COMBINATIONS, PROXIES
from foresight_ext.search import SPACES
for registry in (COMBINATIONS, DATASETS, PROXIES, SPACES):
    for name in registry:
        registry.get(name)
print(*sorted({"torchvision", "scipy.stats", "sklearn", "matplotlib"} & set(sys.modules)))
"""
    program = [sys.executable, "-c", code]
    done = subprocess.run(program, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
