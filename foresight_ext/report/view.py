"""What the page shows of one run, as plain values for the template."""

import base64
import math
from collections.abc import Mapping
from typing import Any

from foresight_ext.report.heatmap import HeatMap, heat_map
from foresight_ext.report.networks import networks
from foresight_ext.report.reading import SCORES, Run, Training
from foresight_ext.search import BENCHMARKS


def view(run: Run, label: str, squares: int) -> dict[str, Any]:
    """What the template shows of a run, under a label; its heat maps may have so many squares in all."""
    known: Mapping[str, Mapping[str, float]] = {}
    if (run.pool or run.best) and run.space in BENCHMARKS:
        known = BENCHMARKS.get(run.space)(run.benchmark)
    here = {name: value for name, value in run.summary.accuracy.items() if run.best in known.get(name, {})}
    distributions = []
    if here:
        from foresight_ext.report.charts import distribution

        for name, accuracy in here.items():
            picture = distribution(name, list(known[name].values()), accuracy)
            alt = f"Test accuracies of all architectures on {name}, and a line at {accuracy:.2f}%"
            distributions.append((alt, _uri(picture)))
    return {
        "label": label,
        "space": run.space,
        "state": _state(run),
        "finished": all(stage.finished for stage in run.stages),
        "stages": run.stages,
        "timed": bool(run.stages) or not run.tables,  # tables of several runs took no time of their own
        "seconds": sum(stage.seconds for stage in run.stages),
        "best": run.best or run.settings.get("genotype"),
        "costs": {name: f"{size:,.0f}" for name, size in run.summary.sizes.items()}
        | {name: f"{cost:,.6g}" for name, cost in run.summary.measured.items()},
        "answer": _answer(run, known),
        "distributions": distributions,
        "drawings": [
            (_described(name, run), _uri(picture, kind)) for name, (kind, picture) in run.drawings.items()
        ],
        "tables": run.tables,
        "networks": networks(run, known),
        "maps": _maps(run, squares),
        "members": len(run.members),
        "training": None if run.training is None else _training(run.training),
    }


def _described(name: str, run: Run) -> str:
    """What a picture shows, in words."""
    if not run.tables:
        return f"Drawing of the {name}: {run.best or ''}"
    file = run.path / f"{name}.csv"
    return f"Chart of the {name}: its numbers are in {file.name if file.is_file() else 'the tables'}"


def _uri(picture: bytes, kind: str = "svg+xml") -> str:
    """A picture inside the page: what it holds can't clash with another one's ids, and runs no script."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _state(run: Run) -> str:
    """How far a run is. Which stages were asked for is not known: those that were begun are told."""
    if left := [f"{stage.name}, {stage.done}" for stage in run.stages if not stage.finished]:
        return f"unfinished: {'; '.join(left)}"
    if ended := [stage.name for stage in run.stages if stage.name not in SCORES.values()]:
        return f"finished: {', '.join(ended)}"
    if run.tables:
        return "what was computed so far"
    return "finished" if run.best is not None else "nothing was computed so far"


def _answer(run: Run, known: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """What the benchmark said of the winner, by data set."""
    rows = []
    for name, accuracy in run.summary.accuracy.items():
        rank, values = run.summary.rank.get(name), known.get(name, {})
        told = {"dataset": name, "accuracy": f"{accuracy:.2f}", "rank": f"{rank:,}" if rank else "–"}
        if run.best in values:
            told |= {"of": f"{len(values):,}", "below": f"{max(values.values()) - accuracy:.2f}"}
        rows.append(told)
    return rows


def _maps(run: Run, squares: int) -> list[HeatMap]:
    """Heat maps of as many discretisations as have no more squares in all; one at least."""
    maps: list[HeatMap] = []
    for number, decided in run.members.items():
        scored = sum(len(one.scores) for one in decided if one.scores is not None)
        squares -= scored
        if squares < 0 and maps:
            break
        if scored:
            maps.append(heat_map(number, decided, run.choices))
    return maps


def _training(training: Training) -> dict[str, Any]:
    """What the template shows of a training."""
    epochs, result = training.epochs, training.result
    judged = "test" if training.settings.get("protocol") == "official" else "held_out"
    name = judged.replace("_", "-")
    fast = bool(training.settings.get("fast"))
    shown: dict[str, Any] = {"pictures": [], "facts": [], "trained": "", "fast": fast}
    if epochs:
        from foresight_ext.report.charts import curves

        for what, unit, picture in zip(("loss", "accuracy"), ("", "%"), curves(epochs, judged)):
            first, last = (entry.get(f"{judged}_{what}", math.nan) for entry in (epochs[0], epochs[-1]))
            alt = f"{what} of {len(epochs)} epochs: {name} from {first:.4g}{unit} to {last:.4g}{unit}"
            shown["pictures"].append((alt, _uri(picture)))
        shown["facts"] = [("epochs", f"{len(epochs)} of {training.settings['epochs']}")]
    if result is not None:
        accuracy = result["test_accuracy"]
        chosen = f"after epoch {result['best_epoch']}, the best by {result['best_epoch_chosen_by']}"
        shown["trained"] = f"{accuracy['best']:.2f}% test accuracy {chosen}"
        shown["facts"] += [
            ("test accuracy after the last epoch", f"{accuracy['last']:.2f}%"),
            (f"test accuracy {chosen}", f"{accuracy['best']:.2f}%"),
            ("protocol", str(result["protocol"])),
        ]
        if "parameters" in result:
            shown["facts"].append(("parameters", f"{int(result['parameters']):,}"))
    elif epochs:
        shown["facts"].append((f"{name} accuracy so far", f"{last:.2f}%"))
    return shown
