"""The zero-cost proxies by name. A new one is a file here that ends in its PROXY, and a line below."""

import importlib
import importlib.util
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from foresight_ext.registry import Registry

if TYPE_CHECKING:  # PyTorch is imported when a proxy is first asked for: --help is there at once
    from collections.abc import Callable

    import numpy as np

    from foresight_ext.measures.proxy import Proxy as Proxy

# rules that make one score of several proxies': functions of a table (networks x proxies, the higher the
# better, no row twice) to the networks' scores
COMBINATIONS: "Registry[Callable[[np.ndarray], np.ndarray]]" = Registry("combination")
COMBINATIONS.declare("rank", f"{__name__}.combination:rank", "each ranks the networks, and ranks are added")
COMBINATIONS.declare(
    "vote",
    f"{__name__}.combination:vote",
    "how many other networks are beaten, less how many beat it, by majority",
)
COMBINATIONS.declare("log_rank", f"{__name__}.combination:log_rank", "logarithms of ranks are added")

PROXIES: "Registry[Proxy]" = Registry("proxy")

for _name, _line in {
    "jacob": "log-determinant of the NASWOT kernel, ReLUs counted as the official code counts them",
    "nwot": "the same, every ReLU counted once, as the paper defines it",
    "grad_norm": "norm of the loss gradient",
    "snip": "how much the loss depends on each connection being there",
    "plain": "first-order change of the loss if weights were removed, with its sign",
    "grasp": "how removing weights changes the flow of gradients",
    "fisher": "how much the loss depends on each channel being there, to second order",
    "synflow": "how much flows through all paths of the network, whatever the data",
    "synflow_bn": "synflow with the network's batch norms kept",
    "jacob_cov": "how differently the network's output depends on different images",
    "epe_nas": "how differently the output depends on images of one class",
    "l2_norm": "norm of the weights",
    "ntk": "condition number of the neural tangent kernel, lower is better",
    "linear_regions": "sign patterns over 3,000 tiny images",
    "tenas": "ntk and linear_regions, ranks added",
    "zen": "sensitivity of the features under random weights",
    "zico": "mean by deviation of gradients over two half batches",
    "meco": "smallest eigenvalues of the channels' correlations, one random image",
    "swap": "sign patterns of all neurons over the images",
    "aznas": "expressivity, progressivity, trainability and complexity, logarithms of ranks added",
    "aznas_expressivity": "in how many directions features spread, a part of aznas",
    "aznas_progressivity": "how much cells add to these directions, a part of aznas",
    "aznas_trainability": "how well cells pass gradients back, a part of aznas",
    "aznas_complexity": "multiply-adds with those of biases, a part of aznas",
    "vkdnw": "aznas with vkdnw_entropy as a fifth part",
    "vkdnw_single": "parameter tensors plus vkdnw_entropy",
    "vkdnw_entropy": "how even the eigenvalues of the Fisher information are",
    "gradsign": "how much images agree on the signs of the weights' gradients",
    "gradsign_sum": "the same summed over weights, so that size counts",
    "epsinas": "how differently two constants as weights make the network see images",
    "near": "effective rank of all layers' and activations' outputs",
    "meco_opt": "meco on one image, of eight channels of every module's output",
    "swap_reg": "swap on feature maps, times how near the size is to a wished one",
    "params": "parameters, a baseline",
    "flops": "multiply-adds, a baseline",
}.items():
    PROXIES.declare(_name, f"{__name__}.{_name}:PROXY", _line)


def _has_zero_cost_nas() -> bool:
    """Whether Zero-Cost-NAS is installed; the package `foresight` on PyPI is another program."""
    package = importlib.util.find_spec("foresight")
    places = package.submodule_search_locations if package is not None else None
    return places is not None and PathFinder.find_spec("foresight.pruners", places) is not None


if _has_zero_cost_nas():  # last, so that it adds only what is missing
    importlib.import_module(f"{__name__}.installed")


def __getattr__(name: str) -> Any:
    if name == "Proxy":
        from foresight_ext.measures.proxy import Proxy

        return Proxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
