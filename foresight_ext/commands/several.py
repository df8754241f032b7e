"""Options that take several values, each a search or a row of a table: seeds, N and V, orders, proxies."""

import argparse
from collections.abc import Callable
from typing import Any

from foresight_ext.commands.options import (
    SEED,
    add_common_options,
    add_metrics_option,
    add_workers_options,
)
from foresight_ext.commands.parser import Parser, described, one_of, whole_number
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.settings import SearchSettings


def add_sweep_options(parser: Parser, batch_size: int, pool_sizes: str, rounds: str) -> None:
    """The options of searches of several seeds, N and V."""
    add_common_options(parser, None, save="zerocostpt")
    add_workers_options(parser, cluster=True)
    add_seeds_option(parser, "each a search")
    many = several(whole_number(1))
    parser.option(
        "--pool_size",
        type=many,
        default=pool_sizes,
        metavar="N[,N...]",
        help="discretisations in the search stage; of a pool smaller ones are its first members",
    )
    name = "another name of --pool_size"
    parser.add_argument("--pools", dest="pool_size", type=many, default=argparse.SUPPRESS, help=name)
    parser.option(
        "--validate_rounds",
        type=many,
        default=rounds,
        metavar="V[,V...]",
        help="minibatches in the validation stage",
    )
    parser.option(
        "--batch_size",
        type=whole_number(1),
        default=batch_size,
        help="images in a minibatch, in both stages",
    )


def add_seeds_option(parser: Parser, each: str) -> None:
    """Which seeds; the value is a tuple of numbers. `each` says what is done with each."""
    parser.option(
        "--seeds",
        type=_seeds,
        default="0-3",
        metavar="SEEDS",
        help=f"seeds such as 0-3 or 0,2,5-7, {each}",
    )


def add_grid_options(parser: Parser) -> None:
    """Several edge orders and proxies, each with each."""
    add_orders_option(parser, SearchSettings.edge_decision, "the orders in which edges are decided")
    add_metrics_option(parser, "the zero-cost proxies, each on its own, out of", combined=False)


def add_orders_option(parser: Parser, default: str, help: str) -> None:
    """Which edge orders; the value is a tuple of names."""
    parser.option(
        "--edge_decision",
        type=several(one_of(ORDERS)),
        default=default,
        metavar="NAME[,NAME...]",
        help=f"{help}: {described(ORDERS)}",
    )


def several(one: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """An option type: several values with commas between, a tuple of what `one` makes of each."""

    def parse(text: str) -> tuple[Any, ...]:
        values = tuple(one(part.strip()) for part in text.split(","))
        if twice := [value for value in values if values.count(value) > 1]:
            raise argparse.ArgumentTypeError(f"{twice[0]} comes twice in '{text}': leave one out")
        return values

    return parse


def _seeds(text: str) -> tuple[int, ...]:
    """Seeds and ranges of seeds."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        start = SEED(first)
        end = SEED(last) if dash else start
        if not 0 <= end - start < 10_000:
            raise argparse.ArgumentTypeError(
                f"'{part}' is no range of seeds such as 0-3, 10,000 of them at most"
            )
        seeds += range(start, end + 1)
    return tuple(dict.fromkeys(seeds))
