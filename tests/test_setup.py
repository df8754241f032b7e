"""The set-up scripts, with stand-ins for python, pip and df: nothing is downloaded or installed."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ["bash", "cksum", "cp", "dirname", "env", "find", "grep", "mkdir", "mktemp", "readlink", "rm"]
TOOLS += ["tail", "tee"]

# Answers the few questions that the scripts ask of an interpreter and notes each call in $CALLS.
FAKE_PYTHON = """#!/bin/bash
echo "$*" >>"$CALLS"
case "$*" in
    *version_info*) echo {version} ;;
    *find_spec*) exit "${{NO_TORCH:-0}}" ;;
    *"import ensurepip"*) exit "${{NO_VENV_MODULE:-0}}" ;;
    "-m ensurepip") exit "${{NO_VENV_MODULE:-0}}" ;;
    "-m venv --clear "*) rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip --version") exit "${{NO_PIP:-0}}" ;;
    "-m pip install "*) echo "${{PIP_SAYS:-}}"; exit "${{PIP_EXIT:-0}}" ;;
    "-m ruff "*) exit "${{RUFF_EXIT:-0}}" ;;
    "-m mypy "*) exit 0 ;;
    "-m pytest"*) echo "pytest in $PWD"; exit 0 ;;
    *) printf '%s\\n' "$$" "$PWD" "$PYTHONPATH" "$@"; exit 7 ;;
esac
"""
FAKE_DF = """#!/bin/bash
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
echo "/dev/disk 99999999 1 ${FREE_KB:-99999999} 1% /"
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Project:
    """A copy of the scripts in a folder with a blank in its name, and the only programs they can see."""

    def __init__(self, folder):
        self.root = folder / "the project"
        self.bin = folder / "bin"
        self.calls_file = folder / "calls"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.bin.mkdir()
        shutil.copytree(ROOT / "exp_scripts", self.root / "exp_scripts")
        (self.root / "tests").mkdir()
        for name in ("requirements.txt", "tests/requirements.txt", "tests/run.sh"):
            shutil.copy(ROOT / name, self.root / name)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        write_program(self.bin / "df", FAKE_DF)
        self.add_python("python3")

    def add_python(self, name, version="3.11"):
        """Adds a stand-in called `name` to PATH; a path such as .venv/bin/python goes to the project."""
        folder = self.root if "/" in name else self.bin
        write_program(folder / name, FAKE_PYTHON.format(version=version))

    def environment(self, **variables):
        return {"PATH": str(self.bin), "CALLS": str(self.calls_file), **variables}

    def run(self, *command, **variables):
        self.calls_file.write_text("")
        return subprocess.run(
            ["bash", *map(str, command)],
            env=self.environment(**variables),
            cwd=self.elsewhere,
            capture_output=True,
            text=True,
            timeout=20,
        )

    def call(self, function, **variables):
        """Sources environment.sh, calls `function` and prints PYTHON_BIN."""
        source = f'source "{self.root}/exp_scripts/environment.sh"'
        return self.run("-c", f'set -euo pipefail; {source}; {function}; echo "$PYTHON_BIN"', **variables)

    @property
    def calls(self):
        return self.calls_file.read_text()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path.resolve())


def assert_one_line_error(result, code, *parts):
    assert result.returncode == code, result
    assert result.stderr.startswith("error: "), result
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def test_first_set_up_creates_venv_and_installs(project):
    result = project.call("set_up_environment", NO_TORCH="1")
    assert result.returncode == 0, result
    assert result.stderr == ""
    venv = project.root / ".venv"
    assert result.stdout.splitlines() == [
        "Creating .venv with Python 3.11 (python3)",
        f"Installing requirements.txt into {venv} (torch is large: several GB on Linux; this happens once)",
        f"{venv}/bin/python",
    ]
    assert f"-m pip install --requirement={project.root}/requirements.txt" in project.calls


def test_second_set_up_is_silent_and_quick(project):
    project.call("set_up_environment tests/requirements.txt")
    start = time.monotonic()
    for function in ("set_up_environment tests/requirements.txt", "set_up_environment"):
        result = project.call(function)
        assert result.stdout == f"{project.root}/.venv/bin/python\n"
        assert "pip" not in project.calls
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("changed", ["requirements.txt", "tests/requirements.txt", "python"])
def test_a_change_installs_again(project, changed):
    project.call("set_up_environment tests/requirements.txt")
    if changed == "python":
        project.add_python(".venv/bin/python", "3.12")
    else:
        with (project.root / changed).open("a") as file:
            file.write("another-package\n")
    result = project.call("set_up_environment tests/requirements.txt")
    assert "Installing requirements.txt and tests/requirements.txt" in result.stdout
    assert "-m venv" not in project.calls


def test_extra_requirements_are_installed_after_the_plain_ones(project):
    project.call("set_up_environment")
    project.call("set_up_environment tests/requirements.txt")
    assert f"--requirement={project.root}/tests/requirements.txt" in project.calls


def test_failed_install_is_completed_next_time(project):
    assert project.call("set_up_environment", PIP_EXIT="1").returncode == 1
    result = project.call("set_up_environment")
    assert result.returncode == 0
    assert "-m pip install" in project.calls
    assert "-m venv" not in project.calls


def test_half_made_venv_is_completed(project):
    project.add_python(".venv/bin/python")
    assert project.call("set_up_environment", NO_PIP="1").returncode == 0
    assert "-m ensurepip" in project.calls


def test_venv_whose_python_is_gone_is_made_again(project):
    project.call("set_up_environment")
    python = project.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "Creating .venv" in project.call("set_up_environment").stdout


def test_large_downloads_are_shown(project):
    says = "  Downloading torch-2.14.1.whl (888.1 MB)\n  Downloading x.whl (1.2 MB)\n"
    says += "Installing collected packages: x"
    lines = project.call("set_up_environment", PIP_SAYS=says).stdout.splitlines()
    assert lines[2:-1] == ["  Downloading torch-2.14.1.whl (888.1 MB)", "  Unpacking (a minute or two)"]


def test_first_suitable_python_is_taken(project):
    project.add_python("python3", "3.8")
    project.add_python("python3.12", "3.12")
    assert "with Python 3.12 (python3.12)" in project.call("set_up_environment").stdout


def test_python_variable_comes_first(project):
    project.add_python("mine", "3.13")
    assert "with Python 3.13 (mine)" in project.call("set_up_environment", PYTHON="mine").stdout


def test_python_too_old(project):
    project.add_python("python3", "3.8")
    project.add_python("python", "2.7")
    result = project.call("set_up_environment")
    assert_one_line_error(result, 1, "Python 3.10 or newer", "found Python 3.8 (python3)")


def test_no_python(project):
    (project.bin / "python3").unlink()
    assert_one_line_error(project.call("set_up_environment"), 1, "Python 3.10 or newer", "found none")


def test_active_environment_too_old(project):
    project.add_python("old env/bin/python", "3.9")
    result = project.call("set_up_environment", VIRTUAL_ENV=f"{project.root}/old env")
    assert_one_line_error(result, 1, "Python 3.10 or newer", "old env has Python 3.9")


def test_no_venv_module(project):
    result = project.call("set_up_environment", NO_VENV_MODULE="1")
    assert_one_line_error(result, 1, "Python 3.11", "python3-venv")
    assert not (project.root / ".venv").exists()


def test_no_pip_and_no_ensurepip(project):
    project.add_python(".venv/bin/python")
    result = project.call("set_up_environment", NO_PIP="1", NO_VENV_MODULE="1")
    assert_one_line_error(result, 1, "no pip", "python3-venv")


def test_short_disk(project):
    result = project.call("set_up_environment", NO_TORCH="1", FREE_KB=str(5 * 1024**2))
    assert_one_line_error(result, 1, "5 GB of disk free", str(project.root), "8 GB", "MIN_FREE_GB")
    assert "-m pip" not in project.calls
    assert not (project.root / ".venv").exists()


def test_short_disk_is_enough_with_a_lower_threshold_or_with_torch_in_place(project):
    few = str(5 * 1024**2)
    assert project.call("set_up_environment", NO_TORCH="1", FREE_KB=few, MIN_FREE_GB="4").returncode == 0
    (project.root / ".venv/.zero-cost-pt-installed").unlink()
    assert project.call("set_up_environment", FREE_KB=few).returncode == 0


UNREACHABLE = [
    "WARNING: Retrying: Failed to establish a new connection: [Errno 111] Connection refused",
    "Temporary failure in name resolution",
    "ERROR: Could not find a version that satisfies the requirement torch>=2.4 (from versions: none)",
    "ERROR: No matching distribution found for torch>=2.4",
    "HTTPSConnectionPool(host='pypi.org', port=443): Read timed out.",
]


@pytest.mark.parametrize("says", UNREACHABLE)
def test_unreachable_index(project, says):
    result = project.call("set_up_environment", PIP_SAYS=f"Traceback\n{says}", PIP_EXIT="1")
    log = project.root / ".venv/pip-install.log"
    assert_one_line_error(result, 1, "cannot reach the package index", "PIP_INDEX_URL", str(log))
    assert says in log.read_text()


def test_other_pip_failures(project):
    result = project.call("set_up_environment", PIP_SAYS="x\nERROR: no luck\ny", PIP_EXIT="2")
    assert_one_line_error(result, 1, "pip failed: ERROR: no luck", "pip-install.log")
    result = project.call("set_up_environment", PIP_SAYS="[Errno 28] No space left on device", PIP_EXIT="1")
    assert_one_line_error(result, 1, "disk ran full", "pip-install.log")


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_active_environment_is_reused(project, variable):
    project.add_python("my env/bin/python")
    active = {variable: f"{project.root}/my env"}
    for function in ("set_up_environment", "find_python"):
        result = project.call(function, **active)
        assert result.stdout.splitlines()[-1] == f"{project.root}/my env/bin/python"
    assert not (project.root / ".venv").exists()


def test_find_python_order(project):
    assert project.call("find_python").stdout == f"{project.bin}/python3\n"
    project.add_python(".venv/bin/python")
    assert project.call("find_python").stdout == f"{project.root}/.venv/bin/python\n"


def test_find_python_without_torch_or_python(project):
    result = project.call("find_python", NO_TORCH="1")
    assert_one_line_error(result, 2, "torch is not installed", "bash exp_scripts/demo.sh")
    (project.bin / "python3").unlink()
    assert_one_line_error(project.call("find_python"), 2, "no python3", "bash exp_scripts/demo.sh")


def test_pipeline_becomes_the_program_in_the_callers_folder(project):
    link = project.elsewhere / "link.sh"
    link.symlink_to(project.root / "exp_scripts/zerocostpt_nb201_pipeline.sh")
    for script in ("../the project/exp_scripts/zerocostpt_nb201_pipeline.sh", "link.sh"):
        with subprocess.Popen(
            ["bash", script, "--name", "a b"],
            env=project.environment(PYTHONPATH="/theirs"),
            cwd=project.elsewhere,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            pid, folder, path, *arguments = process.stdout.read().splitlines()
        assert process.returncode == 7
        assert int(pid) == process.pid  # so signals reach it
        assert folder == str(project.elsewhere)
        assert path == f"{project.root}:/theirs"
        assert arguments == ["-m", "nasbench201.networks_proposal", "--name", "a b"]


def test_run_sh_announces_and_goes_on_after_a_failure(project):
    write_program(project.root / ".venv/bin/shellcheck", '#!/bin/bash\nprintf "%s\\n" "$@"\n')
    project.add_python(".venv/bin/python")
    result = project.run(project.root / "tests/run.sh", "-k", "x", RUFF_EXIT="1")
    assert result.returncode == 1
    assert re.findall("^== (.*)", result.stdout, re.M) == ["pytest", "ruff", "shellcheck", "mypy"]
    assert "exp_scripts/environment.sh" in result.stdout
    assert f"pytest in {project.root}\n" in result.stdout
    assert re.search(r"^-m pytest .* -k x$", project.calls, re.M)
    assert result.stderr.endswith("FAILED: ruff\n")
    assert project.run(project.root / "tests/run.sh").returncode == 0


def requirement_lines(name):
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_requirements_are_lower_bounds(name):
    lines = requirement_lines(name)
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", line), line


def test_requirements_do_not_name_foresight():
    """PyPI's `foresight` is an unrelated program."""
    assert not any(line.startswith("foresight") for line in requirement_lines("requirements.txt"))


def test_scripts_open_with_a_purpose_and_strict_settings():
    for script in sorted((ROOT / "exp_scripts").glob("*.sh")):
        text = script.read_text()
        assert re.match(r"(#!/usr/bin/env bash\n)?# \w", text), script.name
        assert "\nset -euo pipefail\n" in text, script.name
    assert os.access(ROOT / ".ci/run", os.X_OK)
