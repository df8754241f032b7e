"""Installed as a package, without the checkout: runs and data lie where the user stands."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import PROJECT_ROOT
from tests.running import TINY_NASBENCH201

PACKAGES = ("foresight_ext", "nasbench201", "sota")
SMALL = [*TINY_NASBENCH201, "--pool_size=1", "--validate_rounds=1"]


def ran(command, folder, **environment):
    """The lines of a command that must succeed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package, built from a copy: building leaves files among the sources."""
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("built")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(PROJECT_ROOT / name, sources / name, ignore=ignored)
    for name in ("pyproject.toml", "requirements.txt", "LICENSE", "README.md"):
        shutil.copy(PROJECT_ROOT / name, sources / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    ran([*pip, f"--wheel-dir={built}", str(sources)], sources)
    [path] = built.iterdir()
    return path


def test_the_wheel_holds_all_modules_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if ".dist-info/" not in name}
    modules = [path for name in PACKAGES for path in (PROJECT_ROOT / name).rglob("*.py")]
    others = [PROJECT_ROOT / "foresight_ext/py.typed", *PROJECT_ROOT.glob("foresight_ext/report/templates/*")]
    assert len(others) == 4
    assert names == {str(path.relative_to(PROJECT_ROOT)) for path in [*modules, *others]}


def test_an_installed_package_runs_where_the_user_stands(wheel, tmp_path):
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={site}"]
    ran([*pip, str(wheel)], here)
    before = sorted(path.relative_to(site) for path in site.rglob("*") if "__pycache__" not in path.parts)
    told = ran([sys.executable, "-m", "nasbench201.networks_proposal", *SMALL], here, PYTHONPATH=str(site))
    run = here / "runs/nas-bench-201/zerocostpt-seed0-digits-jacob-random"
    assert told[-1] == f"run: {run}"
    assert (run / "best_networks.json").is_file() and (run / "report.html").is_file()
    assert f"into {here}/data" in "\n".join(told)  # where a benchmark would lie
    after = sorted(path.relative_to(site) for path in site.rglob("*") if "__pycache__" not in path.parts)
    assert after == before
    assert {path.name for path in here.iterdir()} == {"runs"}
