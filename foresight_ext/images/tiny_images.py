"""Tiny crops of one channel of many training images, which show a network's linear regions."""

import torch
from torch import Tensor

from foresight_ext.images.batches import Batch

_PADDING = 4
_READ_AT_ONCE = 100  # whole images in memory


def tiny_images(batch: Batch, count: int, size: int) -> Tensor:
    """Crops (count x C x size x size) of one channel, C times, of the split that a minibatch came from.

    Without a split the minibatch's own images serve. Every image comes once before any comes twice. Crops,
    channels and images are drawn by the minibatch's seed. What is cropped beyond an image's border is black,
    or 0 without the split that says what black is.
    """
    split, inputs = batch.images, batch.inputs
    draw = torch.Generator("cpu").manual_seed(batch.seed)
    black = torch.zeros(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    if split is not None:
        mean, std = (torch.tensor(values, device=inputs.device) for values in (split.mean, split.std))
        black = -mean / std
    different = len(inputs if split is None else split)
    passes = [torch.randperm(different, generator=draw, device="cpu") for _ in range(-(-count // different))]
    crops = []
    for indices in torch.cat(passes)[:count].split(_READ_AT_ONCE):
        if split is None:
            images = inputs[indices.to(inputs.device)]
        else:
            images = split.unaugmented(indices, inputs.device).inputs
        crops.append(_crop(images, size, black, draw))
    return torch.cat(crops).expand(-1, len(black), -1, -1)


def _crop(images: Tensor, size: int, black: Tensor, draw: torch.Generator) -> Tensor:
    """A random crop and channel (n x 1 x size x size) of each image (n x C x H x W)."""
    count, channels, height, width = images.shape

    def random(below: int) -> Tensor:
        return torch.randint(below, (count,), generator=draw, device="cpu").to(images.device)

    channel, image = random(channels), torch.arange(count, device=images.device)
    ahead = torch.arange(size, device=images.device) - _PADDING
    rows = random(height + 2 * _PADDING - size + 1)[:, None, None] + ahead[:, None]
    columns = random(width + 2 * _PADDING - size + 1)[:, None, None] + ahead
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    image, channel = image[:, None, None], channel[:, None, None]
    pixels = images[image, channel, rows.clamp(0, height - 1), columns.clamp(0, width - 1)]
    return torch.where(inside, pixels, black[channel])[:, None]
