"""What a run's config.json tells besides its settings: other options, versions, git revision, machine."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foresight_ext.files import CHECKOUT


def notes_of(options: Mapping[str, Any], settings: Mapping[str, Any], device: str) -> dict[str, Any]:
    """What config.json tells besides the settings: the other options, and the environment."""
    others = {name: value for name, value in options.items() if name not in settings}
    others = {name: str(value) if isinstance(value, Path) else value for name, value in others.items()}
    return {"other_options": others, "environment": environment(device)}


def environment(device: str) -> dict[str, Any]:
    """Versions, git revision and machine, for config.json."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "nas-bench-201"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "git_revision": _git_revision(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "device": device,
        },
    }


def _git_revision() -> str | None:
    if CHECKOUT is None:  # what git finds around installed packages is somebody else's
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
