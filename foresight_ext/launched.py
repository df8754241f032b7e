"""Whether torchrun started this process, and which of several it is; knows that without PyTorch."""

import os


def is_launched() -> bool:
    """Whether torchrun (or something else that sets its variables) started this process."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints."""
    return not is_launched() or os.environ["RANK"] == "0"
