"""Single images in training mode, where batch norms refuse one number a channel."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def refused(error: ValueError) -> bool:
    """Whether a batch norm has refused a single number a channel."""
    return "more than 1 value per channel" in str(error)


def run_alone(run: Callable[[Tensor], Result], image: Tensor) -> Result:
    """run(image) of one image (1 x C x H x W); where a batch norm refuses that, of the image twice.

    That changes no mean and no variance, over one number a channel too: both are what they were.
    """
    try:
        return run(image)
    except ValueError as error:
        if not refused(error):
            raise
        return run(torch.cat((image, image)))
