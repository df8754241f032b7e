"""Which device to compute on, and exact arithmetic there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from foresight_ext.errors import UserError


@dataclass(frozen=True)
class Compute:
    """Where to compute, which changes no result beyond rounding.

    `device` is auto, cpu or cuda; `gpu` is auto (the one with the lowest share of used memory) or an index.
    `threads` are those of the CPU; None leaves their number to PyTorch.
    """

    device: str = "auto"
    gpu: str = "auto"
    threads: int | None = None

    @classmethod
    def of(cls, device: torch.device) -> "Compute":
        """What chooses a device that was chosen before."""
        return cls(device.type, "auto" if device.index is None else str(device.index))

    def choose(self) -> tuple[torch.device, str]:
        """The device, and why, in words; UserError if it can't be had."""
        return choose_device(self.device, self.gpu)


def choose_device(device: str, gpu: str) -> tuple[torch.device, str]:
    """The device that --device (auto, cpu, cuda) and --gpu (auto or an index) mean, and why, in words.

    UserError if they contradict each other or the GPU is not there.
    """
    available = torch.cuda.is_available()
    if device == "cpu" and gpu != "auto":
        raise UserError(f"--gpu {gpu} contradicts --device cpu: leave one of them out")
    if (device == "cuda" or gpu != "auto") and not available:
        option = "--device cuda" if device == "cuda" else f"--gpu {gpu}"
        raise UserError(f"{option}: PyTorch sees no GPU here: use --device cpu or --device auto")
    if device == "cpu" or not available:
        return torch.device("cpu"), "the CPU" if device == "cpu" else "the CPU (PyTorch sees no GPU)"
    count = torch.cuda.device_count()
    if gpu == "auto":
        shares = _memory_shares(count)
        index = min(range(count), key=lambda i: shares[i] or 0)
        used = "how much of its memory is in use is unknown"
        if shares[index] is not None:
            used = f"{shares[index]:.0%} of its memory in use"
        return torch.device("cuda", index), f"GPU {index} ({used})"
    if int(gpu) >= count:
        indices = "0" if count == 1 else f"an index from 0 to {count - 1}"
        raise UserError(f"--gpu {gpu}: there is no such GPU: use auto or {indices}")
    return torch.device("cuda", int(gpu)), f"GPU {gpu}"


def _memory_shares(count: int) -> list[float | None]:
    """The share of used memory of each GPU that PyTorch sees, by gpustat; None where it can't tell."""
    try:
        import gpustat

        # PyTorch's numbering follows CUDA_VISIBLE_DEVICES, gpustat's does not: match by identity
        used = {gpu.uuid: gpu.memory_used / gpu.memory_total for gpu in gpustat.new_query()}
    except Exception:  # NVML raises errors of its own, at import too, and which ones depends on the driver
        used = {}
    uuids = [str(getattr(torch.cuda.get_device_properties(index), "uuid", "")) for index in range(count)]
    return [used.get(f"GPU-{uuid}") for uuid in uuids]


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Let float32 be float32 while this is entered, whatever the caller allows, which is put back.

    TF32 and bfloat16 round to 10 and 7 bits, which flips the signs that the NASWOT kernel counts.
    """
    settings = _precisions()
    before = [(change, read()) for read, change, _ in settings]
    try:
        for _, change, exact in settings:
            change(exact)
        yield
    finally:
        for change, value in before:
            change(value)


def _precisions() -> list[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """PyTorch's settings of float32: how each is read, how it is changed, and what is exact."""
    cudnn, cuda, mkldnn = torch.backends.cudnn, torch.backends.cuda, torch.backends.mkldnn
    try:
        _ = cudnn.allow_tf32, cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:  # the caller has set the newer ones (PyTorch 2.9), beside which these can't be read
        parts = ((cudnn, "conv rnn"), (cuda, "matmul"), (mkldnn, "conv rnn matmul"))
        newer = [getattr(backend, part) for backend, names in parts for part in names.split()]
        name = "fp32_precision"
        return [(partial(getattr, one, name), partial(setattr, one, name), "ieee") for one in newer]
    older: list[tuple[Callable[[], Any], Callable[[Any], None], Any]] = [
        (lambda: cudnn.allow_tf32, partial(setattr, cudnn, "allow_tf32"), False),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    ]
    for name in ("conv", "rnn"):  # these have no older setting
        holder = getattr(mkldnn, name, None)
        if getattr(holder, "fp32_precision", "none") not in ("none", "ieee"):
            read, change = (
                partial(getattr, holder, "fp32_precision"),
                partial(setattr, holder, "fp32_precision"),
            )
            older.append((read, change, "ieee"))
    return older


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Let PyTorch compute with so many CPU threads (None: as many as it does) while this is entered."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
