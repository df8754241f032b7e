"""Training in several processes, started by torchrun or --nproc_per_node; one is the usual case."""

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from foresight_ext.devices import choose_device
from foresight_ext.errors import UserError
from foresight_ext.launched import is_launched


def launch(module: str, arguments: Sequence[str], processes: int) -> int:
    """Run `python -m module arguments` in several processes here; returns the first failure's exit code."""
    # imported here: they are slow, and needed here only
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    # what failed has told why; torchrun would add a page to it
    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    try:
        run(parse_args(["--standalone", f"--nproc_per_node={processes}", "-m", module, *arguments]))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException:
        return 130
    return 0


@dataclass(frozen=True)
class Processes:
    """The processes that train together: this one's number (rank), how many there are, and its device."""

    rank: int
    count: int
    device: torch.device
    why: str  # the device in words

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def share(self, content: Any) -> Any:
        """The first process's object (tensors on the CPU), in all of them."""
        if self.count == 1:
            return content
        box = [content]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def share_buffers(self, network: nn.Module) -> None:
        """Let every process have the first one's buffers, such as the batch norms' statistics."""
        if self.count > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def wrap(self, network: nn.Module, all_used: bool) -> nn.Module:
        """The network whose gradients are the mean over the processes.

        `all_used`: whether the loss depends on every parameter; if not, each step has to look which.
        """
        if self.count == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            network, device_ids=devices, find_unused_parameters=not all_used
        )


@contextmanager
def joined(device: str, gpu: str) -> Iterator[Processes]:
    """Join the other processes, if torchrun started this one, with a device of its own.

    `device` and `gpu` are the options; UserError if they can't be had.
    """
    if not is_launched():
        yield Processes(0, 1, *choose_device(device, gpu))
        return
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", count))
    chosen, why = device_of(local, here, device, gpu)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, chosen, f"{count} processes, {why}" if count > 1 else why)
        dist.barrier()  # a process that leaves early closes connections that another still reads
    finally:
        gc.collect()  # released wrappers, and with them the group's threads, are gone before the group is
        dist.destroy_process_group()


def device_of(local: int, here: int, device: str, gpu: str) -> tuple[torch.device, str]:
    """The device of process number `local` out of the `here` on this machine, and all theirs in words."""
    if here == 1 or device == "cpu" or not torch.cuda.is_available():
        return choose_device(device, gpu)
    if gpu != "auto":
        raise UserError(f"--gpu {gpu} names one GPU for {here} processes: leave it out")
    if here > torch.cuda.device_count():
        raise UserError(
            f"--nproc_per_node {here}: PyTorch sees {torch.cuda.device_count()} GPUs here: use as many "
            "processes at most, or --device cpu"
        )
    return torch.device("cuda", local), f"GPUs 0 to {here - 1}"
