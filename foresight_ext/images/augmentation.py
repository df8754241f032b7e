"""Random crops and flips of small images, drawn first and applied after."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """A random crop of the image's own size after zero padding, and a horizontal flip half of the time.

    `draw` takes from torch's global generator exactly what torchvision's RandomCrop and
    RandomHorizontalFlip take, image by image; `apply` is a pure function of the draws.
    """

    size: int
    padding: int = 4
    flip: bool = True
    flip_first: bool = False

    def draw(self, count: int) -> Tensor:
        """(count x 3, int64): top and left of the crop in the padded image, and whether to flip."""
        places = 2 * self.padding + 1  # where a crop may start in a padded image, either way
        rows = []
        for _ in range(count):
            flip = self.flip and self.flip_first and torch.rand(1).item() < 0.5
            # without padding RandomCrop has nothing to choose, and takes nothing
            top, left = (torch.randint(places, (1,)).item() if self.padding else 0 for _ in range(2))
            if self.flip and not self.flip_first:
                flip = torch.rand(1).item() < 0.5
            rows.append((top, left, int(flip)))
        return torch.tensor(rows, dtype=torch.int64).view(count, 3)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """The images (n x 3 x size x size, uint8) under their draws (n x 3)."""
        top, left, flip = draws.unbind(1)
        ahead = torch.arange(self.size)
        rows = top[:, None] + ahead
        if self.flip_first:
            mirrored = self.size + 2 * self.padding - 1 - left[:, None] - ahead
        else:
            mirrored = left[:, None] + self.size - 1 - ahead
        columns = torch.where(flip[:, None] > 0, mirrored, left[:, None] + ahead)
        padded = F.pad(images, [self.padding] * 4)
        image = torch.arange(len(images))[:, None, None]
        return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
