"""How decisions and validation scores stand in a run's journals, by names, and how they are read again."""

from collections.abc import Sequence
from typing import Any

from foresight_ext.runs.journal import Journal, json_score
from foresight_ext.search.orders import Decision, Pruning
from foresight_ext.search.validation import Row
from foresight_ext.supernets.supernet import Mixing, Supernet, decide, drop


def scored(decision: Decision | Pruning, supernet: Supernet) -> tuple[str, list[str]]:
    """What was decided, and the names of what was scored for it."""
    if isinstance(decision, Pruning):
        node = supernet.nodes[decision.node]
        return f"edge_scores/{node.name}", [supernet.choices[choice].name for choice in node.choices]
    choice = supernet.choices[decision.choice]
    return f"operation_scores/{choice.name}", list(choice.candidates)


def choices_by_name(supernet: Supernet) -> dict[str, Sequence[str]]:
    """What is scored for each decision that can come, by its place: a choice's candidates, a node's edges."""
    nodes = {node.name: [supernet.choices[one].name for one in node.choices] for node in supernet.nodes}
    return {**{choice.name: choice.candidates for choice in supernet.choices}, **nodes}


def told(decision: Decision | Pruning, supernet: Supernet) -> str:
    """A decision in a few words."""
    if isinstance(decision, Pruning):
        dropped = ", ".join(supernet.choices[choice].name for choice in decision.dropped)
        return f"{supernet.nodes[decision.node].name} loses {dropped}"
    choice = supernet.choices[decision.choice]
    return f"{choice.name} = {choice.candidates[decision.candidate]}"


def written(decision: Decision | Pruning, supernet: Supernet) -> dict[str, Any]:
    """A decision for the journal, by names."""
    scores = None if decision.scores is None else [json_score(score) for score in decision.scores]
    if isinstance(decision, Pruning):
        dropped = [supernet.choices[choice].name for choice in decision.dropped]
        return {"node": supernet.nodes[decision.node].name, "dropped": dropped, "scores": scores}
    choice = supernet.choices[decision.choice]
    candidate = choice.candidates[decision.candidate]
    return {"choice": choice.name, "candidate": candidate, "scores": scores}


def read_decisions(journal: Journal, supernet: Supernet) -> dict[int, list[Decision | Pruning]]:
    """The journal's decisions by pool member; UserError if an entry makes no sense."""
    choices = {choice.name: number for number, choice in enumerate(supernet.choices)}
    nodes = {node.name: number for number, node in enumerate(supernet.nodes)}
    done: dict[int, list[Decision | Pruning]] = {}
    for number, entry in enumerate(journal.entries, start=1):
        decision: Decision | Pruning
        try:
            scores = entry["scores"] and [float(score) for score in entry["scores"]]
            decisions = done.setdefault(entry["member"], [])
            if "node" in entry:
                dropped = tuple(choices[name] for name in entry["dropped"])
                decision = Pruning(nodes[entry["node"]], dropped, scores)
            else:
                choice = choices[entry["choice"]]
                candidate = supernet.choices[choice].candidates.index(entry["candidate"])
                decision = Decision(choice, candidate, scores)
        except (KeyError, TypeError, ValueError):
            raise journal.damaged(number) from None
        if any(type(other) is type(decision) and other[0] == decision[0] for other in decisions):
            raise journal.damaged(number)  # decided twice
        decisions.append(decision)
    return done


def decided_mixings(done: dict[int, list[Decision | Pruning]], supernet: Supernet) -> list[Mixing]:
    """What the decisions make of each pool member, in order; of those only that are decided to the end."""
    found = (_decided(decisions, supernet) for decisions in done.values())
    return [mixing for mixing in found if mixing is not None]


def _decided(decisions: Sequence[Decision | Pruning], supernet: Supernet) -> Mixing | None:
    """A member's mixing; None if a choice or a node is open. Where it does not run it needs no decision."""
    mixing: Mixing = tuple((1.0,) * len(choice.candidates) for choice in supernet.choices)
    left, nodes = set(range(len(supernet.choices))), set(range(len(supernet.nodes)))
    for decision in decisions:
        if isinstance(decision, Decision):
            mixing = decide(mixing, decision.choice, decision.candidate)
            left.remove(decision.choice)
        else:
            for choice in decision.dropped:
                mixing = drop(mixing, choice)
            nodes.remove(decision.node)
    left |= {supernet.nodes[node].choices[0] for node in nodes}
    return None if any(supernet.runs(mixing, choice) for choice in left) else mixing


def written_row(row: Row, parts: Sequence[str]) -> dict[str, Any]:
    """A minibatch's scores by a proxy's parts, for the journal."""
    if len(parts) > 1:
        return {"scores": {part: json_score(score) for part, score in zip(parts, row)}}
    return {"score": json_score(row[0])}


def read_rows(journal: Journal, parts: Sequence[str], genotypes: Sequence[str]) -> dict[str, list[Row]]:
    """The journal's scores of each genotype; UserError if an entry makes no sense."""
    done: dict[str, list[Row]] = {genotype: [] for genotype in genotypes}
    for number, entry in enumerate(journal.entries, start=1):
        try:
            scores = [entry["scores"][part] for part in parts] if len(parts) > 1 else [entry["score"]]
            done[entry["genotype"]].append(tuple(map(float, scores)))
        except (KeyError, TypeError, ValueError):
            raise journal.damaged(number) from None
    return done
