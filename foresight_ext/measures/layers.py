"""What proxies that sum over layers share: an array a layer, and the gradients of the loss."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import gradients, layer_weights, logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy

Loss = Callable[[Tensor, Tensor], Tensor]


class Piece(NamedTuple):
    """Some images of a minibatch, their targets, and their share of it."""

    inputs: Tensor
    targets: Tensor
    share: float


def in_pieces(batch: Batch, pieces: int) -> Iterator[Piece]:
    """The minibatch in that many pieces of one size; the last is smaller where it has to be."""
    size = -(-len(batch.inputs) // pieces)
    for inputs, targets in zip(batch.inputs.split(size), batch.targets.split(size)):
        yield Piece(inputs, targets, len(inputs) / len(batch.inputs))


def piece_loss(loss: Loss, outputs: Tensor, piece: Piece) -> Tensor:
    """What a piece adds to the minibatch's loss: its share of a mean, all of a sum.

    UserError if the loss is neither, since then the result would depend on the number of pieces.
    """
    value = loss(outputs, piece.targets)
    if piece.share == 1:
        return value
    with torch.no_grad():
        twice = loss(torch.cat((outputs, outputs)), torch.cat((piece.targets, piece.targets)))
    if torch.allclose(twice, value, rtol=1e-3, equal_nan=True):
        return piece.share * value
    if torch.allclose(twice, 2 * value, rtol=1e-3):
        return value
    raise UserError("loss_fn must be a mean or a sum over the images where these are taken in pieces")


class LayerProxy(Proxy):
    """A sum over the Conv2d and Linear layers, each of which has an array of values."""

    @abstractmethod
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        """One for each Conv2d and Linear layer, in module order; zeros where the layer takes no part.

        The minibatch goes through the network in so many pieces, which saves memory; the loss of each weighs
        its share, so that the result is the whole minibatch's where images don't meet in batch norms.
        """

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(total(self.arrays(network, batch)))


def total(arrays: list[Tensor]) -> Tensor:
    """The sum (0-dimensional) of all values of all layers; UserError if there are none."""
    if not arrays:
        raise UserError("the network has neither a Conv2d nor a Linear layer, whose weights are looked at")
    return torch.stack([array.sum() for array in arrays]).sum()


@torch.enable_grad()
def loss_gradients(
    network: nn.Module, batch: Batch, loss: Loss, pieces: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The layers' weights and the gradients of the minibatch's loss with respect to them."""
    state = own_state(network)
    weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
    sums = [torch.zeros_like(weight) for weight in weights]
    for piece in in_pieces(batch, pieces):
        value = piece_loss(loss, logits(network, state, piece.inputs), piece)
        for gradient_sum, gradient in zip(sums, gradients(value, weights)):
            gradient_sum.add_(gradient)
    return [weight.detach() for weight in weights], sums


class GradientProxy(LayerProxy):
    """A layer proxy of weights w and gradients g = dL/dw: one forward and one backward pass.

    Labels; in the mode the network is in; memory for one gradient of every layer's weight.
    """

    needs_labels = True
    needs_gradients = True

    @abstractmethod
    def value(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """One layer's array."""

    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        return [self.value(*pair) for pair in zip(*loss_gradients(network, batch, loss, pieces))]
