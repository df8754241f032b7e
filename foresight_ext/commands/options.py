"""The options that commands share, each meaning the same everywhere, and the settings they become."""

import argparse
import math
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from foresight_ext.commands.parser import Parser, described, one_of, user_path, whole_number
from foresight_ext.errors import UserError
from foresight_ext.files import DATA_FOLDER, HOME
from foresight_ext.images import DATASETS
from foresight_ext.images.source import ImageNetSettings, ImageSettings, ImageSource
from foresight_ext.measures import COMBINATIONS, PROXIES
from foresight_ext.parallel.cluster import ARRAY_SIZE, CLUSTERS, cluster_of
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.folder import Place
from foresight_ext.runs.results import POOL
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.settings import SearchSettings

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.devices import Compute

IMAGENET = ImageNetSettings.dataset  # no data set of the table: its images are read and cropped differently
SEED = whole_number(0, 2**32 - 1)  # the type of a seed
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


def _gpu(text: str) -> str:
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is neither auto nor the index of a GPU")
    return text


def _name(text: str) -> str:
    allowed = 0 < len(os.fsencode(text)) <= 100 and all(c.isalnum() or c in "._-+" for c in text)
    if not allowed or text.startswith("."):
        one = "up to 100 letters, digits and ._-+ make one (fewer letters that are not ASCII)"
        raise argparse.ArgumentTypeError(f"'{text}' is no name: {one}")
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


def add_common_options(parser: Parser, seed: int | None, save: str, dataset: str | None = "cifar10") -> None:
    """The options of everything that computes and leaves a run folder.

    `dataset` None: of a fixed one; `seed` None: of several seeds, see commands/several.py.
    """
    if seed is not None:
        parser.option("--seed", type=SEED, default=seed, help="seed of all that is random")
    if dataset is not None:
        add_dataset_options(parser, dataset)
    parser.option(
        "--data",
        type=user_path,
        default=None,
        metavar="DIR",
        help=f"where the data set lies or is downloaded to; none means {DATA_FOLDER}, or imagenet in it for "
        "ImageNet",
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
        default=HOME / "runs",
        metavar="DIR",
        help="where run folders are made",
    )
    parser.add_argument(
        "--force", action="store_true", help="start afresh, overwriting a run of the same name"
    )


def _dataset_or_imagenet(text: str) -> str:
    try:
        return text if text == IMAGENET else one_of(DATASETS)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, {IMAGENET}") from error


def add_dataset_options(parser: Parser, dataset: str, imagenet: bool = False) -> None:
    """Which data set, and how one's own is read; `imagenet` says whether ImageNet itself is offered, too."""
    large = f", {IMAGENET} (ImageNet, in large crops)" if imagenet else ""
    parser.option(
        "--dataset",
        type=_dataset_or_imagenet if imagenet else one_of(DATASETS),
        default=dataset,
        help=f"one of {described(DATASETS)}{large}",
        metavar="NAME",
    )
    parser.option(
        "--image_size",
        type=whole_number(8),
        default=None,
        help="with --dataset folder: side in pixels that images are resized to; none means 32"
        + (f"; with {IMAGENET}: side of the crops; none means {ImageNetSettings.crop_size}" if large else ""),
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


def add_search_options(
    parser: Parser,
    batch_size: int,
    seed: int = 0,
    dataset: str | None = "cifar10",
    stages: Sequence[str] = ("all", "search", "validation"),
) -> None:
    """The options of search and validation. Defaults that differ between spaces are arguments.

    `dataset` None: of a fixed one. `stages` are the choices of --stage.
    """
    number, usual = whole_number(1), SearchSettings()
    add_common_options(parser, seed, save="zerocostpt", dataset=dataset)
    add_workers_options(parser)
    add_metrics_option(parser, "the zero-cost proxy, or several with commas between, out of")
    parser.option(
        "--combine",
        type=one_of(COMBINATIONS),
        default=usual.combine,
        metavar="NAME",
        help=f"with several --metrics: {described(COMBINATIONS)}",
    )
    parser.option(
        "--edge_decision",
        type=one_of(ORDERS),
        default=usual.edge_decision,
        metavar="NAME",
        help=f"the order in which edges are decided: {described(ORDERS)}",
    )
    parser.option(
        "--pool_size", type=number, default=usual.pool_size, help="discretisations in the search stage (N)"
    )
    parser.option(
        "--validate_rounds",
        type=number,
        default=usual.validate_rounds,
        help="minibatches in the validation stage (V)",
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
    parser.option(
        "--pool",
        type=user_path,
        default=None,
        metavar="FILE",
        help=f"with --stage validation: a {POOL} from elsewhere to be validated, in a run folder of its own",
    )
    parser.option(
        "--at_most",
        type=_at_most,
        default=None,
        metavar="NAME=LIMIT[,NAME=LIMIT]",
        help="sizes that no network found exceeds: params, and flops (multiply-adds for one image), of the "
        "space's networks, and costs that the space has measured; a number such as 600M, or a share of the "
        "largest network such as 60%",
    )


def _at_most(text: str) -> dict[str, float | str]:
    """Limits such as flops=600M,params=60%, by name: a number, or a share with its percent sign."""
    limits: dict[str, float | str] = {}
    for part in text.split(","):
        name, _, limit = part.strip().partition("=")
        if not name.isidentifier():  # which names there are, the space says
            raise argparse.ArgumentTypeError(f"'{part}' is no limit: it must be such as params=3M")
        if name in limits:
            raise argparse.ArgumentTypeError(f"'{name}' comes twice in '{text}': leave one out")
        found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)([kMG%]?)", limit)
        if found is None or not 0 < float(found[1]) < math.inf:
            one = f"a number above 0 such as {name}=3M, or a share of the largest such as {name}=60%"
            raise argparse.ArgumentTypeError(f"'{part}' is no limit: it must be {one}")
        number, unit = float(found[1]), found[2]
        limits[name] = f"{number:g}%" if unit == "%" else number * _UNITS[unit]
    return limits


def add_metrics_option(
    parser: Parser, help: str, combined: bool = True, default: Sequence[str] = SearchSettings.metrics
) -> None:
    """Which proxies; the value is a tuple of names. `combined`: several are to make one score."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        try:
            for name in names:
                PROXIES.check(name)
                if names.count(name) > 1:
                    raise UserError(f"the proxy '{name}' comes twice in '{text}': leave one out")
            if combined and len(names) > 1:
                from foresight_ext.measures.combination import proxy_of

                proxy_of(names)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return names

    parser.option(
        "--metrics",
        "--metric",
        type=parse,
        default=",".join(default),
        metavar="NAME[,NAME...]",
        help=f"{help} {described(PROXIES)} (which one: foresight_ext/measures/README.md)",
    )


class _Asked(argparse.Action):
    """Stores --processes, and that it was given, which is no note for a run's config.json."""

    name = "_processes_asked"

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, name: str | None = None) -> None:
        options.processes = value
        setattr(options, self.name, True)


def add_workers_options(parser: Parser, cluster: bool = False) -> None:
    """In how many processes independent work is done; `cluster`: whether it may be done on one."""
    parser.option(
        "--processes",
        action=_Asked,
        type=whole_number(1),
        default=1,
        help="processes that share the work, of one thread each unless --threads says more, so that any "
        "number gives the same results; without it one leaves its threads to PyTorch",
    )
    if not cluster:
        return
    parser.option(
        "--cluster",
        choices=CLUSTERS,
        default=None,
        help="compute in jobs that submitit submits: to SLURM, to this machine (local), or in this process "
        "(debug); the same command comes back for their results",
    )
    parser.option(
        "--slurm",
        default=None,
        metavar="KEY=VALUE[,KEY=VALUE]",
        help="with --cluster: jobs=N (how many share the work), array_size (the most in a job array, "
        f"{ARRAY_SIZE}), and parameters of submitit such as timeout_min (60), partition, account, mem_gb, "
        "array_parallelism",
    )


# ---- what the options become ----


def place_of(options: argparse.Namespace) -> Place:
    """Where runs are kept: what add_common_options asked."""
    noted = {name: value for name, value in vars(options).items() if name[0] != "_"}
    return Place(options.out, options.save, options.force, noted)


def compute_of(options: argparse.Namespace) -> "Compute":
    """Where to compute: what add_common_options asked, and add_workers_options where that was offered."""
    from foresight_ext.devices import Compute

    threads = options.threads
    if threads is None and _Asked.name in options:
        threads = 1  # one process, too: PyTorch's sums are rounded otherwise by other numbers of threads
    return Compute(options.device, options.gpu, threads)


def workers_of(options: argparse.Namespace) -> Workers:
    """Who does independent work: what add_workers_options asked; UserError if it makes no sense."""
    kind, slurm = getattr(options, "cluster", None), getattr(options, "slurm", None)
    if slurm is not None and kind is None:
        raise UserError(f"--slurm {slurm} goes with --cluster only: add --cluster slurm")
    processes, threads = options.processes, compute_of(options).threads
    cluster = None if kind is None else cluster_of(kind, slurm or "", processes * (threads or 1))
    return Workers(processes, threads, cluster)


def images_of(options: argparse.Namespace) -> ImageSettings:
    """Which data set: what add_common_options asked."""
    return ImageSettings(
        options.dataset, options.data, options.image_size, options.mean, options.std, options.workers
    )


def images_or_imagenet_of(options: argparse.Namespace) -> ImageSource:
    """Which data set, where add_dataset_options offered ImageNet, too."""
    if options.dataset != IMAGENET:
        return images_of(options)
    for name in ("mean", "std"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name} goes with --dataset folder only, not {IMAGENET}")
    side = ImageNetSettings.crop_size if options.image_size is None else options.image_size
    return ImageNetSettings(options.data, side, options.workers)


def search_settings_of(options: argparse.Namespace) -> SearchSettings:
    """What add_search_options asked."""
    return SearchSettings(
        options.seed,
        options.metrics,
        options.combine,
        options.edge_decision,
        options.pool_size,
        options.validate_rounds,
        options.batch_size,
        options.pool,
        options.at_most or {},
    )
