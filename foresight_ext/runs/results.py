"""Result files of runs: names, the only reader and writer, the network meant by a folder or file."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foresight_ext.errors import UserError
from foresight_ext.files import write_json

POOL = "networks_pool.json"
BEST = "best_networks.json"
SUMMARY = "summary.json"
RESULT = "result.json"  # of a training
TRAINING = "training"  # where the training of a run's winner lies
_OF_A_RESULT = {
    "test_accuracy",
    "protocol",
    "epochs",
    "fast",
    "best_epoch",
    "best_epoch_chosen_by",
    "seconds",
}
_MOST_IDS = 20  # in a message


def write_pool(run: Path, space: str, dataset: str, genotypes: Sequence[str]) -> None:
    """Write a run's pool, in the official layout."""
    networks = [{"id": str(number), "genotype": genotype} for number, genotype in enumerate(genotypes)]
    head = {"search_space": space, "dataset": dataset, "pool_size": len(genotypes)}
    write_json(run / POOL, {**head, "networks": networks})


def write_best(run: Path, space: str, dataset: str, genotype: str) -> None:
    """Write a run's winner, in the official layout."""
    write_json(run / BEST, {"search_space": space, "dataset": dataset, "networks": genotype})


def read_pool(path: Path, space: str) -> tuple[dict[str, str], str]:
    """The genotypes of a pool from elsewhere by their ids, and the data set it names (empty: none).

    UserError if it is none, or of another space.
    """
    try:
        content = _content(path, (space,))
        networks = {name or "0": genotype for name, genotype in _networks(path, content).items()}
    except UserError as error:
        raise UserError(f"--pool: {error}") from error
    return networks, str(content.get("dataset") or "").strip()


def check_pool(path: Path, there: Sequence[str], right: Sequence[str], source: str) -> None:
    """UserError if a run's pool is not what it was made of; `source` names that."""
    if list(there) == list(right):
        return
    if len(there) != len(right):
        difference = f"{len(there)} there, {len(right)} of {source}"
    else:
        number = next(number for number, pair in enumerate(zip(there, right)) if pair[0] != pair[1])
        difference = f"network {number} is not that of {source}"
    raise UserError(
        f"{path} holds other networks than its run's ({difference}): delete it, and the same command makes "
        "it again; a pool from elsewhere is validated by --pool FILE"
    )


def read_own(path: Path) -> list[str]:
    """The genotypes of a file that a run wrote; UserError if it is damaged."""
    try:
        return list(_networks(path, _content(path)).values())
    except UserError:
        raise damaged(path) from None


def read_result(path: Path) -> dict[str, Any]:
    """A training's result.json; UserError if it is damaged."""
    try:
        content = dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        raise damaged(path) from None
    if not set(content) >= _OF_A_RESULT:
        raise damaged(path)
    return content


def damaged(path: Path) -> UserError:
    """What to raise if a result file makes no sense."""
    return UserError(f"{path} is damaged: delete it, and the same command makes it again")


def find_network(
    where: str, network_id: str | None, spaces: Sequence[str], otherwise: str
) -> tuple[str, str]:
    """Name and genotype of the network in a run folder or in a JSON file of one or more networks.

    `network_id` picks one of several networks, `spaces` are the search spaces allowed, and `otherwise`
    says in messages what `where` might have been instead. UserError says what is missing or wrong.
    """
    path = Path(where)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError:  # too long for a path
        is_folder = is_file = False
    if is_folder:
        path = path / BEST
        if not path.is_file():
            raise UserError(f"folder '{where}' has no {BEST}: give the folder of a finished run")
    elif not is_file:
        raise UserError(f"'{where}' is neither {otherwise} nor a run folder nor a JSON file")
    genotype = _pick(path, _networks(path, _content(path, spaces)), network_id)
    name = path.resolve().parent.name if path.name in (POOL, BEST) else path.stem
    return name if network_id is None else f"{name}-{network_id}", genotype


def _content(path: Path, spaces: Sequence[str] | None = None) -> dict[str, Any]:
    """What a JSON file of networks holds; `spaces` None allows all."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is not valid JSON: {error}") from error
    except OSError as error:
        raise UserError(f"'{path}' can't be read: {error.strerror}") from error
    if not isinstance(content, dict):
        content = {}
    if spaces is not None and (space := content.get("search_space", spaces[0])) not in spaces:
        raise UserError(f"'{path}' is of the search space '{space}': allowed here: {', '.join(spaces)}")
    return content


def _networks(path: Path, content: dict[str, Any]) -> dict[str | None, str]:
    """The genotypes of such a content by their ids, None the id of a single one."""
    networks = content.get("networks")
    if not isinstance(networks, str | list) or not networks:
        raise UserError(f"'{path}' names no network: it must be a JSON object with a key 'networks'")
    if isinstance(networks, str):
        return {None: networks}
    try:
        pairs = [(str(network["id"]), str(network["genotype"])) for network in networks]
    except (TypeError, KeyError) as error:
        raise UserError(f"'{path}' has a network without 'id' and 'genotype'") from error
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        raise UserError(f"'{path}' has several networks of the id {twice[0]}")
    return dict(pairs)


def _pick(path: Path, genotypes: dict[str | None, str], network_id: str | None) -> str:
    """One genotype of a file."""
    if None in genotypes and network_id is not None:
        raise UserError(f"--id {network_id}: '{path}' holds a single network; leave the option out")
    if network_id is None and len(genotypes) == 1:
        return next(iter(genotypes.values()))
    ids = ", ".join([str(one) for one in genotypes][:_MOST_IDS])
    if len(genotypes) > _MOST_IDS:
        ids += f", ... ({len(genotypes)} in all)"
    if network_id is None:
        raise UserError(f"'{path}' holds a list of networks: pick one by --id out of {ids}")
    if network_id not in genotypes:
        raise UserError(f"--id {network_id}: no such network in '{path}': choose from {ids}")
    return genotypes[network_id]
