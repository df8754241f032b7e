"""The official GPU logs of 2021, replayed: drawn as they were drawn, decided as they were decided.

The code that wrote them is older than the published one, which the library follows: the second supernet, for
TE-NAS, had no place in the random stream yet, and each decision took a minibatch of its own after the one
whose scores were logged. So what is random is drawn here; supernet, images and scores are the library's.
"""

from pathlib import Path
from typing import Any

import torch

from foresight_ext.images.batches import Images, draw_pass
from foresight_ext.images.datasets import Request, load
from foresight_ext.measures import PROXIES
from foresight_ext.randomness import RandomStreams
from foresight_ext.search.scoring import operation_scores
from foresight_ext.supernets.supernet import decide, softmax_mixing
from nasbench201.genotype import EDGES, OPERATIONS
from nasbench201.space import NASBench201Space

FILE = "nasbench201_gpu_logs.json"


def in_original_order(place: Path, class_folders: Path, order: Path) -> Images:
    """CIFAR-10's training images, from JPEG class folders, in the original order; `place` gets links."""
    (place / "train").symlink_to(class_folders / "train")
    (place / "train.txt").symlink_to(order)
    return load("folder", Request(place, workers=2))


class Replay:
    """One of the logged runs. At every step the edges before it are decided as they were logged."""

    def __init__(self, run: dict[str, Any], images: Images):
        self.steps = run["steps"]
        self._images = images
        with RandomStreams(run["settings"]["seed"]).torch():
            self._supernet = NASBench201Space().build_supernet(images.classes)
            self._mixings = [softmax_mixing(1e-3 * torch.randn(len(EDGES), len(OPERATIONS)))]
            passes = [
                draw_pass(len(images) // 2, run["settings"]["batch_size"], images.augmentation)
                for _ in range(2 * len(self.steps))
            ]
            self._minibatches = [next(one) for one in passes]  # each is the first of a pass of its own
        for step in self.steps:
            self._mixings.append(decide(self._mixings[-1], step["edge_index"], step["chosen_op"]))

    def table(self, step: int) -> list[list[float]]:
        """Our scores where the log has its own: a row for each edge that is undecided before the step."""
        return self._scores(step, self.steps[step]["row_edges"], 2 * step)

    def deciding(self, step: int) -> list[float]:
        """Our scores of the operations of the step's edge on the minibatch that decided it."""
        [row] = self._scores(step, [self.steps[step]["edge_index"]], 2 * step + 1)
        return row

    def _scores(self, step: int, edges: list[int], minibatch: int) -> list[list[float]]:
        batch = self._images.render(self._minibatches[minibatch], torch.device("cpu"))
        found = operation_scores(PROXIES.get("jacob"), self._supernet, self._mixings[step], edges, batch)
        return [found[edge] for edge in edges]


def margin(scores: list[float]) -> float:
    """How far the lowest score lies below the second lowest."""
    lowest, second = sorted(scores)[:2]
    return second - lowest
