"""Benchmark files of four architectures in the authors' own format, and what they hold."""

import json
import os
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from nas_201_api import ArchResults, ResultsCount

from foresight_ext.errors import UserError
from nasbench201.benchmark import BENCHMARKED, Benchmark

SKIP, POOL, CONV, NONE = (
    f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|"
    for op in ("skip_connect", "avg_pool_3x3", "nor_conv_3x3", "none")
)
# architecture -> data set of the authors' file -> seed -> test accuracy after the last epoch
RUNS = {
    CONV: {
        "cifar10": {777: 94.0, 888: 93.0, 999: 92.0},
        "cifar100": {777: 70.0, 888: 71.0},
        "ImageNet16-120": {777: 40.0},
    },
    SKIP: {"cifar10": {777: 93.0}, "cifar100": {888: 70.5}, "ImageNet16-120": {777: 46.5, 888: 47.5}},
    POOL: {
        "cifar10": {777: 80.0, 999: 81.0},
        "cifar100": {777: 60.0, 888: 61.0, 999: 65.0},
        "ImageNet16-120": {777: 41.0},
    },
    NONE: {"cifar10": {777: 10.0}, "cifar100": {777: 1.0}, "ImageNet16-120": {777: 0.8}},
}
# worked out by hand: accuracy, rank, distance to the optimum
EXPECTED = {
    CONV: {"cifar10": (93.0, 1, 0.0), "cifar100": (70.5, 1, 0.0), "imagenet16-120": (40.0, 3, 7.0)},
    SKIP: {"cifar10": (93.0, 1, 0.0), "cifar100": (70.5, 1, 0.0), "imagenet16-120": (47.0, 1, 0.0)},
    POOL: {"cifar10": (80.5, 3, 12.5), "cifar100": (62.0, 3, 8.5), "imagenet16-120": (41.0, 2, 6.0)},
    NONE: {"cifar10": (10.0, 4, 83.0), "cifar100": (1.0, 4, 69.5), "imagenet16-120": (0.8, 4, 46.2)},
}
SETS = {
    "cifar10-valid": ("ori-test", "x-valid"),
    "cifar10": ("ori-test",),
    "cifar100": ("ori-test", "x-valid", "x-test"),
    "ImageNet16-120": ("ori-test", "x-valid", "x-test"),
}
CSV = "arch,cifar10,cifar100\n" + f"{CONV},93,70\n{SKIP},94,71\n"


def arch_state(index, arch, runs, epochs):
    """One architecture's state; every set but the test sets, and every epoch but the last, holds decoys."""
    results = ArchResults(index, arch)
    for dataset, names in SETS.items():
        test = names[-1] if dataset != "cifar10-valid" else None
        for seed, accuracy in runs.get(dataset, {777: 99.0}).items():
            config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10}
            run = ResultsCount(dataset, None, {}, {}, np.float64(1.5), 2.5, config, seed, epochs, [0.01])
            ones = {epoch: np.float32(1) for epoch in range(epochs)}
            run.update_train_info(OrderedDict(ones), ones, ones, ones)
            accuracies = {f"{name}@{epoch}": 99.0 for name in names for epoch in range(epochs)}
            if test:
                accuracies[f"{test}@{epochs - 1}"] = np.float64(accuracy) if seed == 777 else accuracy
            times = defaultdict(float, dict.fromkeys(accuracies, np.float64(0.5)))
            run.update_eval(accuracies, dict.fromkeys(accuracies, 0.1), dict(times))
            results.update(dataset, seed, run)
    return results.state_dict()


def content(runs=RUNS):
    infos = {}
    for index, (arch, by_dataset) in enumerate(runs.items()):
        full = arch_state(index, arch, by_dataset, epochs=3)
        infos[index] = {"full": full, "less": arch_state(index, arch, {}, epochs=1)}
    return {
        "meta_archs": list(runs),
        "arch2infos": OrderedDict(infos),
        "evaluated_indexes": set(infos),
        # kinds of data that other releases hold
        "total_archs": np.int64(len(runs)),
        "extra": defaultdict(list, {"weights": [torch.ones(3), np.arange(2), np.float32(1)]}),
    }


def save(path, runs=RUNS, *, as_zip=True):
    torch.save(content(runs), path, _use_new_zipfile_serialization=as_zip)
    return path


def check_expected(benchmark):
    assert benchmark.datasets == BENCHMARKED
    assert list(benchmark) == list(RUNS)
    assert len(benchmark) == 4
    for arch, answers in EXPECTED.items():
        query = benchmark.query(arch)
        assert json.loads(json.dumps(query)) == query
        for dataset, (accuracy, rank, regret) in answers.items():
            assert benchmark.accuracy(arch, dataset) == pytest.approx(accuracy)
            assert benchmark.rank(arch, dataset) == rank
            assert benchmark.regret(arch, dataset) == pytest.approx(regret)
            assert query[dataset] == {
                "accuracy": benchmark.accuracy(arch, dataset),
                "rank": rank,
                "regret": benchmark.regret(arch, dataset),
                "of": 4,
            }
    assert [benchmark.optimum(name) for name in BENCHMARKED] == pytest.approx([93.0, 70.5, 47.0])


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Unknown:
    """A harmless class that is not on the list."""


def fault_of(path):
    with pytest.raises(UserError) as caught:
        Benchmark.open(path)
    message = str(caught.value)
    assert message.startswith(f"benchmark '{path}' ")
    assert len(message.splitlines()) == 1
    return message
