"""Derivatives of each image's logits by single entries of parameters, several images in one pass."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.overrides import TorchFunctionMode

from foresight_ext.functional import Weights, gradients, logits

# images of one pass, whose activations are kept
_TOGETHER = 16

Entries = dict[str, list[int]]


class _Term(NamedTuple):
    """The derivative by an entry is that by one channel of an operation's output times what the entry met."""

    column: int
    channel: int
    met: Tensor | None  # (B x positions); None: ones, as a bias


class _Use(NamedTuple):
    """An operation that has read parameters: its output's place in the graph, and what it says of entries."""

    output: GradientEdge
    dim: int  # of the output's channels
    terms: list[_Term]


class _NoTermsError(Exception):
    """An operation's derivatives by its weights are not known here."""


@torch.enable_grad()
def jacobians(
    network: nn.Module, state: Weights, images: Tensor, entries: Entries
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each of the images (B x C x H x W) its logits (K) and their derivatives by the entries (K x P).

    Entries are positions in flattened parameters, by name; the columns are in their order. The state, by
    whose tensors is differentiated, is the caller's own; the network is in evaluation mode.

    PyTorch has gradients of whole weights, summed over images, so that it takes a backward pass for each
    logit of each image. That by one entry is a channel of the gradient of an operation's output times what
    the entry has met in the input: images go together, and no weight's gradient is taken. Where an operation
    other than convolution, linear layer and batch norm reads a parameter of the entries, or rows are not
    images (by where the first image's gradients are), they go one by one through PyTorch's own: the same up
    to rounding.
    """
    together = first = True
    for piece in images.split(_TOGETHER):
        found = _together(network, state, piece, entries, first) if together else None
        together, first = found is not None, False
        yield from _alone(network, state, piece, entries) if found is None else zip(*found)


def _alone(
    network: nn.Module, state: Weights, images: Tensor, entries: Entries
) -> Iterator[tuple[Tensor, Tensor]]:
    weights = [state[name].requires_grad_() for name in entries]
    for image in images.split(1):
        [outputs] = logits(network, state, image).flatten(1)
        rows = []
        for output in outputs:
            found = gradients(output, weights, again=True)
            rows.append(torch.cat([one.flatten()[places] for one, places in zip(found, entries.values())]))
        yield outputs.detach(), torch.stack(rows)


def _together(
    network: nn.Module, state: Weights, images: Tensor, entries: Entries, first: bool
) -> tuple[Tensor, Tensor] | None:
    """Logits (B x K) and derivatives (B x K x P); None where they can not be had together.

    `first`: it has to be seen that rows are images.
    """
    recording = _Recording(state, entries, len(images))
    x = images.detach().requires_grad_()  # so that what depends on images has gradients
    with recording:
        outputs = logits(network, state, x.clone()).flatten(1)  # a network may write into what it is given
    if recording.unknown or not outputs.requires_grad:
        return None
    edges = [torch.autograd.graph.get_gradient_edge(x), *(use.output for use in recording.uses)]
    if first and not _apart(torch.autograd.grad(outputs[0, 0], edges, retain_graph=True, allow_unused=True)):
        return None
    found = outputs.new_zeros(*outputs.shape, sum(map(len, entries.values())))
    for k, column in enumerate(outputs.unbind(1)):
        by_outputs = torch.autograd.grad(column.sum(), edges[1:], retain_graph=True, allow_unused=True)
        for use, gradient in zip(recording.uses, by_outputs):
            for term in use.terms if gradient is not None else ():
                part = gradient.select(use.dim, term.channel)
                part = part if term.met is None else part * term.met
                found[:, k, term.column] += part.reshape(len(images), -1).sum(1)
    return outputs.detach(), found


def _apart(found: tuple[Tensor | None, ...]) -> bool:
    """Whether the first image's gradients are nowhere but in the first row, so that rows are images."""
    return all(not one[1:].count_nonzero() for one in found if one is not None)


class _Recording(TorchFunctionMode):
    """Notes which operations read the parameters of the entries.

    `unknown`: some parameter was read by an operation that says nothing of its entries, or by none.
    """

    def __init__(self, state: Weights, entries: Entries, images: int):
        super().__init__()
        self.images = images
        self.uses: list[_Use] = []
        self._other = False
        self._columns: dict[int, list[tuple[int, int]]] = {}  # by the weight's identity
        column = 0
        for name, places in entries.items():
            self._columns[id(state[name])] = [*enumerate(places, column)]
            column += len(places)
        self._unread = set(self._columns)

    @property
    def unknown(self) -> bool:
        return self._other or bool(self._unread)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        read = {id(one) for one in _tensors(*args, *kwargs.values())} & self._columns.keys()
        if read and _tensors(output):  # or it was asked for its sizes, say
            self._unread -= read
            try:
                self.uses.append(self._use(function, args, kwargs, output))
            except _NoTermsError:
                self._other = True
        return output

    @torch.no_grad()
    def _use(self, function: Any, args: Any, kwargs: Any, output: Any) -> _Use:
        if function not in _TERMS or not output.requires_grad or len(output) != self.images:
            raise _NoTermsError
        if id(args[0] if args else kwargs["input"]) in self._columns:  # a parameter in place of images
            raise _NoTermsError
        dim, terms = _TERMS[function]
        found = terms(self._entries, output, *args, **kwargs)
        return _Use(torch.autograd.graph.get_gradient_edge(output), dim, found)

    def _entries(self, weight: Tensor | None) -> list[tuple[int, int]]:
        """Pairs of a column and a position in the flattened weight."""
        return self._columns.get(id(weight), [])


def _tensors(*several: Any) -> list[Tensor]:
    """The tensors among things, and in those that are lists."""
    inside = [one if isinstance(one, (list, tuple)) else (one,) for one in several]
    return [one for each in inside for one in each if isinstance(one, Tensor)]


Find = Callable[[Tensor | None], list[tuple[int, int]]]


def _convolution(
    find: Find,
    output: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> list[_Term]:
    if isinstance(padding, str) or input.dim() != weight.dim():
        raise _NoTermsError
    axes = weight.dim() - 2
    strides, pads, dilations = (
        tuple(one) * (axes // len(one)) if isinstance(one, (list, tuple)) else (one,) * axes
        for one in (stride, padding, dilation)
    )
    around = [one for pad in reversed(pads) for one in (pad, pad)]
    terms = []
    for column, place in find(weight):
        channel, within, *taps = map(int, np.unravel_index(place, weight.shape))
        group = channel // (weight.shape[0] // groups)
        starts = [tap * dilation for tap, dilation in zip(taps, dilations)]
        where = [slice(None)]  # all images
        for start, length, step in zip(starts, output.shape[2:], strides):
            where.append(slice(start, start + (length - 1) * step + 1, step))
        padded = F.pad(input[:, group * weight.shape[1] + within], around)
        terms.append(_Term(column, channel, padded[tuple(where)]))
    return terms + [_Term(*one, None) for one in find(bias)]


def _linear(
    find: Find, output: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> list[_Term]:
    terms = []
    for column, place in find(weight):
        channel, within = divmod(place, weight.shape[1])
        terms.append(_Term(column, channel, input[..., within].clone()))
    return terms + [_Term(*one, None) for one in find(bias)]


def _batch_norm(
    find: Find,
    output: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> list[_Term]:
    if training or running_mean is None or running_var is None:
        raise _NoTermsError
    terms = []
    for column, channel in find(weight):
        scale = (running_var[channel] + eps).rsqrt()
        terms.append(_Term(column, channel, (input[:, channel] - running_mean[channel]) * scale))
    return terms + [_Term(*one, None) for one in find(bias)]


# function -> the dimension of its output's channels, and what it says of entries
_TERMS: dict[Any, tuple[int, Callable[..., list[_Term]]]] = {
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), (1, _convolution)),
    F.linear: (-1, _linear),
    F.batch_norm: (1, _batch_norm),
}
