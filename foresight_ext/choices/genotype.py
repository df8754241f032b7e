"""Flat genotypes: which candidate each choice keeps, as a mapping, as JSON and as one readable line."""

import difflib
import json
from collections.abc import Mapping, Sequence

from foresight_ext.errors import UserError
from foresight_ext.supernets.supernet import Choice, Mixing, Node

# choice -> the candidate that it keeps; a choice that no longer runs is absent
Genotype = Mapping[str, str]


def as_text(genotype: Genotype) -> str:
    """The genotype as one line, such as stem=conv3x3,layer1=skip."""
    return ",".join(f"{choice}={candidate}" for choice, candidate in genotype.items())


def parse(text: str, choices: Sequence[Choice], nodes: Sequence[Node] = ()) -> dict[str, str]:
    """The genotype of a line, or of a JSON object, in the order of the choices.

    UserError names the choice and what is allowed.
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            pairs = json.loads(stripped, object_pairs_hook=list)
        except ValueError as error:
            raise UserError(f"the genotype {_short(text)} is no JSON: {error}") from error
    else:
        pairs = [tuple(map(str.strip, part.partition("=")[::2])) for part in stripped.split(",")]
    found: dict[str, str] = {}
    for choice, candidate in pairs:
        if not choice or not candidate or not isinstance(candidate, str):
            raise UserError(f"the genotype {_short(text)}: it must be CHOICE=CANDIDATE,... or a JSON object")
        if choice in found:
            raise UserError(
                f"the genotype names the choice '{choice}' twice: {found[choice]} and {candidate}"
            )
        found[choice] = candidate
    return checked(found, choices, nodes)


def checked(genotype: Genotype, choices: Sequence[Choice], nodes: Sequence[Node] = ()) -> dict[str, str]:
    """The genotype in the order of the choices.

    UserError if it keeps what is no candidate, if a choice is unknown or does not run, if one that runs is
    missing, or if a node keeps another number of its choices.
    """
    known = {choice.name: choice for choice in choices}
    for name, candidate in genotype.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            names = _listed([*close, *(one for one in known if one not in close)])
            raise UserError(f"the genotype has no choice '{name}' to keep: choices are {names}")
        allowed = known[name].candidates
        if candidate not in allowed:
            raise UserError(f"'{name}' can't keep '{candidate}': its candidates are {_listed(allowed)}")
    of_nodes = {number for node in nodes for number in node.choices}
    kept: dict[str, str] = {}
    for number, choice in enumerate(choices):
        runs = _runs(choice, choices, kept)
        if choice.name in genotype:
            if not runs:
                raise UserError(f"the genotype names '{choice.name}', which does not run: leave it out")
            kept[choice.name] = genotype[choice.name]
        elif runs and number not in of_nodes:
            names = _listed(choice.candidates)
            raise UserError(f"the genotype lacks '{choice.name}': its candidates are {names}")
    for node in nodes:
        edges = [choices[number] for number in node.choices]
        count = sum(edge.name in kept for edge in edges)
        if count != node.keep and _runs(edges[0], choices, kept):
            names = _listed([edge.name for edge in edges])
            raise UserError(f"the genotype keeps {count} of {names}: it must keep {node.keep}")
    return kept


def of_mixing(choices: Sequence[Choice], mixing: Mixing) -> dict[str, str]:
    """What a discretised mixing keeps: the candidate of each one-hot row of a choice that runs."""
    kept: dict[str, str] = {}
    for choice, row in zip(choices, mixing):
        if _runs(choice, choices, kept) and any(row):
            kept[choice.name] = choice.candidates[row.index(1.0)]
    return kept


def _runs(choice: Choice, choices: Sequence[Choice], kept: Genotype) -> bool:
    """Whether a choice runs where those before it, in one of which it may stand, are kept so."""
    if choice.within is None:
        return True
    outer, number = choices[choice.within[0]], choice.within[1]
    return kept.get(outer.name) == outer.candidates[number]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
