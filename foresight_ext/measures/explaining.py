"""Why a proxy has no score of an ordinary network, or a wrong one: as one line that names what was wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from foresight_ext.errors import UserError, reason
from foresight_ext.functional import LAYERS, hooks, logits, only_logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss
from foresight_ext.measures.proxy import Proxy, no_gradient, no_relu
from foresight_ext.supernets.relus import relus_seen

# proxies that feed images of a size of their own
_OTHER_SIZES = ("meco", "linear_regions")
# where PyTorch's quantised layers are defined: told by name, since importing them is slow
_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")


def check_given(network: nn.Module) -> None:
    """UserError unless it is a network that proxies can look into."""
    if not isinstance(network, nn.Module):
        raise UserError(f"net_orig: a {type(network).__name__} is given: it must be a torch.nn.Module")
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise UserError(
            "net_orig: what TorchScript has compiled hides its layers: give the network as it was before that"
        )
    for name, module in network.named_modules():
        if type(module).__module__.startswith(_QUANTISED):
            raise UserError(
                f"net_orig: '{name or type(module).__name__}' is quantised, so that it has neither weights "
                "nor gradients to look at: give the network as it was before that"
            )
    for name, value in chain(network.named_parameters(), network.named_buffers()):
        if is_lazy(value):
            raise UserError(
                f"net_orig: '{name}' of a lazy module is not there yet: run the network on a minibatch first"
            )


def weights_left_out(network: nn.Module) -> list[str]:
    """The names of weights that proxies of Conv2d and Linear layers do not look at, those of norms aside."""
    return [
        f"{name}.{part}" if name else part
        for name, module in network.named_modules()
        for part, weight in module.named_parameters(recurse=False)
        if "weight" in part and weight.dim() > 1 and not isinstance(module, (*LAYERS, nn.LayerNorm))
    ]


@contextmanager
def explained(proxy: Proxy, network: nn.Module, batch: Batch, loss: Loss) -> Iterator[None]:
    """While a proxy scores: UserError for all that is raised, and where the score would be wrong."""
    watch = _Watch(proxy, network, batch.targets, loss)
    try:
        with watch.hooked():
            yield
    except UserError:
        raise
    except Exception as error:  # what a network of the user's own and PyTorch raise is of any kind
        raise UserError(watch.wrong() or _found_out(proxy, network, batch, loss, error)) from error
    wrong = watch.wrong() or watch.unseen()
    if wrong:
        raise UserError(wrong)


class _Watch:
    """Looks on while a network runs: do gradients flow, do ReLUs run, are the labels possible ones?"""

    def __init__(self, proxy: Proxy, network: nn.Module, targets: Tensor, loss: Loss):
        self._proxy = proxy
        self._network = network
        self._targets = targets
        # zico's loss is always this one
        self._classifies = proxy.needs_labels and (
            not isinstance(proxy, LayerProxy)
            or loss is F.cross_entropy
            or isinstance(loss, nn.CrossEntropyLoss)
        )
        self._ignored = getattr(loss, "ignore_index", -100)
        self._running = self._ran = self._with_gradients = self._any_relu = self._detached = False
        self._cut: nn.Module | None = None  # a layer that ran without gradients

    @contextmanager
    def hooked(self) -> Iterator[None]:
        network = self._network
        handles = [network.register_forward_pre_hook(self._begin), network.register_forward_hook(self._end)]
        try:
            with hooks(network, LAYERS, self._layer, before=True), relus_seen(network, self._relu):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, module: nn.Module, inputs: object) -> None:
        self._running = self._ran = True
        self._with_gradients = self._proxy.needs_gradients and torch.is_grad_enabled()

    def _end(self, module: nn.Module, inputs: object, output: object) -> None:
        self._running = False
        parts = [part for part in tree_leaves(output) if isinstance(part, Tensor)]
        if self._with_gradients and parts and not any(part.requires_grad for part in parts):
            self._detached = True
        if self._classifies:
            self._check_labels(only_logits(self._network, output))

    def _layer(self, module: nn.Module, inputs: object) -> None:
        if not self._running:  # told before the statistics of a batch norm behind it change
            where = self._named(module)
            again = f"the layer {where} runs again in the backward pass (a checkpoint?): turn that off"
            raise UserError(f"{self._proxy.name}: {again}")
        if self._with_gradients and not torch.is_grad_enabled():
            self._cut = module

    def _relu(self, x: Tensor) -> None:
        self._any_relu = True

    def _check_labels(self, output: Tensor) -> None:
        if output.dim() == 1:
            raise UserError(
                "loss_fn: cross entropy needs a number for each class, and the network returned one for each "
                "image: give another loss, such as F.mse_loss"
            )
        if self._targets.is_floating_point() or output.dim() == 0:
            return
        labels = self._targets[self._targets != self._ignored]
        if labels.numel() == 0:
            raise UserError(f"dataloader: all labels are {self._ignored}, which the loss ignores")
        low, high, classes = int(labels.min()), int(labels.max()), output.shape[1]
        if low < 0 or high >= classes:
            raise UserError(
                f"dataloader: labels go from {low} to {high}, and the network's {classes} outputs are for 0 "
                f"to {classes - 1}"
            )

    def wrong(self) -> str | None:
        """What keeps gradients from being the network's, as a line."""
        name = self._proxy.name
        if self._cut is not None:
            where = self._named(self._cut)
            return f"{name}: a part of the network runs without gradients, the layer {where} (no_grad?)"
        if self._detached:
            return no_gradient(self._proxy)
        return None

    def unseen(self) -> str | None:
        """What the proxy looks at and has not seen, as a line (a KernelNetwork does not run)."""
        if self._proxy.needs_relus and self._ran and not self._any_relu:
            return no_relu(self._proxy)
        return None

    def _named(self, layer: nn.Module) -> str:
        names = {module: name for name, module in self._network.named_modules()}
        return repr(names.get(layer, type(layer).__name__))


def _found_out(proxy: Proxy, network: nn.Module, batch: Batch, loss: Loss, error: Exception) -> str:
    """What an error came from, found by taking the same steps without the proxy."""
    inputs, targets = batch.inputs, batch.targets
    given = f"{_shape(inputs)} ({inputs.dtype})"
    try:
        with torch.no_grad():
            outputs = logits(network, own_state(network), inputs)
    except UserError as told:
        return str(told)
    except Exception as own:
        weight = next((one for one in network.parameters() if one.is_floating_point()), inputs)
        if weight.dtype != inputs.dtype:
            kinds = f"the network's weights are {weight.dtype} and the images {inputs.dtype}"
            return f"dataloader: {kinds}: make them one, such as torch.float32"
        return f"dataloader: the network does not take a minibatch of {given}: {reason(own)}"
    if proxy.needs_labels:
        own_loss = loss if isinstance(proxy, LayerProxy) else F.cross_entropy
        try:
            own_loss(outputs, targets)
        except Exception as own:
            labels = f"labels of {_shape(targets)} ({targets.dtype})"
            return f"loss_fn: it does not take outputs of {_shape(outputs)} and {labels}: {reason(own)}"
    if not inputs.is_floating_point():
        return f"{proxy.name} needs images of real numbers, and the minibatch is {given}: {reason(error)}"
    if proxy.name in _OTHER_SIZES:
        if inputs.dim() != 4:
            return (
                f"{proxy.name} feeds images (n x C x H x W), and this network takes {given}: {reason(error)}"
            )
        return (
            f"{proxy.name} feeds images of another size than {_shape(inputs[0, 0])}, and this network takes "
            f"no other: pool to a fixed size before its linear layers ({reason(error)})"
        )
    return f"{proxy.name}: {reason(error)}"


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
