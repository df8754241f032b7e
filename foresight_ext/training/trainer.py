"""Trains a network for an epoch, and evaluates networks: the arithmetic, apart from files and reports."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.images.batches import Batch, Images
from foresight_ext.training.data import TrainingDraws, cut_out, read_ahead
from foresight_ext.training.distributed import Processes
from foresight_ext.training.recipe import Recipe
from foresight_ext.training.spec import TrainedNetwork

_CHECK_EVERY = 50  # minibatches between two looks at the loss: each makes the CPU wait for the GPU


class Evaluation(NamedTuple):
    """Mean loss, and the share of images (percent) whose class came first or among the first five."""

    loss: float
    accuracy: float
    top5: float


class NotFinite(Exception):
    """The loss became NaN or infinite."""


def outputs(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits and the auxiliary head's (None without one) of a network in training mode."""
    result = network(inputs)
    return result if isinstance(result, tuple) else (result, None)


def all_parameters_used(network: nn.Module, image: Sequence[int]) -> bool:
    """Whether the outputs for images of that shape depend on every parameter. Computes and draws nothing."""
    shadow = copy.deepcopy(network).to("meta").train()
    logits, auxiliary = outputs(shadow, torch.zeros(2, *image, device="meta"))
    (logits.sum() + (0 if auxiliary is None else auxiliary.sum())).backward()
    return all(parameter.grad is not None for parameter in shadow.parameters())


class Trainer:
    """A network with its optimiser, on the device of `processes`, which share every minibatch.

    `ahead`: read minibatches in a thread beside the computation. `amp` and `compiled` are for GPUs.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        processes: Processes,
        image: Sequence[int],
        ahead: bool,
        amp: bool = False,
        compiled: bool = False,
    ):
        self.recipe = recipe
        self.processes = processes
        self.device = processes.device
        self.ahead = ahead
        self.amp = amp
        on_gpu = self.device.type == "cuda"
        self.memory_format = torch.channels_last if on_gpu else torch.contiguous_format
        all_used = processes.count == 1 or all_parameters_used(network, image)
        # torch's annotations have no module.to of both
        self.network: nn.Module = network.to(  # type: ignore[call-overload]
            self.device, memory_format=self.memory_format
        )
        model = processes.wrap(self.network, all_used)
        # torch's annotations know of no more than a function, but it stays a module
        self.model: nn.Module = torch.compile(model) if compiled else model  # type: ignore[assignment]
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            recipe.learning_rate,
            recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of this."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take a checkpoint's state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def release(self) -> None:
        """Let go of what wraps the network. To be called before the processes part.

        A wrapper that outlives the process group may hold threads of it that abort a process at its end.
        """
        self.model = self.network

    def train_epoch(
        self, data: Images, draws: Iterable[TrainingDraws], epoch: int, report: Callable[[int], None]
    ) -> Evaluation:
        """Train on an epoch's minibatches and score them as they go by; `report` is told their images.

        `epoch` is counted from 0. NotFinite if the loss becomes NaN or infinite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate_at(epoch)
        if isinstance(self.network, TrainedNetwork):
            self.network.drop_path = self.recipe.drop_path_at(epoch)
        self.model.train()
        totals = torch.zeros(4, dtype=torch.float64, device=self.device)
        shares = ((len(one.batch.indices), self._share(one)) for one in draws)
        for number, (images, batch) in enumerate(
            read_ahead(shares, lambda pair: (pair[0], self._render(data, pair[1])), self.ahead)
        ):
            totals += self._step(batch, images)
            if number % _CHECK_EVERY == 0:
                self._check(totals)
            report(images)
        return self._check(totals)

    def _share(self, draws: TrainingDraws) -> TrainingDraws:
        return draws.share(self.processes.rank, self.processes.count)

    def _render(self, data: Images, draws: TrainingDraws) -> Batch:
        batch = data.render(draws.batch, self.device)
        if draws.cutout is None:
            return batch
        return batch._replace(inputs=cut_out(batch.inputs, draws.cutout, self.recipe.cutout_length))

    def _step(self, batch: Batch, images: int) -> Tensor:
        """One step of SGD on this process's share of a minibatch of `images`; the share's sums."""
        inputs = batch.inputs.contiguous(memory_format=self.memory_format)
        with torch.autocast(self.device.type, enabled=self.amp):
            logits, auxiliary = outputs(self.model, inputs)
            loss = self.recipe.loss(logits, auxiliary, batch.targets)
        # gradients are averaged over the processes: weigh a share by its images, so that the sum over all
        # images of the minibatch comes out, as in one process
        weight = len(batch.targets) * self.processes.count / images
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss if weight == 1 else loss * weight).backward()
        self.scaler.unscale_(self.optimizer)
        if self.recipe.grad_clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return _sums(loss.detach(), logits.detach(), batch.targets)

    def _check(self, totals: Tensor) -> Evaluation:
        score = _score(self.processes.sum(totals))
        if not math.isfinite(score.loss):
            raise NotFinite
        return score

    @torch.no_grad()
    def evaluate(
        self, networks: Sequence[nn.Module], data: Images, indices: Tensor, batch_size: int
    ) -> list[Evaluation]:
        """The scores of networks in evaluation mode; the images are read once for all of them."""
        for network in networks:
            network.eval()
            self.processes.share_buffers(network)
        totals = torch.zeros(len(networks), 4, dtype=torch.float64, device=self.device)
        mine = indices[self.processes.rank :: self.processes.count]
        shares = mine.split(batch_size) if len(mine) else ()  # fewer images than processes
        for batch in read_ahead(shares, lambda share: data.unaugmented(share, self.device), self.ahead):
            inputs = batch.inputs.contiguous(memory_format=self.memory_format)
            for network, sums in zip(networks, totals):
                with torch.autocast(self.device.type, enabled=self.amp):
                    logits = network(inputs)
                sums += _sums(F.cross_entropy(logits.float(), batch.targets), logits, batch.targets)
        return [_score(sums) for sums in self.processes.sum(totals)]


def _sums(loss: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """(4): the sum of the losses, images whose class came first, among the first five, all images."""
    first = logits.topk(min(5, logits.shape[1])).indices == targets[:, None]
    images = loss.new_full((), len(targets), dtype=torch.float64)
    return torch.stack([loss.double() * images, first[:, 0].sum().double(), first.sum().double(), images])


def _score(sums: Tensor) -> Evaluation:
    loss, first, five, images = sums.tolist()
    return Evaluation(loss / images, 100 * first / images, 100 * five / images)
