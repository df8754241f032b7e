"""Draws a NAS-Bench-201 cell: python -m nasbench201.visualize ARCH|FOLDER|FILE.json [--out PATH]."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foresight_ext.cli import Parser, entry_point
from foresight_ext.drawing import SUFFIXES, Cell, CellEdge, save_drawing, text_drawing
from foresight_ext.errors import UserError
from nasbench201.genotype import EDGES, parse_genotype

SPACE = "nas-bench-201"
NODES = ("input", "1", "2", "output")
RESULT_FILE = "best_networks.json"
_MOST_IDS = 20  # in a message


def cell_of(genotype: str) -> Cell:
    """The cell of an architecture string, less its 'none' edges; UserError if it does not parse."""
    edges = tuple(
        CellEdge(NODES[source], NODES[target], operation)
        for (target, source), operation in zip(EDGES, parse_genotype(genotype), strict=True)
        if operation != "none"
    )
    return Cell("NAS-Bench-201 cell", NODES, edges)


def find_genotype(where: str, network_id: str | None = None) -> str:
    """The architecture string meant by a string, a run folder or a JSON file of one or more networks.

    `network_id` picks one of several networks. UserError says what is missing or wrong.
    """
    if "|" in where:
        if network_id is not None:
            raise UserError(f"--id {network_id}: an architecture string is one network; leave the option out")
        return where
    path = Path(where)
    if path.is_dir():
        path = path / RESULT_FILE
        if not path.is_file():
            raise UserError(f"folder '{where}' has no {RESULT_FILE}: give the folder of a finished run")
    elif not path.is_file():
        raise UserError(f"'{where}' is neither an architecture string nor a run folder nor a JSON file")
    return _pick(path, _read(path), network_id)


def _read(path: Path) -> str | list[Any]:
    """The 'networks' of a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        content = {}
    space = content.get("search_space", SPACE)
    if space != SPACE:
        raise UserError(f"'{path}' is of the search space '{space}': only {SPACE} can be drawn here")
    networks = content.get("networks")
    if not isinstance(networks, str | list) or not networks:
        raise UserError(f"'{path}' names no network: it must be a JSON object with a key 'networks'")
    return networks


def _pick(path: Path, networks: str | list[Any], network_id: str | None) -> str:
    """One architecture string of a file's networks."""
    if isinstance(networks, str):
        if network_id is not None:
            raise UserError(f"--id {network_id}: '{path}' holds a single network; leave the option out")
        return networks
    try:
        genotypes = {str(network["id"]): str(network["genotype"]) for network in networks}
    except (TypeError, KeyError) as error:
        raise UserError(f"'{path}' has a network without 'id' and 'genotype'") from error
    ids = ", ".join([*genotypes][:_MOST_IDS])
    if len(genotypes) > _MOST_IDS:
        ids += f", ... ({len(genotypes)} in all)"
    if network_id is None:
        raise UserError(f"'{path}' holds a list of networks: pick one by --id out of {ids}")
    if network_id not in genotypes:
        raise UserError(f"--id {network_id}: no such network in '{path}': choose from {ids}")
    return genotypes[network_id]


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Print and draw the cell of a NAS-Bench-201 architecture; returns the exit code."""
    parser = Parser("nasbench201.visualize", "Print and draw the cell of a NAS-Bench-201 architecture.")
    parser.add_argument(
        "network",
        metavar="ARCH|FOLDER|FILE.json",
        help=f"an architecture string, a run folder with its {RESULT_FILE}, or such a file or a pool file",
    )
    parser.add_argument("--id", help="which network of a pool file to draw")
    parser.add_argument(
        "--out",
        type=Path,
        help=f"the file to draw into ({', '.join(SUFFIXES)}); default: cell.svg and cell.png in this folder",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    options = parser.parse_args(argv)

    cell = cell_of(find_genotype(options.network, options.id))
    paths = [Path("cell.svg"), Path("cell.png")] if options.out is None else [options.out]
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"--out '{path}': the suffix must be one of {', '.join(SUFFIXES)}")
        if path.is_dir():
            raise UserError(f"--out '{path}' is a folder: name a file")
        if path.exists() and not options.force:
            raise UserError(f"'{path}' exists already: give --force to overwrite it, or another --out")
    print(text_drawing(cell), end="")
    for path in paths:
        try:
            print(f"wrote {save_drawing(cell, path)}")
        except OSError as error:
            raise UserError(f"--out '{path}' can't be written: {error.strerror}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
