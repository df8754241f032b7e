"""How this process was started and how it shares the machine; knows that without PyTorch."""

import os
import sys


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


def speak_utf8() -> None:
    """Start this program again in Python's UTF-8 mode where the locale knows ASCII alone (LC_ALL=C).

    Python does that by itself unless PYTHONUTF8=0 or an ISO locale that is not installed keeps it from it;
    names with other letters are then read as broken bits, which neither JSON nor TensorBoard can write.
    """
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
