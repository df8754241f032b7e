"""Which device to compute on, and exact arithmetic there."""

import torch

from foresight_ext.errors import UserError


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


def prepare(threads: int | None) -> None:
    """Set this process up for exact scores: a number of CPU threads, and no TF32 on GPUs.

    TF32 rounds to 10 bits, which flips the signs that the NASWOT kernel counts.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
