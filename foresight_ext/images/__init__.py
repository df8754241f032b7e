"""Data sets: which images a minibatch holds, how they are cropped, where they are read from.

DATASETS holds them by name: a new one is a function of a Request in datasets.py and a line here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from foresight_ext.registry import Registry

if TYPE_CHECKING:  # PyTorch is imported when a data set is first asked for: --help is there at once
    from foresight_ext.images.datasets import ImageData, Request

DATASETS: "Registry[Callable[[Request], ImageData]]" = Registry("data set")

for _name, _function, _line in (
    ("cifar10", "cifar10", "CIFAR-10, downloaded"),
    ("cifar100", "cifar100", "CIFAR-100, downloaded"),
    ("svhn", "svhn", "street view house numbers, downloaded"),
    ("imagenet16-120", "imagenet16", "120 classes of ImageNet at 16 pixels, from its published batches"),
    ("digits", "digits", "scikit-learn's handwritten digits, without a download"),
    ("folder", "folder", "images in class folders"),
):
    DATASETS.declare(_name, f"{__name__}.datasets:{_function}", _line)
