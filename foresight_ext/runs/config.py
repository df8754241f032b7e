"""A run's config.json: how it is read, and compared with the settings and the images that are asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foresight_ext.errors import UserError

CONFIG = "config.json"
BESIDE = "use --save NAME for a run beside it, or --force to overwrite it"
# where the data set lay was among the settings once: it makes no result
_NO_SETTINGS = {"data"}


def compare_settings(path: Path, settings: dict[str, Any], remedy: str = BESIDE) -> None:
    """UserError that shows the difference, and the remedy, if the run in a folder has other settings."""
    there = read_config(path)["settings"]
    asked = json.loads(json.dumps(settings))
    different = [
        f"{key} {there.get(key)} there, {asked.get(key)} asked for"
        for key in dict.fromkeys([*there, *asked])
        if key not in _NO_SETTINGS and there.get(key) != asked.get(key)
    ]
    if different:
        raise UserError(f"{path} is a run with other settings ({'; '.join(different)}): {remedy}")


def compare_data(
    path: Path, root: Path | None, splits: Mapping[str, dict[str, Any]], remedy: str = BESIDE
) -> None:
    """UserError that shows the difference if the run in a folder was begun on other images.

    Splits that are not recorded there are let be. The `remedy` is for images that have changed; where other
    ones were named, nothing is wrong with the run.
    """
    content = read_config(path)
    there = content["data"]
    different = [
        f"{split}: {key} {there[split].get(key)} there, {value} now"
        for split, now in splits.items()
        for key, value in now.items()
        if split in there and there[split].get(key) != value
    ]
    if different:
        if (before := _root_of(content)) != written(root):
            again = f"give --data {before}" if before else "leave --data out"
            remedy = f"{again}, or use --save NAME for a run beside it"
        raise UserError(f"{path} was begun on other images ({'; '.join(different)}): {remedy}")


def data_moved(path: Path, root: Path | None) -> bool:
    """Whether a run knows its images from another `root`: then it is to be seen if they are the same."""
    content = read_config(path)
    return bool(content["data"]) and _root_of(content) != written(root)


def written(root: Path | None) -> str | None:
    """Where a data set lies, for config.json."""
    return None if root is None else str(root)


def _root_of(content: dict[str, Any]) -> str | None:
    """Where the images of a run lay; in runs of older versions it is one of the settings."""
    return content["data"].get("root", content["settings"].get("data"))


def read_config(path: Path, remedy: str = "use --force to start afresh, or --save NAME") -> dict[str, Any]:
    """The content of a run's config.json; UserError, with the remedy, if it is damaged."""
    config = path / CONFIG
    try:
        content = dict(json.loads(config.read_text(encoding="utf-8")))
        # what a kill or an older version has left may know nothing of the images yet
        return {**content, "settings": dict(content["settings"]), "data": dict(content.get("data", {}))}
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{config} is damaged: {remedy}") from None
