"""Zero-Cost-NAS's interface (Abdelfattah et al. 2021): `find_measures` on a network and a data loader."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.errors import UserError, reason
from foresight_ext.functional import Chosen, attention_in_parts
from foresight_ext.images.batches import Batch, checked_pair, recycled
from foresight_ext.measures import PROXIES
from foresight_ext.measures.explaining import check_given, explained, weights_left_out
from foresight_ext.measures.layers import LayerProxy, Loss, total
from foresight_ext.measures.proxy import Proxy, network_score, scoring
from foresight_ext.measures.zico import ZiCo

_log = logging.getLogger(__name__)

# Zero-Cost-NAS's own, in its order
DEFAULT_MEASURES = (
    "grad_norm",
    "snip",
    "grasp",
    "fisher",
    "jacob_cov",
    "plain",
    "synflow_bn",
    "synflow",
    "l2_norm",
)

# pairs of images (n x C x H x W) and targets (n)
Loader = Iterable[tuple[Tensor, Tensor]]
# which of the things that a network returns are its logits
Output = int | str | Callable[[Any], Tensor] | None
# a value for each layer, or one for the network
Value = list[Tensor] | float


def find_measures(
    net_orig: nn.Module,
    dataloader: Loader,
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    loss_fn: Loss = F.cross_entropy,
    measure_names: Sequence[str] | None = None,
    measures_arr: Mapping[str, Value] | None = None,
    output: Output = None,
) -> dict[str, float]:
    """Proxies by name, sums over layers as one number: those of `measures_arr`, or of find_measures_arrays.

    synflow and synflow_bn are the sums themselves here, not their logarithms.
    """
    if measures_arr is None:
        measures_arr = find_measures_arrays(
            net_orig, dataloader, dataload_info, device, measure_names, loss_fn, output
        )
    return {
        name: float(total(value)) if isinstance(value, list) else float(value)
        for name, value in measures_arr.items()
    }


@torch.inference_mode(False)
def find_measures_arrays(
    net_orig: nn.Module,
    trainloader: Loader,
    dataload_info: tuple[str, int, int],
    device: torch.device | str,
    measure_names: Sequence[str] | None = None,
    loss_fn: Loss = F.cross_entropy,
    output: Output = None,
) -> dict[str, Value]:
    """Proxies by name: an array for each Conv2d and Linear layer where it is a sum over layers, or a number.

    dataload_info is ("random", n, classes), the loader's first n minibatches as one, or ("grasp", n,
    classes), n images of each class. `measure_names` are any of measures.PROXIES; None means Zero-Cost-NAS's
    nine. loss_fn (outputs, targets) is that of proxies that sum over layers. Where memory runs out these take
    the images in pieces. The network runs on `device`, and comes back as it was. Where it returns several
    things `output` says which are its logits: an index, a key (or an attribute's name), a function.

    UserError: unknown kind or name, a class that the loader lacks, a proxy that compares networks, too little
    memory, or what keeps a proxy from a score: a network, minibatch, label or loss of the wrong kind.
    """
    names = DEFAULT_MEASURES if measure_names is None else measure_names
    if isinstance(names, str):
        raise UserError(f"measure_names: '{names}' is given: it must be a list of names")
    proxies = {name: PROXIES.get(name) for name in names}
    for name, proxy in proxies.items():
        if len(proxy.parts) > 1:
            raise UserError(f"measure_names: '{name}' compares networks: one network alone has no value")
    check_given(net_orig)
    net_orig = _unwrapped(net_orig)
    _check_info(dataload_info)
    inputs, targets = _load(trainloader, *dataload_info)
    first = next(net_orig.parameters(), None)
    home = inputs.device if first is None else first.device
    try:
        batch = Batch(inputs.to(device), targets.to(device))
        net_orig.to(device)
    except (AssertionError, RuntimeError) as error:  # the former where PyTorch was built without such devices
        raise UserError(
            f"device: the network or the images can't be put on {device}: {reason(error)}"
        ) from error
    try:
        network = net_orig if output is None else Chosen(net_orig, output)
        _say_what_is_left_out(proxies, network)
        return {name: _value(name, proxy, network, batch, loss_fn) for name, proxy in proxies.items()}
    finally:
        net_orig.to(home)


def _say_what_is_left_out(proxies: Mapping[str, Proxy], network: nn.Module) -> None:
    names = [name for name, proxy in proxies.items() if isinstance(proxy, LayerProxy | ZiCo)]
    left_out = weights_left_out(network)
    if names and left_out:
        others = f" and {len(left_out) - 1} others" if len(left_out) > 1 else ""
        message = "%s: only Conv2d and Linear layers are looked at, not '%s'%s"
        _log.warning(message, ", ".join(names), left_out[0], others)


def _value(name: str, proxy: Proxy, network: nn.Module, batch: Batch, loss: Loss) -> Value:
    # modules that attention's fast form or compiled code would pass by are to be seen
    with explained(proxy, network, batch, loss), attention_in_parts(), _uncompiled(network):
        return _in_memory(name, proxy, network, batch, loss)


def _uncompiled(network: nn.Module) -> AbstractContextManager[Any]:
    """Let parts that torch.compile has wrapped run as they are."""
    compiled = any(
        module._compiled_call_impl is not None or "_orig_mod" in module._modules
        for module in network.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def _in_memory(name: str, proxy: Proxy, network: nn.Module, batch: Batch, loss: Loss) -> Value:
    """The value, with the images in pieces where memory is short."""
    count = len(batch.inputs)
    if isinstance(proxy, LayerProxy):
        for pieces in (1, *(n for n in range(2, count // 2 + 1) if count % n == 0)):
            try:
                with scoring(network, batch):
                    return proxy.arrays(network, batch, _checked(loss), pieces)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
        raise UserError(f"{name}: out of memory with {count} images, even in pieces: give it fewer images")
    try:
        return network_score(proxy, network, batch)
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        raise UserError(f"{name}: out of memory with {count} images: give it fewer images") from error


def _checked(loss: Loss) -> Loss:
    """The same loss; UserError for what it returns that has no gradient to go back by."""

    def checked(outputs: Tensor, targets: Tensor) -> Tensor:
        value: Any = loss(outputs, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            kind = type(value).__name__
            told = f"tensor of {' x '.join(map(str, value.shape))}" if isinstance(value, Tensor) else kind
            raise UserError(f"loss_fn: it returned a {told}: it must return a tensor of one number")
        if outputs.requires_grad and not value.requires_grad:
            raise UserError("loss_fn: what it returned has no gradient (no_grad, detach, whole numbers?)")
        return value

    return checked


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    # the CPU's allocator says the latter
    return "out of memory" in text or "not enough memory" in text


def _unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, without what runs it on several GPUs or has compiled it."""
    while True:
        compiled = network._modules.get("_orig_mod")  # torch.compile's wrapper, slow to import
        if compiled is not None:
            network = compiled
        elif isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        else:
            return network


def _load(loader: Loader, kind: str, number: int, classes: int) -> tuple[Tensor, Tensor]:
    if number < 1:
        raise UserError(f"dataload_info: {number} is no number of minibatches or images: 1 or more")
    if kind == "grasp" and classes < 1:
        raise UserError(f"dataload_info: {classes} is no number of classes: 1 or more")
    if not (isinstance(loader, Iterable) or hasattr(loader, "__getitem__")):
        raise UserError(f"dataloader: {type(loader).__name__} is given, which holds no minibatches")
    if kind == "random":
        images, targets = zip(*map(_pair, islice(recycled(loader, "dataloader"), number)))
        return _joined(torch.cat, images), torch.cat(targets)
    if kind == "grasp":
        return _some_of_each_class(loader, number, classes)
    raise UserError(f"dataload_info: unknown kind '{kind}': choose from random, grasp")


def _check_info(info: Any) -> None:
    """UserError unless it is what dataload_info must be."""
    kinds = (str, Integral, Integral)
    if not (isinstance(info, Sequence) and len(info) == 3 and all(map(isinstance, info, kinds))):
        told = 'it must be a kind, "random" or "grasp", and two whole numbers: how many, and classes'
        raise UserError(f"dataload_info: {info!r} is given: {told}")


def _pair(minibatch: Any) -> tuple[Tensor, Tensor]:
    """A minibatch's images and labels; UserError if it is something else."""
    if not (isinstance(minibatch, Sequence) and len(minibatch) == 2):
        many = f" of {len(minibatch)}" if isinstance(minibatch, Sized) else ""
        kind = type(minibatch).__name__
        raise UserError(f"dataloader: a minibatch is a {kind}{many}: it must be a pair of images and labels")
    labels = minibatch[1]
    if isinstance(labels, int) or (isinstance(labels, Tensor) and labels.dim() == 0):
        raise UserError(
            "dataloader: it gives single images, each with its label, and no minibatches: a DataLoader makes "
            "them"
        )
    return checked_pair(minibatch[0], minibatch[1], "dataloader")


def _joined(join: Callable[[list[Tensor]], Tensor], images: Iterable[Tensor]) -> Tensor:
    try:
        return join([one.detach() for one in images])
    except RuntimeError as error:
        raise UserError(f"dataloader: images differ in size: {reason(error)}") from error


def _some_of_each_class(loader: Loader, number: int, classes: int) -> tuple[Tensor, Tensor]:
    """So many images of each class, class by class, those that the loader gives first."""
    found: list[list[Tensor]] = [[] for _ in range(classes)]
    while any(len(images) < number for images in found):
        before = [len(images) for images in found]
        for images, targets in map(_pair, loader):
            if targets.dim() != 1:
                raise UserError(
                    "dataload_info: 'grasp' takes images by class: an image's label must be one number"
                )
            for image, label in zip(images, targets.tolist()):
                if 0 <= label < classes and len(found[label]) < number:
                    found[label].append(image)
            if all(len(images) == number for images in found):
                break
        for label, count in enumerate(before):
            if len(found[label]) == count < number:
                raise UserError(f"dataloader: a pass over it gave no image of class {label}, of {classes}")
    images = _joined(torch.stack, (image for group in found for image in group))
    return images, torch.arange(classes).repeat_interleave(number)
