"""The method: a supernet is discretised edge by edge, N times, and the pool of genotypes is validated.

SPACES holds the search spaces by name: a new one is a module with a subclass of Space and a line here.
Those of installed packages are entry points of the group GROUP. BENCHMARKS tells, without PyTorch, what is
known of all networks of a space.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from foresight_ext.registry import Registry

if TYPE_CHECKING:  # a space is imported, and PyTorch with it, when it is first asked for
    from foresight_ext.search.space import Space

GROUP = "foresight_ext.spaces"

# functions of a skeleton's settings, by the names of their options
SPACES: "Registry[Callable[..., Space]]" = Registry("search space", GROUP)

for _name, _place, _line in (
    ("nas-bench-201", "nasbench201.space:NASBench201Space", "6 edges of 5 operations"),
    ("s1", "sota.cnn.space:S1", "DARTS cells, two operations an edge, different ones"),
    ("s2", "sota.cnn.space:S2", "DARTS cells of skip_connect and sep_conv_3x3"),
    ("s3", "sota.cnn.space:S3", "DARTS cells of none, skip_connect and sep_conv_3x3"),
    ("s4", "sota.cnn.space:S4", "DARTS cells of noise and sep_conv_3x3"),
    ("s5", "sota.cnn.space:S5", "DARTS cells of seven operations, the DARTS space"),
    ("s6", "sota.cnn.space:S6", "DARTS cells of sep_conv_5x5 alone, the largest architecture"),
    ("mobilenet", "sota.mobilenet.space:MobileNetSpace", "21 layers, inverted residuals of several sizes"),
    ("nas-bench-macro", "sota.nasbench_macro.space:MacroSpace", "8 layers of 3 candidates"),
):
    SPACES.declare(_name, _place, _line)

# by the names of spaces: functions of a benchmark's file (None: what lies in the data folder) that give every
# network's test accuracy in percent, data set -> genotype -> accuracy; nothing where that is not at hand
BENCHMARKS: "Registry[Callable[[Path | None], Mapping[str, Mapping[str, float]]]]" = Registry(
    "benchmark", f"{GROUP}.benchmarks"
)
BENCHMARKS.declare("nas-bench-201", "nasbench201.benchmark:accuracies", "15,625 networks, three data sets")
BENCHMARKS.declare("nas-bench-macro", "sota.nasbench_macro.benchmark:accuracies", "6,561 networks, CIFAR-10")
