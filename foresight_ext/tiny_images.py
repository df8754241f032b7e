"""Tiny crops of one channel of many training images, which show a network's linear regions."""

import torch
from torch import Tensor

from foresight_ext.batches import Batch

_PADDING = 4
_READ_AT_ONCE = 100  # whole images in memory


class TinyImages:
    """So many images of the split that a minibatch came from, or of the minibatch itself where there is none.

    Every image comes once before any comes twice. Crops, channels and images are drawn by the minibatch's
    seed. What is cropped beyond an image's border is black, or 0 without the split that says what black is.
    """

    def __init__(self, batch: Batch, count: int):
        self._batch = batch
        self._count = count
        self._cropped: dict[int, Tensor] = {}
        split, inputs = batch.images, batch.inputs
        self._different = len(inputs if split is None else split)
        self._black = torch.zeros(inputs.shape[1], device=inputs.device)
        if split is not None:
            mean, std = (torch.tensor(values, device=inputs.device) for values in (split.mean, split.std))
            self._black = -mean / std

    def black(self, size: int) -> Tensor:
        """One image (1 x C x size x size) without content."""
        return self._batch.inputs.new_zeros(1, len(self._black), size, size)

    def crops(self, size: int) -> Tensor:
        """The images (count x C x size x size): one channel of each, C times."""
        if size not in self._cropped:
            draw = torch.Generator("cpu").manual_seed(self._batch.seed)
            passes = [self._permutation(draw) for _ in range(-(-self._count // self._different))]
            parts = torch.cat(passes)[: self._count].split(_READ_AT_ONCE)
            self._cropped[size] = torch.cat([self._crop(self._read(part), size, draw) for part in parts])
        return self._cropped[size].expand(-1, len(self._black), -1, -1)

    def _permutation(self, draw: torch.Generator) -> Tensor:
        return torch.randperm(self._different, generator=draw, device="cpu")

    def _read(self, indices: Tensor) -> Tensor:
        inputs, split = self._batch.inputs, self._batch.images
        if split is None:
            return inputs[indices.to(inputs.device)]
        return split.plain(indices, inputs.device).inputs

    def _crop(self, images: Tensor, size: int, draw: torch.Generator) -> Tensor:
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
        return torch.where(inside, pixels, self._black[channel])[:, None]
