"""The argument parser of all commands: one line for a mistake, types of options, what a terminal shows."""

import argparse
import difflib
import errno
import functools
import io
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from foresight_ext.errors import UserError
from foresight_ext.files import NO_ROOM, disk_of
from foresight_ext.launched import is_first_process, share_cores, speak_utf8
from foresight_ext.registry import Registry
from foresight_ext.runs.progress import bars, shown_by_bar

share_cores()  # every command imports this, before PyTorch


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors that say what is allowed."""

    def __init__(self, module: str, description: str):
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        for action in self._actions:
            if message == f"argument {'/'.join(action.option_strings)}: expected one argument":
                meaning = (action.help or "").replace("%%", "%")
                raise UserError(f"argument {action.option_strings[0]} needs a value: {meaning}")
        if message.startswith("unrecognized arguments: "):
            known = [name for action in self._actions for name in action.option_strings if name[:2] == "--"]
            unknown = message.split()[2].split("=")[0]
            close = difflib.get_close_matches(unknown, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            message += f": {hint}the options are {', '.join(known)}"
        raise UserError(message)

    def option(self, name: str, *aliases: str, default: Any, help: str, **more: Any) -> None:
        """Add an option whose help ends with its default."""
        shown = "none" if default is None else default
        text = f"{help} (default: {shown})".replace("%", "%%")  # argparse would expand a path's %
        self.add_argument(name, *aliases, default=default, help=text, **more)


# rights that are missing, and disks that fail, become read-only or go away during a run
_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE)


def _of_a_thread(failed: threading.ExceptHookArgs) -> None:
    """What ended a thread: a lack of room, as TensorBoard meets it, ends the command in one line anyway."""
    if not (isinstance(failed.exc_value, OSError) and failed.exc_value.errno in NO_ROOM):
        threading.__excepthook__(failed)


def _give_up_output() -> None:
    """Drop what standard output still holds and can't write: Python would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def entry_point(main: Callable[[Sequence[str] | None], int]) -> Callable[..., int]:
    """Decorates a main: a UserError becomes one line and exit code 2, Ctrl-C exit code 130 and one line of
    all processes together."""

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        if argv is None:
            speak_utf8()
        threading.excepthook = _of_a_thread
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:  # closed, as `>&-` does: its number must not go to a file of the run
                setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
            if isinstance(stream, io.TextIOWrapper):  # a name that a terminal can't show is no reason to fail
                stream.reconfigure(errors="backslashreplace")
        try:
            code = main(argv)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # who read our output has gone, as in `... | head -3`
            _give_up_output()
            return 128 + signal.SIGPIPE
        except UserError as error:
            print("error:", " ".join(str(error).split()), file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno in _OUT_OF_REACH and isinstance(error.filename, str):
                print(f"error: {error.filename} can't be read or written: {error.strerror}", file=sys.stderr)
                return 1
            if error.errno not in NO_ROOM:
                raise
            if isinstance(error.filename, str):
                where = f"{error.filename}, on the disk mounted at {disk_of(Path(error.filename))}"
            else:  # files of a run are named
                where = "the output"
                _give_up_output()
            told = f"no room to write {where} ({error.strerror})"
            print(f"error: {told}: free some, and the same command goes on from here", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            if is_first_process():
                print("stopped: the same command goes on from here", file=sys.stderr)
            return 130

    return guarded


class _Console(logging.StreamHandler):
    """Prints what is logged on standard output, above the bar of running work where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream.isatty() and shown_by_bar(record):
            return
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            raise  # nobody reads on, or no room: stop, instead of a traceback for every line
        super().handleError(record)


@contextmanager
def console_log() -> Iterator[None]:
    """While this is entered, print what is logged on standard output; of several processes the first does.

    On a terminal long work draws a bar.
    """
    if not is_first_process():
        yield
        return
    handler = _Console(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with bars() if sys.stdout.isatty() else nullcontext():
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """An option type: whole numbers from `least` on, up to `most` if given."""
    allowed = f"a whole number from {least} " + (f"to {most}" if most is not None else "on")

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"'{text}' is not {allowed}")
        return value

    return parse


def described(registry: Registry[Any]) -> str:
    """The names of a registry with what each means, for a help text."""
    return ", ".join(f"{name} ({registry.line(name)})" for name in registry)


def one_of(registry: Registry[Any]) -> Callable[[str], str]:
    """An option type: the names of a registry."""

    def parse(text: str) -> str:
        try:
            registry.check(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    return parse


def user_path(text: str) -> Path:
    """An option type: a path, relative to where the user stands."""
    if not text:
        raise argparse.ArgumentTypeError("'' is not a path")
    if any("\udc80" <= letter <= "\udcff" for letter in text):  # bytes that are no letters of UTF-8
        raise argparse.ArgumentTypeError(f"'{text}' is not a path in UTF-8: rename it")
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from error


def real_number(allowed: Callable[[float], bool], which: str) -> Callable[[str], float]:
    """An option type: finite numbers that are `allowed`, as the words `which` say in messages."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not allowed(value):
            raise argparse.ArgumentTypeError(f"'{text}' is not a number {which}")
        return value

    return parse


def add_switch(parser: Parser, name: str, default: bool, help: str) -> None:
    """Add --name and --no_name."""
    shown = (" (default)", "") if default else ("", " (default)")
    parser.add_argument(f"--{name}", action="store_true", default=default, help=help + shown[0])
    parser.add_argument(f"--no_{name}", dest=name, action="store_false", help=f"not so{shown[1]}")
