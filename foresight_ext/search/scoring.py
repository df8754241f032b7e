"""S(A - (e,o)): the proxy of a supernet with one candidate operation removed."""

import math
from collections.abc import Callable, Sequence

from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import (
    Proxy,
    check_gradients,
    check_labels,
    check_network,
    in_passes,
    mixings_scores,
    scoring,
)
from foresight_ext.randomness import fix_noise
from foresight_ext.supernets.supernet import Masked, Mixing, Supernet, drop, remove

# whether a choice's candidate may be kept when the mixing is reached; None: whether the choice may be dropped
Allowed = Callable[[Mixing, int, int | None], bool]


def scores(
    proxy: Proxy, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch, places: Sequence[str] = ()
) -> list[float]:
    """The proxy under each mixing, negated where lower is better. Equal networks are scored once.

    `places` say what each is the score of, for parts that look at their scores.
    """
    everything = tuple((1.0,) * len(choice.candidates) for choice in supernet.choices)
    for part in proxy.parts:
        check_network(part, Masked(supernet, everything), batch)
        check_labels(part, batch)
        check_gradients(part, Masked(supernet, everything), batch)
    fix_noise(supernet, batch.seed)
    effective = [supernet.effective(mixing) for mixing in mixings]
    distinct = list(dict.fromkeys(effective))
    columns: list[list[float]] = [[] for _ in proxy.parts]
    for numbers in in_passes(proxy.parts):
        several = [proxy.parts[number] for number in numbers]
        with scoring(supernet, batch):
            found = mixings_scores(several, supernet, distinct, batch)
        for number, part, column in zip(numbers, several, found):
            columns[number] = [part.signed(one) for one in column]
            of_part = dict(zip(distinct, columns[number]))
            part.look_at(places, [of_part[mixing] for mixing in effective])
    score = dict(zip(distinct, proxy.combine(columns)))
    return [score[mixing] for mixing in effective]


def operation_scores(
    proxy: Proxy,
    supernet: Supernet,
    mixing: Mixing,
    choices: Sequence[int],
    batch: Batch,
    allowed: Allowed = lambda mixing, choice, candidate: True,
) -> dict[int, list[float]]:
    """For each choice, the score of its removal for every candidate; the lowest marks the one to keep.

    What is not allowed is not scored: NaN stands for it.
    """
    every = [(choice, o) for choice in choices for o in range(len(mixing[choice]))]
    removals = [one for one in every if allowed(mixing, *one)]
    places = [_place(supernet, *removal) for removal in removals]
    found = scores(proxy, supernet, [remove(mixing, *removal) for removal in removals], batch, places)
    rows = {choice: [math.nan] * len(mixing[choice]) for choice in choices}
    for (choice, candidate), score in zip(removals, found):
        rows[choice][candidate] = score
    return rows


def edge_scores(
    proxy: Proxy, supernet: Supernet, mixing: Mixing, choices: Sequence[int], batch: Batch
) -> list[float]:
    """The score without each choice as a whole; the highest marks the one to drop."""
    places = [f"choice {supernet.choices[choice].name} as a whole" for choice in choices]
    return scores(proxy, supernet, [drop(mixing, choice) for choice in choices], batch, places)


def _place(supernet: Supernet, choice: int, candidate: int) -> str:
    one = supernet.choices[choice]
    return f"choice {one.name}, candidate {one.candidates[candidate]}"
