"""`zero_cost_pt`: the whole method on a network and images of one's own, in one call."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from html import escape
from numbers import Integral
from typing import Any

from torch import nn

from foresight_ext.choices.genotype import Genotype, as_text, of_mixing, parse
from foresight_ext.choices.images import OwnImages
from foresight_ext.choices.space import NetworkSpace
from foresight_ext.choices.supernet import NetworkSupernet, fixed
from foresight_ext.devices import Compute, threads_set
from foresight_ext.drawing import text_drawing
from foresight_ext.errors import UserError
from foresight_ext.measures.combination import proxy_of
from foresight_ext.randomness import repeated
from foresight_ext.runs.journal import json_score
from foresight_ext.runs.progress import Progress, bars
from foresight_ext.search.journal import written
from foresight_ext.search.limits import Limits, sizes_of
from foresight_ext.search.orders import ORDERS, Decision, Pruning
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.validation import (
    best_genotype,
    combined,
    draw_validation,
    summed,
    validation_scores,
)
from foresight_ext.supernets.supernet import Mixing


@dataclass(frozen=True)
class ZeroCostPT:
    """What a search found. `network()` builds the winner, `draw()` shows it.

    `genotype` maps each choice that runs to its candidate; `pool` are those of all members, `scores` the
    summed validation scores of the distinct ones by their lines. `decisions` are those of each member in the
    order in which they were taken, by names and with the scores that decided; `seconds` those of each stage.
    """

    genotype: dict[str, str]
    pool: list[dict[str, str]] = field(repr=False)
    decisions: list[list[dict[str, Any]]] = field(repr=False)
    scores: dict[str, float] = field(repr=False)
    seconds: dict[str, float] = field(repr=False)
    space: NetworkSpace = field(repr=False)
    classes: int = field(repr=False)

    def __str__(self) -> str:
        return as_text(self.genotype)

    def network(self) -> nn.Module:
        """The stand-alone network, with fresh weights from PyTorch's global generator."""
        return fixed(lambda: self.space.network(self.classes), self.genotype)

    def draw(self) -> str:
        """The winner as text: the choices in a chain, each with what it keeps."""
        return "\n".join(map(text_drawing, self.space.cells(str(self))))

    def to_json(self) -> str:
        """All that is found, as a JSON object."""
        names = ("genotype", "pool", "decisions", "seconds")
        scores = {name: json_score(score) for name, score in self.scores.items()}
        return json.dumps({**{name: getattr(self, name) for name in names}, "scores": scores}, indent=2)

    def _repr_html_(self) -> str:
        kept = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in self.genotype.items())
        pool = "".join(
            f"<tr><td>{escape(name)}</td><td>{score:.4f}</td></tr>"
            for name, score in sorted(self.scores.items(), key=lambda pair: -pair[1])
        )
        return (
            f"<table><tr><th>choice</th><th>kept</th></tr>{kept}</table>"
            f"<table><tr><th>pool</th><th>summed score</th></tr>{pool}</table>"
        )


def zero_cost_pt(
    build: Callable[..., nn.Module],
    images: Any,
    proxy: str | tuple[str, ...] = "jacob",
    pool_size: int = 10,
    validate_rounds: int = 100,
    order: str = "random",
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    at_most: Mapping[str, float | str] | None = None,
    feasible: Callable[[Genotype], bool] | None = None,
    *,
    combine: str = "rank",
    softmax: bool = True,
    threads: int | None = None,
    progress: bool = False,
) -> ZeroCostPT:
    """Search a network of one's own by Zero-Cost-PT: N discretisations, then validation of their pool.

    Args:
        build: makes the network with its MixedOps; it may take `classes`, how many the images have.
        images: a torchvision-style data set, a DataLoader of one, or a pair of tensors (images, labels).
        proxy: the name of a proxy, or several, of which `combine` makes one.
        pool_size: how many discretisations (N).
        validate_rounds: how many minibatches each distinct genotype is validated on (V).
        order: the order in which choices are decided.
        seed: draws everything.
        batch_size: of both stages; None means the DataLoader's, else 64.
        device: auto, cpu or cuda.
        at_most: sizes of the network found, `params` and `flops` (multiply-adds for one image): numbers, or
            shares of the largest network such as "60%".
        feasible: a rule of one's own; a genotype for which it is false is never found.
        softmax: whether mixing weights start as the softmax of small noise, else as ones.
        threads: of the CPU; None leaves their number to PyTorch.
        progress: whether bars are shown. Nothing is printed without.

    Raises:
        UserError: for what is asked wrongly, before any long work; for images or scores that are of no use.
    """
    metrics = (proxy,) if isinstance(proxy, str) else tuple(proxy)
    if not metrics:
        raise UserError("proxy: none is given: it must be the name of one, or several")
    scoring, deciding = proxy_of(metrics, combine), ORDERS.get(order)
    data, own_size = OwnImages.of(images)
    size = own_size or 64 if batch_size is None else batch_size
    for name, number in (
        ("pool_size", pool_size),
        ("validate_rounds", validate_rounds),
        ("batch_size", size),
        ("threads", threads),
    ):
        if number is None and name == "threads":
            continue
        if not isinstance(number, Integral):
            raise UserError(f"{name}={number!r}: it must be a whole number")
        if number < 1:
            raise UserError(f"{name}={number}: it must be 1 or more")
    if not (isinstance(seed, Integral) and 0 <= seed < 2**32):
        raise UserError(f"seed={seed}: it must be from 0 to {2**32 - 1}")
    if not isinstance(at_most or {}, Mapping):
        raise UserError(f"at_most={at_most!r}: it must be a mapping, such as {{'params': '60%'}}")
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device={device}: it must be auto, cpu or cuda")
    place, _ = Compute(device, threads=threads).choose()
    space = NetworkSpace(build, softmax=softmax)
    if space.needs_classes and not data.classes:
        raise UserError("images: the data set does not tell its classes (`classes`), which build asks for")
    # the seed is for what draws outside of the search's own streams, such as a build that asks numpy
    with repeated(seed), threads_set(threads), bars() if progress else nullcontext():
        space.check(data, place)
        search = PoolSearch(space, data, scoring, deciding, seed, size, place)
        supernet = search.supernet
        assert isinstance(supernet, NetworkSupernet)
        limits = None
        if at_most or feasible is not None:
            rule = None if feasible is None else partial(_asked, feasible, supernet)
            limits = Limits(supernet, sizes_of(space, supernet, data, place), at_most or {}, rule)
        pool, taken, searched = _search(search, pool_size, limits)
        start = time.monotonic()
        rounds = math.ceil(min(validate_rounds * size, len(data)) / size)
        sums = {}
        with Progress("validation", len(set(pool)) * rounds) as bar:
            for one in draw_validation(space, pool, data, seed, validate_rounds, size):
                sums[one.genotype] = summed(
                    validation_scores(one, scoring, data, place, report=lambda row: bar.step())
                )
    scores = combined(scoring, sums)
    choices, nodes = supernet.choices, supernet.nodes
    return ZeroCostPT(
        genotype=parse(best_genotype(scores), choices, nodes),
        pool=[parse(genotype, choices, nodes) for genotype in pool],
        decisions=[[written(decision, supernet) for decision in decisions] for decisions in taken],
        scores=scores,
        seconds={"search": searched, "validation": time.monotonic() - start},
        space=space,
        classes=data.classes,
    )


def _search(
    search: PoolSearch, pool_size: int, limits: Limits | None
) -> tuple[list[str], list[list[Decision | Pruning]], float]:
    """The pool, the decisions of each member, and the seconds it took."""
    if limits is not None:
        search.allowed = limits
    pool: list[str] = []
    taken: list[list[Decision | Pruning]] = []
    start = time.monotonic()
    steps = len(search.supernet.choices) + len(search.supernet.nodes)
    with Progress("search", pool_size * steps) as bar:
        for _ in range(pool_size):
            draws = search.draw(pool[-1] if pool else None)
            genotype, decisions = search.discretise(draws, report=lambda decision: bar.step())
            bar.skip(steps - len(decisions))
            pool.append(genotype)
            taken.append(decisions)
    return pool, taken, time.monotonic() - start


def _asked(feasible: Callable[[Genotype], bool], supernet: NetworkSupernet, mixing: Mixing) -> bool:
    return feasible(of_mixing(supernet.choices, mixing))
