"""Options that all entry points share, each meaning the same everywhere, and one line for a mistake."""

import argparse
import difflib
import functools
import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foresight_ext.errors import UserError
from foresight_ext.files import PROJECT_ROOT
from foresight_ext.launched import is_first_process
from foresight_ext.registry import Registry


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors that say what is allowed."""

    def __init__(self, module: str, description: str):
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False)

    def error(self, message: str):
        for action in self._actions:
            if message == f"argument {'/'.join(action.option_strings)}: expected one argument":
                meaning = action.help.replace("%%", "%")
                raise UserError(f"argument {action.option_strings[0]} needs a value: {meaning}")
        if message.startswith("unrecognized arguments: "):
            known = [name for action in self._actions for name in action.option_strings if name[:2] == "--"]
            unknown = message.split()[2].split("=")[0]
            close = difflib.get_close_matches(unknown, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            message += f": {hint}the options are {', '.join(known)}"
        raise UserError(message)

    def option(self, name: str, *aliases: str, default, help: str, **kwargs) -> None:
        """Add an option whose help ends with its default."""
        shown = "none" if default is None else default
        text = f"{help} (default: {shown})".replace("%", "%%")  # argparse would expand a path's %
        self.add_argument(name, *aliases, default=default, help=text, **kwargs)


def entry_point(main: Callable[[Sequence[str] | None], int]) -> Callable[..., int]:
    """Decorates a main: a UserError becomes one line and exit code 2, Ctrl-C exit code 130 and one line of
    all processes together."""

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv)
        except UserError as error:
            print("error:", " ".join(str(error).split()), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            if is_first_process():
                print("stopped: the same command goes on from here", file=sys.stderr)
            return 130

    return guarded


@contextmanager
def console_log() -> Iterator[None]:
    """While this is entered, print what is logged on standard output; of several processes the first does."""
    if not is_first_process():
        yield
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
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


def one_of(registry: Registry) -> Callable[[str], str]:
    """An option type: the names of a registry."""

    def parse(text: str) -> str:
        try:
            registry.get(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    return parse


def some_of(check: Callable[[str], object]) -> Callable[[str], str]:
    """An option type: names with commas between, of which `check` says by a UserError what is wrong."""

    def parse(text: str) -> str:
        names = ",".join(name.strip() for name in text.split(","))
        try:
            check(names)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return names

    return parse


def user_path(text: str) -> Path:
    """An option type: a path, relative to where the user stands."""
    if not text:
        raise argparse.ArgumentTypeError("'' is not a path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from error


def _gpu(text: str) -> str:
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is neither auto nor the index of a GPU")
    return text


def _name(text: str) -> str:
    allowed = 0 < len(text) <= 100 and all(c.isalnum() or c in "._-+" for c in text)
    if not allowed or text.startswith("."):
        raise argparse.ArgumentTypeError(f"'{text}' is no name: up to 100 letters, digits and ._-+ make one")
    return text


def _three_numbers(allowed: Callable[[float], bool], which: str) -> Callable[[str], tuple[float, ...]]:
    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != 3 or not all(map(allowed, values)):
            raise argparse.ArgumentTypeError(f"'{text}' is not three numbers {which} with commas between")
        return values

    return parse


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


def add_common_options(parser: Parser, seed: int, save: str, dataset: str | None = "cifar10") -> None:
    """The options of everything that computes and leaves a run folder; `dataset` None: of a fixed one."""
    parser.option("--seed", type=whole_number(0, 2**32 - 1), default=seed, help="seed of all that is random")
    if dataset is not None:
        _add_dataset_options(parser, dataset)
    parser.option(
        "--data",
        type=user_path,
        default=None,
        metavar="DIR",
        help="where the data set lies or is downloaded to; none means data/ in the project, data/imagenet/ "
        "for ImageNet",
    )
    parser.option(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto (a GPU if there is one), cpu or cuda",
    )
    parser.option(
        "--gpu",
        type=_gpu,
        default="auto",
        help="auto (the one with the lowest share of used memory) or an index",
    )
    parser.option(
        "--threads",
        type=whole_number(1),
        default=None,
        help="CPU threads to compute with; none leaves it to PyTorch",
    )
    parser.option(
        "--workers",
        type=whole_number(0),
        default=2,
        help="threads that read image files; never changes a result",
    )
    parser.option(
        "--save", type=_name, default=save, metavar="NAME", help="first part of the run folder's name"
    )
    parser.option(
        "--out",
        type=user_path,
        default=PROJECT_ROOT / "runs",
        metavar="DIR",
        help="where run folders are made",
    )
    parser.add_argument(
        "--force", action="store_true", help="start afresh, overwriting a run of the same name"
    )


def _add_dataset_options(parser: Parser, dataset: str) -> None:
    # imported here: entry points without these options start without PyTorch
    from foresight_ext.datasets import DATASETS

    parser.option(
        "--dataset",
        type=one_of(DATASETS),
        default=dataset,
        help=f"one of {', '.join(DATASETS)}",
        metavar="NAME",
    )
    parser.option(
        "--image_size",
        type=whole_number(8),
        default=None,
        help="with --dataset folder: side in pixels that images are resized to; none means 32",
    )
    parser.option(
        "--mean",
        type=_three_numbers(lambda value: 0 <= value <= 1, "from 0 to 1"),
        default=None,
        metavar="R,G,B",
        help="with --dataset folder: mean of each channel (0 to 1); none means CIFAR-10's",
    )
    parser.option(
        "--std",
        type=_three_numbers(lambda value: 0 < value < float("inf"), "above 0"),
        default=None,
        metavar="R,G,B",
        help="with --dataset folder: standard deviation of each channel; none means CIFAR-10's",
    )


def add_pipeline_options(
    parser: Parser,
    batch_size: int,
    seed: int = 0,
    dataset: str | None = "cifar10",
    stages: Sequence[str] = ("all", "search", "validation"),
) -> None:
    """The options of search and validation. Defaults that differ between spaces are arguments.

    `dataset` None: of a fixed one. `stages` are the choices of --stage.
    """
    from foresight_ext.measures import PROXIES
    from foresight_ext.measures.combination import COMBINATIONS, parts_of
    from foresight_ext.orders import ORDERS

    number = whole_number(1)
    add_common_options(parser, seed, save="zerocostpt", dataset=dataset)
    parser.option(
        "--metrics",
        "--metric",
        type=some_of(parts_of),
        default="jacob",
        metavar="NAME[,NAME...]",
        help=f"the zero-cost proxy, or several with commas between, out of {', '.join(PROXIES)}",
    )
    parser.option(
        "--combine",
        type=one_of(COMBINATIONS),
        default="rank",
        metavar="NAME",
        help="with several --metrics: rank (each ranks the networks, and ranks are added) or vote (how many "
        "other networks are beaten, less how many beat it, by majority)",
    )
    parser.option(
        "--edge_decision",
        type=one_of(ORDERS),
        default="random",
        metavar="NAME",
        help=f"the order in which edges are decided, one of {', '.join(ORDERS)}",
    )
    parser.option("--pool_size", type=number, default=10, help="discretisations in the search stage (N)")
    parser.option(
        "--validate_rounds", type=number, default=100, help="minibatches in the validation stage (V)"
    )
    parser.option(
        "--batch_size", type=number, default=batch_size, help="images in a minibatch, in both stages"
    )
    parser.option(
        "--stage",
        choices=stages,
        default=stages[0],
        help="all, or one alone, which goes on with what the one before has made",
    )


def add_training_options(
    parser: Parser,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int | None,
    batch_option: str = "--batch_size",
    batch_note: str = "",
    weight_decay: float = 3e-4,
    grad_clip: float = 5.0,
) -> None:
    """The options of a training, whatever the network; `batch_option` is the batch size's name.

    `batch_note` says what a default of None means.
    """
    above_0 = real_number(lambda value: value > 0, "above 0")
    from_0 = real_number(lambda value: value >= 0, "from 0 on")
    parser.option("--epochs", type=whole_number(1), default=epochs, help="epochs to train")
    parser.option(
        batch_option,
        type=whole_number(2),
        default=batch_size,
        help="images in a minibatch of the training, all processes together" + batch_note,
    )
    parser.option("--learning_rate", type=above_0, default=learning_rate, help="learning rate at the start")
    parser.option("--momentum", type=from_0, default=0.9, help="momentum of SGD")
    parser.option("--weight_decay", type=from_0, default=weight_decay, help="weight decay of SGD")
    parser.option(
        "--grad_clip",
        type=from_0,
        default=grad_clip,
        help="norm that gradients are clipped to; 0 clips nothing",
    )
    parser.option(
        "--protocol",
        choices=("holdout", "official"),
        default="holdout",
        help="holdout (choose the best epoch by a tenth of the training images, read the test images once) "
        "or official (train on all, read test accuracy every epoch)",
    )
    parser.option(
        "--ckpt_interval", type=whole_number(1), default=50, help="every how many epochs a checkpoint is kept"
    )
    parser.option(
        "--resume_epoch",
        type=whole_number(0),
        default=0,
        help="go back to the kept checkpoint of this epoch; 0 goes on from the last checkpoint, if any",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (float16), on a GPU only")
    parser.option(
        "--nproc_per_node",
        type=whole_number(1),
        default=1,
        help="processes to train in on this machine, one a GPU; torchrun starts them on several",
    )
    parser.add_argument("--compile", action="store_true", help="compile the network with torch.compile")
    parser.add_argument(
        "--fast", action="store_true", help="one minibatch per epoch, to try a command out: no real accuracy"
    )


def add_switch(parser: Parser, name: str, default: bool, help: str) -> None:
    """Add --name and --no_name."""
    shown = (" (default)", "") if default else ("", " (default)")
    parser.add_argument(f"--{name}", action="store_true", default=default, help=help + shown[0])
    parser.add_argument(f"--no_{name}", dest=name, action="store_false", help=f"not so{shown[1]}")
