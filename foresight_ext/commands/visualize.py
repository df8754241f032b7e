"""The command line that draws an architecture's cells, for every space that names them."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from foresight_ext.commands.parser import Parser
from foresight_ext.drawing import SUFFIXES, Cell, save_drawing, text_drawing
from foresight_ext.errors import UserError
from foresight_ext.files import NO_ROOM


def draw_cells(
    argv: Sequence[str] | None,
    *,
    module: str,
    description: str,
    network: tuple[str, str],
    names: Sequence[str],
    find_cells: Callable[[str, str | None], Sequence[Cell]],
) -> int:
    """Print and draw the cells that the arguments ask for; returns the exit code.

    `network` is the metavar and the help of the first argument; `find_cells` takes it and --id, and
    returns a cell for each of `names`, the names of files. UserError says what is wrong.
    """
    parser = Parser(module, description)
    parser.add_argument("network", metavar=network[0], help=network[1])
    parser.add_argument("--id", help="which network of a pool file to draw")
    add_out_options(parser, names)
    options = parser.parse_args(argv)

    cells = find_cells(options.network, options.id)
    paths = out_paths(options, names)
    print("\n".join(map(text_drawing, cells)), end="")
    files_each = len(paths) // len(cells)
    draw_into(paths, lambda number, path: save_drawing(cells[number // files_each], path))
    return 0


def add_out_options(parser: Parser, names: Sequence[str]) -> None:
    """Where drawings go: the options that `out_paths` reads; `names` are those of the files."""
    into = f"the file to draw into ({', '.join(SUFFIXES)})"
    if len(names) > 1:
        into += f", with {' and '.join(f'-{name}' for name in names)} put before the suffix"
    parser.add_argument(
        "--out", type=Path, help=f"{into}; default: {', '.join(map(str, _defaults(names)))} in this folder"
    )
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def out_paths(options: argparse.Namespace, names: Sequence[str]) -> list[Path]:
    """The files to draw into, as many for each of `names`; UserError for one that can't be or is there."""
    if options.out is None:
        paths = _defaults(names)
    elif options.out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out '{options.out}': the suffix must be one of {', '.join(SUFFIXES)}")
    elif len(names) == 1:
        paths = [options.out]
    else:
        paths = [options.out.with_stem(f"{options.out.stem}-{name}") for name in names]
    for path in paths:
        if path.is_dir():
            raise UserError(f"--out '{path}' is a folder: name a file")
        if path.exists() and not options.force:
            raise UserError(f"'{path}' exists already: give --force to overwrite it, or another --out")
    return paths


def draw_into(paths: Sequence[Path], save: Callable[[int, Path], Path]) -> None:
    """Draw each file, by its number, and tell it; UserError for one that can't be written."""
    for number, path in enumerate(paths):
        try:
            print(f"wrote {save(number, path)}")
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise UserError(f"--out '{path}' can't be written: {error.strerror}") from error


def _defaults(names: Sequence[str]) -> list[Path]:
    return [Path(name + suffix) for name in names for suffix in (".svg", ".png")]
