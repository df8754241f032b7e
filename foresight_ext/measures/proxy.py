"""What a zero-cost proxy is: a score of an untrained network on a minibatch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from foresight_ext.devices import exact_arithmetic
from foresight_ext.errors import UserError
from foresight_ext.functional import buffers_kept, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.pooling import pooling_channels_last
from foresight_ext.randomness import repeated
from foresight_ext.supernets.relus import has_relus
from foresight_ext.supernets.supernet import Masked, Mixing, Supernet

# scores of a network by some proxies, given by name, in one pass over it
Together = Callable[[Sequence[str], nn.Module, Batch], list[float]]
# whether a proxy that is made of others has it: where one of them does
_NEEDS = ("needs_labels", "needs_gradients", "needs_double", "needs_relus")


class Proxy(ABC):
    """Scores an untrained network on a minibatch. `source` names the paper it comes from.

    `name` is what `--metrics` knows it by. `needs_labels`, `needs_gradients` and `needs_double` say what it
    costs: the minibatch's targets, a backward pass, float64; `needs_relus` that it looks at what ReLUs read
    and nothing else; `least_images` how large a minibatch must be. Proxies that have the same `together` are
    scored by it, in one pass, where several of them are asked for.
    """

    name: str
    source: str
    higher_is_better: bool = True
    needs_labels: bool = False
    needs_gradients: bool = False
    needs_double: bool = False
    needs_relus: bool = False
    least_images: int = 1
    together: Together | None = None

    @abstractmethod
    def score(self, network: nn.Module, batch: Batch) -> float:
        """The proxy of a network, which comes back as it was."""

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        """The proxy of a supernet under each mixing. Proxies that can share work overrule this."""
        return [self.score(Masked(supernet, mixing), batch) for mixing in mixings]

    def look_at(self, places: Sequence[str], scores: Sequence[float]) -> None:  # noqa: B027 (most need not)
        """Be told of scores in a search, the higher the better, and of what each is the score."""

    @property
    def parts(self) -> tuple["Proxy", ...]:
        """The proxies that score networks; only a combination has others than itself."""
        return (self,)

    def combine(self, columns: Sequence[Sequence[float]]) -> list[float]:
        """The scores of some networks, given each part's (a column), the higher the better."""
        [column] = columns
        return list(column)

    def signed(self, score: float) -> float:
        """The score such that higher is better."""
        return score if self.higher_is_better else -score

    def needs_what(self, *others: "Proxy") -> None:
        """Need what any of some other proxies needs: for proxies that are made of others."""
        for need in _NEEDS:
            setattr(self, need, any(getattr(other, need) for other in others))
        self.least_images = max(other.least_images for other in others)


def check_network(proxy: Proxy, network: nn.Module, batch: Batch) -> None:
    """UserError if the proxy would see nothing of the network."""
    if proxy.needs_relus and not has_relus(network, batch.inputs[:2]):
        raise UserError(no_relu(proxy))


def no_relu(proxy: Proxy) -> str:
    """What is said of a proxy that has seen no ReLU."""
    return f"{proxy.name} looks at what ReLUs read (nn.ReLU, nn.ReLU6, F.relu): none of the network's has run"


@contextmanager
def scoring(network: nn.Module, batch: Batch) -> Iterator[None]:
    """Compute exactly; what the network draws while it runs is the minibatch's, and its buffers stay."""
    with exact_arithmetic(), repeated(batch.seed), buffers_kept(network), pooling_channels_last(network):
        yield


def check_labels(proxy: Proxy, batch: Batch) -> None:
    """UserError if the proxy looks at labels and these can't be classes; shares of classes may be."""
    labels = batch.targets
    if not proxy.needs_labels or (labels.is_floating_point() and labels.dim() > 1):
        return
    if labels.is_floating_point() or int(labels.min()) < 0:
        told = f"whole numbers from 0 on: the minibatch's are {labels.dtype}, from {labels.min().item()} on"
        raise UserError(f"{proxy.name} needs classes as labels, {told}")


def check_gradients(proxy: Proxy, network: nn.Module, batch: Batch) -> None:
    """UserError if the proxy needs gradients and the network's output has none."""
    if not proxy.needs_gradients:
        return
    state = own_state(network)
    for name, parameter in network.named_parameters():
        if parameter.is_floating_point():
            state[name].requires_grad_()
    with torch.enable_grad(), mode(network, False):
        if not logits(network, state, batch.inputs[:2]).requires_grad:
            raise UserError(no_gradient(proxy))


def no_gradient(proxy: Proxy) -> str:
    """What is said of a proxy whose network stops all gradients."""
    return f"{proxy.name}: the network's output has no gradient (no_grad, detach, whole numbers?)"


def network_score(proxy: Proxy, network: nn.Module, batch: Batch) -> float:
    """The proxy of one network as it is, computed exactly on every device."""
    [score] = network_scores([proxy], network, batch)
    return score


def network_scores(proxies: Sequence[Proxy], network: nn.Module, batch: Batch) -> list[float]:
    """Some proxies of one network, in as few passes as they can share."""
    found = [math.nan] * len(proxies)
    for numbers in in_passes(proxies):
        several = [proxies[number] for number in numbers]
        for proxy in several:
            check_network(proxy, network, batch)
        with scoring(network, batch):
            for number, score in zip(numbers, scores_of(several, network, batch)):
                found[number] = score
    return found


def in_passes(proxies: Sequence[Proxy]) -> list[list[int]]:
    """The numbers of the proxies, those that share a pass as one."""
    found: dict[object, list[int]] = {}
    for number, proxy in enumerate(proxies):
        found.setdefault(proxy.together or number, []).append(number)
    return list(found.values())


def scores_of(several: Sequence[Proxy], network: nn.Module, batch: Batch) -> list[float]:
    """The scores of a network by proxies that share a pass, or by one."""
    together = several[0].together
    if together is None or len(several) == 1:
        return [proxy.score(network, batch) for proxy in several]
    return together([proxy.name for proxy in several], network, batch)


def mixings_scores(
    several: Sequence[Proxy], supernet: Supernet, mixings: Sequence[Mixing], batch: Batch
) -> list[list[float]]:
    """The scores of a supernet under each mixing, a column for each of some proxies that share a pass."""
    if len(several) == 1:
        return [several[0].score_mixings(supernet, mixings, batch)]
    rows = [scores_of(several, Masked(supernet, mixing), batch) for mixing in mixings]
    return [[row[number] for row in rows] for number in range(len(several))]
