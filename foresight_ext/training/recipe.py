"""How a network is trained: the numbers of a recipe and the schedules they make."""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """SGD as the DARTS spaces are retrained (Liu et al. 2019), and with `nesterov` NAS-Bench-201's networks.

    `decay` multiplies the learning rate after every epoch; None lets it fall to 0 along a cosine.
    `grad_clip` is the norm that gradients are clipped to, 0 for none. `cutout_length` is the side of the
    square that is blanked in every training image, 0 for none.
    `label_smoothing` is for training only: evaluation takes the plain cross entropy.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    decay: float | None = None
    momentum: float = 0.9
    weight_decay: float = 3e-4
    grad_clip: float = 5.0
    auxiliary_weight: float = 0.4
    drop_path_prob: float = 0.0
    cutout_length: int = 0
    label_smoothing: float = 0.0
    nesterov: bool = False

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate in an epoch, counted from 0."""
        if self.decay is not None:
            return self.learning_rate * self.decay**epoch
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs))

    def drop_path_at(self, epoch: int) -> float:
        """The probability of dropping a path in an epoch, counted from 0."""
        return self.drop_path_prob * epoch / self.epochs

    def loss(self, logits: Tensor, auxiliary: Tensor | None, targets: Tensor) -> Tensor:
        """The training loss, a mean over the images; `auxiliary` are the auxiliary head's logits."""
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        if auxiliary is not None:
            smoothing = self.label_smoothing
            loss = loss + self.auxiliary_weight * F.cross_entropy(
                auxiliary, targets, label_smoothing=smoothing
            )
        return loss
