"""What a DARTS genotype is, when it is sound, and how it is written: in JSON and as a table."""

import ast
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from foresight_ext.errors import UserError
from sota.cnn.candidates import CELL_TYPES, CONCAT, NODES, OPERATIONS

_LINE = re.compile(r"(\w+)@(\d+) +(\w+)@(\d+) *\| *(\w+)@(\d+) +(\w+)@(\d+)")
_LINE_FORM = "op@input op@input | op@input op@input"
_PASTED_FORM = (
    "Genotype(normal=[('op', input), ... (8)], normal_concat=range(2, 6), reduce=[('op', input), ... (8)], "
    "reduce_concat=range(2, 6))"
)
_JSON_FORM = (
    '{"normal": [["op", input], ... (8)], "normal_concat": [2, 3, 4, 5], '
    '"reduce": [["op", input], ... (8)], "reduce_concat": [2, 3, 4, 5]}'
)


class Genotype(NamedTuple):
    """An architecture: per cell type two (operation, input) pairs for each of the nodes 0 to 3, in order.

    Inputs 0 and 1 are the outputs of the last cell but one and of the last cell; 2 + n is node n.
    """

    normal: tuple[tuple[str, int], ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[tuple[str, int], ...]
    reduce_concat: tuple[int, ...]


def check_genotype(genotype: Genotype, name: str) -> None:
    """UserError that names the architecture and its first fault, if it has one."""
    for cell in CELL_TYPES:
        edges = getattr(genotype, cell)
        concat = tuple(getattr(genotype, f"{cell}_concat"))
        if len(edges) != 2 * len(NODES):
            raise UserError(
                f"architecture '{name}': its {cell} cell has {len(edges)} edges: "
                f"there must be {2 * len(NODES)}, two for each node"
            )
        for number, (operation, source) in enumerate(edges):
            node = number // 2
            if operation not in OPERATIONS:
                raise UserError(
                    f"architecture '{name}': node {node} of its {cell} cell has the unknown operation "
                    f"'{operation}': choose from {', '.join(OPERATIONS)}"
                )
            if type(source) is not int or not 0 <= source <= node + 1:
                raise UserError(
                    f"architecture '{name}': node {node} of its {cell} cell reads input {source!r}: "
                    f"it may read 0 to {node + 1}"
                )
        if concat != CONCAT:
            raise UserError(f"architecture '{name}': its {cell}_concat is {concat}: it must be {CONCAT}")


def format_genotype(genotype: Genotype) -> str:
    """The JSON form, as it stands in pool files."""
    return json.dumps(genotype._asdict())


def parse_genotype(text: str, name: str | None = None) -> Genotype:
    """The genotype of a JSON form, known by its text or by a name; UserError names it and the fault."""
    name = text if name is None else name
    try:
        content = json.loads(text)
        genotype = Genotype(
            normal=_pairs(content["normal"]),
            normal_concat=tuple(content["normal_concat"]),
            reduce=_pairs(content["reduce"]),
            reduce_concat=tuple(content["reduce_concat"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"architecture '{name}' does not parse: it must look like {_JSON_FORM}") from error
    check_genotype(genotype, name)
    return genotype


def as_pasted(genotype: Genotype) -> str:
    """The form that descendants of DARTS print: Genotype(normal=[('op', input), ...], ...)."""
    cells = []
    for cell in CELL_TYPES:
        first, *_, last = getattr(genotype, f"{cell}_concat")
        cells.append(f"{cell}={list(getattr(genotype, cell))}, {cell}_concat=range({first}, {last + 1})")
    return f"Genotype({', '.join(cells)})"


def sound(genotype: Genotype, name: str) -> Genotype:
    """A Genotype that somebody wrote, of lists or ranges perhaps, in tuples; UserError names its fault."""
    try:
        found = Genotype(
            _pairs(genotype.normal),
            tuple(genotype.normal_concat),
            _pairs(genotype.reduce),
            tuple(genotype.reduce_concat),
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"architecture '{name}' must look like {_PASTED_FORM}") from error
    check_genotype(found, name)
    return found


def parse_pasted(text: str, name: str = "Genotype(...)") -> Genotype:
    """The genotype of a pasted text; UserError names its fault. Nothing in the text is run."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "Genotype"):
            raise ValueError("it is no Genotype")
        values = [_literal(value) for value in call.args]
        named = {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
        genotype = Genotype(*values, **named)
    except (SyntaxError, TypeError, ValueError) as error:
        raise UserError(f"architecture '{name}' does not parse: it must look like {_PASTED_FORM}") from error
    return sound(genotype, name)


def _literal(value: ast.expr) -> Any:
    """A constant, or a range of two constants."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range":
        return range(*(ast.literal_eval(argument) for argument in value.args))
    return ast.literal_eval(value)


def _pairs(edges: Any) -> tuple[tuple[str, int], ...]:
    return tuple((operation, source) for operation, source in edges)


def read_table(lines: Sequence[str], name: str) -> Genotype:
    """The genotype of a table: a line for each node, its normal edges left and its reduction edges right.

    UserError names the architecture and the fault.
    """
    if len(lines) != len(NODES):
        raise UserError(f"architecture '{name}' has {len(lines)} nodes: there must be {len(NODES)}")
    edges: list[tuple[str, int]] = []
    for node, line in enumerate(lines):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(
                f"architecture '{name}': node {node} is written '{line}': it must look like {_LINE_FORM}"
            )
        edges += [
            (operation, int(source)) for operation, source in zip(match.groups()[::2], match.groups()[1::2])
        ]
    normal = tuple(edge for number, edge in enumerate(edges) if number % 4 < 2)
    reduce = tuple(edge for number, edge in enumerate(edges) if number % 4 >= 2)
    genotype = Genotype(normal, CONCAT, reduce, CONCAT)
    check_genotype(genotype, name)
    return genotype


def differences(genotype: Genotype, other: Genotype) -> list[str]:
    """Where two architectures differ, in words; there are 16 places, two for each node of both cells."""
    found = []
    for cell in CELL_TYPES:
        for number, pair in enumerate(zip(getattr(genotype, cell), getattr(other, cell))):
            (name, source), (other_name, other_source) = pair
            if (name, source) != (other_name, other_source):
                node = f"{cell} node {number // 2}"
                found.append(f"{node}: {name}@{source} for {other_name}@{other_source}")
    return found
