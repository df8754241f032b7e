"""Shared fixtures: golden values beside the project, the images they were computed on, PyTorch's threads."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from tests import PROJECT_ROOT

SHARED = PROJECT_ROOT.parent / "shared"


def shared_file(name: str) -> Path:
    """A file of the folder `shared` beside the project: skips without the folder, fails without the file."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' with golden values is not beside the project")
    path = SHARED / name
    assert path.is_file(), f"{path} is missing"
    return path


def golden(name: str) -> Any:
    """The content of a golden JSON file of the folder `shared`."""
    return json.loads(shared_file(f"golden/{name}").read_text())


@pytest.fixture(scope="session")
def class_folder_cifar10(tmp_path_factory) -> Path:
    """CIFAR-10 as JPEG files in class folders, unpacked once for all processes of the tests."""
    archive = shared_file("data/cifar10-jpeg.zip")
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cifar10-jpeg"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            partly = folder.with_suffix(".partly")
            with zipfile.ZipFile(archive) as content:
                content.extractall(partly)
            partly.rename(folder)
    return folder


@pytest.fixture(autouse=True)
def threads_kept():
    """Commands set PyTorch's threads: the next test gets its own back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
