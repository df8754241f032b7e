"""Which network or space a command searches: a function of the user's, a file, or a name of the table."""

import argparse
import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from foresight_ext.commands.parser import Parser, described
from foresight_ext.errors import UserError
from foresight_ext.loading import imported, named, users_code
from foresight_ext.search import GROUP, SPACES

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.space import Space


def add_space_options(parser: Parser) -> None:
    """The network, or --space."""
    parser.add_argument(
        "network",
        nargs="?",
        metavar="MODULE:FUNCTION|FILE.py:FUNCTION",
        help="a function of your own that builds a network with MixedOps in it; it may take `classes`",
    )
    parser.option(
        "--space",
        type=_space,
        default=None,
        metavar="NAME|FILE.py|FILE.py:CLASS",
        help="a search space instead: a file with your own subclass of Space (one of several, or a function "
        f"that makes it, by its name), or one of {described(SPACES)}; packages name more by entry points of "
        f"the group {GROUP}",
    )


def space_of(options: argparse.Namespace) -> "Space":
    """What add_space_options asked; UserError if the user's code can't be had, or is neither."""
    if (options.network is None) == (options.space is None):
        which = "nothing" if options.space is None else f"both {options.network} and --space {options.space}"
        raise UserError(
            f"{which} to search: give a network as MODULE:FUNCTION or FILE.py:FUNCTION, or a space by --space"
        )
    if options.network is not None:
        return _of_network(options.network)
    return _made(options.space)


def _space(text: str) -> str:
    if ":" in text or text.endswith(".py"):
        return text
    try:
        SPACES.check(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(f"{error}, or give FILE.py") from error
    return text


def _of_network(place: str) -> "Space":
    build = named(place)
    if not callable(build):
        raise UserError(f"{place} is a {type(build).__name__}: it must be a function that builds a network")
    from foresight_ext.choices.space import NetworkSpace

    with users_code(place):
        space = NetworkSpace(build, place.rpartition(":")[2])
        _ = space.found  # builds a network, which has choices or not
    return space


def _made(where: str) -> "Space":
    from foresight_ext.search.space import Space

    if where in SPACES:
        make: Any = SPACES.get(where)
    else:
        make = named(where) if ":" in where else _only_space(where, imported(where))
    with users_code(f"--space {where}"):
        space = make if isinstance(make, Space) else make()
    if not isinstance(space, Space):
        raise UserError(
            f"--space {where} gives a {type(space).__name__}: it must give a Space, such as a NetworkSpace"
        )
    return space


def _only_space(where: str, module: ModuleType) -> type["Space"]:
    """The one subclass of Space that a file holds; UserError if there are others or none."""
    from foresight_ext.search.space import Space

    own = [
        name
        for name, one in vars(module).items()
        if isinstance(one, type)
        and issubclass(one, Space)
        and one.__module__ == module.__name__
        and not inspect.isabstract(one)
    ]
    if len(own) != 1:
        told = (
            f"holds {', '.join(own)}: name one, as {where}:{own[0]}" if own else "holds no subclass of Space"
        )
        raise UserError(f"--space {where} {told}")
    return vars(module)[own[0]]
