"""Test accuracy and rank of NAS-Bench-Macro's architectures on CIFAR-10, from the benchmark's JSON file."""

import json
import logging
from pathlib import Path
from typing import Any

from foresight_ext.commands.parser import Parser, user_path
from foresight_ext.errors import UserError
from foresight_ext.files import DATA_FOLDER
from sota.nasbench_macro.genotype import SPACE_SIZE, parse_genotype

FILE = DATA_FOLDER / "nas-bench-macro_cifar10.json"
DATASET = "cifar10"

_log = logging.getLogger(__name__)


def add_benchmark_option(parser: Parser) -> None:
    """Which benchmark file to ask."""
    parser.option(
        "--benchmark",
        type=user_path,
        default=None,
        metavar="FILE",
        help=f"NAS-Bench-Macro's JSON file; none means {FILE}, where it lies there",
    )


class Benchmark:
    """Test accuracies, in percent, the mean over the runs. UserError if the file is missing or damaged."""

    def __init__(self, path: Path):
        self.path = path
        self._accuracies = _read(path)
        if len(self) < SPACE_SIZE:
            what = "'%s' holds %d of %d architectures: ranks are among those"
            _log.warning(what, path, len(self), SPACE_SIZE)

    def __len__(self) -> int:
        return len(self._accuracies)

    def query(self, genotype: str) -> dict[str, dict[str, Any]]:
        """Accuracy, rank (1 + how many are strictly better), regret and of how many, by the data set."""
        if genotype not in self._accuracies:
            raise UserError(f"--benchmark {self.path} lacks '{genotype}'")
        accuracy, every = self._accuracies[genotype], self._accuracies.values()
        rank = 1 + sum(other > accuracy for other in every)
        held = {"accuracy": accuracy, "rank": rank, "regret": max(every) - accuracy, "of": len(self)}
        return {DATASET: held}


def accuracies(path: Path | None) -> dict[str, dict[str, float]]:
    """Every architecture's test accuracy in percent, by the data set; empty without a file.

    UserError if it is damaged.
    """
    found = path if path is not None and path.is_file() else FILE
    return {DATASET: _read(found)} if found.is_file() else {}


def _read(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {name: float(entry["mean_acc"]) for name, entry in content.items()}
    except OSError as error:
        raise UserError(f"--benchmark {path} can't be read: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        told = "it must be a JSON object with a 'mean_acc' for each architecture"
        raise UserError(f"--benchmark {path} is no file of NAS-Bench-Macro: {told}") from error
    for name, accuracy in found.items():
        try:
            parse_genotype(name)
        except UserError as error:
            raise UserError(f"--benchmark {path} is no file of NAS-Bench-Macro: {error}") from error
        if not 0 <= accuracy <= 100:
            told = f"'{name}' has the accuracy {accuracy}: it must be a percentage"
            raise UserError(f"--benchmark {path} is damaged: {told}")
    return found
