"""How this process was started and how it shares the machine; knows that without PyTorch."""

import os


def is_launched() -> bool:
    """Whether torchrun (or something else that sets its variables) started this process."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints."""
    return not is_launched() or os.environ["RANK"] == "0"


def share_cores() -> None:
    """Let PyTorch's CPU threads give way soon where others want their core; call this before PyTorch loads.

    They spin while they wait for each other, for milliseconds unless they are told otherwise; when one of
    them has lost its core to another program, the others burn theirs. What the user has set stays.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "1000"  # GNU's OpenMP, iterations
        os.environ["KMP_BLOCKTIME"] = "1"  # Intel's and LLVM's, milliseconds
