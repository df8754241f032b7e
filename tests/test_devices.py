"""The choice of a device, on machines with any number of GPUs that are not there."""

import random
import subprocess
import sys
from types import SimpleNamespace

import gpustat
import numpy as np
import pytest
import torch

from foresight_ext import discretise, find_measures
from foresight_ext.devices import choose_device, exact_arithmetic, threads_set
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES, Proxy
from foresight_ext.measures.proxy import network_score
from foresight_ext.randomness import seed_everything
from nasbench201.networks_proposal import main
from nasbench201.supernet import NASBench201Supernet
from tests import PROJECT_ROOT

GIB = 2**10  # gpustat counts MiB


def gpu(uuid, used, total=16 * GIB):
    return SimpleNamespace(uuid=f"GPU-{uuid}", memory_used=used, memory_total=total)


@pytest.fixture
def machine(monkeypatch):
    """Call it with the uuids of the GPUs that PyTorch sees and with what gpustat reports (or raises)."""

    def set_up(uuids=(), report=()):
        def query():
            if isinstance(report, Exception):
                raise report
            return iter(report)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index])
        )
        monkeypatch.setattr(gpustat, "new_query", query)

    return set_up


def chosen(device, gpu="auto"):
    """The device as text, and the reason."""
    found, why = choose_device(device, gpu)
    return str(found), why


def test_without_a_gpu_auto_means_the_cpu(machine):
    machine()
    assert chosen("auto") == ("cpu", "the CPU (PyTorch sees no GPU)")
    assert chosen("cpu") == ("cpu", "the CPU")


def test_cpu_is_taken_though_there_are_gpus(machine):
    machine(["a", "b"])
    assert chosen("cpu") == ("cpu", "the CPU")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_auto_takes_the_gpu_with_the_lowest_share_of_used_memory(machine, device):
    # b has the most free memory, c the lowest share in use
    machine(["a", "b", "c"], [gpu("a", 8 * GIB), gpu("b", 20 * GIB, 80 * GIB), gpu("c", 2 * GIB)])
    assert chosen(device) == ("cuda:2", "GPU 2 (12% of its memory in use)")


def test_gpus_are_matched_by_uuid_not_by_gpustats_numbers(machine):
    # as with CUDA_VISIBLE_DEVICES=3,1: PyTorch sees two of gpustat's four, the other way round
    report = [gpu("zero", 0), gpu("one", 8 * GIB), gpu("two", 0), gpu("three", 1 * GIB)]
    machine(["three", "one"], report)
    assert chosen("auto") == ("cuda:0", "GPU 0 (6% of its memory in use)")
    machine(["one", "three"], report)
    assert chosen("auto") == ("cuda:1", "GPU 1 (6% of its memory in use)")


def test_the_first_of_equals_is_taken(machine):
    machine(["a", "b"], [gpu("b", 1 * GIB), gpu("a", 1 * GIB)])
    assert chosen("auto")[0] == "cuda:0"


@pytest.mark.parametrize("report", [RuntimeError("NVML is not there"), OSError("no driver"), []])
def test_without_gpustats_answer_the_first_gpu_is_taken_and_that_is_said(machine, report):
    machine(["a", "b"], report)
    assert chosen("auto") == ("cuda:0", "GPU 0 (how much of its memory is in use is unknown)")


def test_a_gpu_that_gpustat_does_not_know_counts_as_free(machine):
    machine(["a", "MIG-b"], [gpu("a", 8 * GIB)])
    assert chosen("auto")[0] == "cuda:1"


def test_an_old_pytorch_without_uuids(machine, monkeypatch):
    machine(["a"], [gpu("a", 1 * GIB)])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace())
    assert chosen("auto") == ("cuda:0", "GPU 0 (how much of its memory is in use is unknown)")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_an_index_is_taken_as_it_is(machine, device):
    machine(["a", "b"], AssertionError("gpustat is not asked"))
    assert chosen(device, "1") == ("cuda:1", "GPU 1")


MISTAKES = [
    ("auto", "9", ["a", "b"], "--gpu 9: there is no such GPU: use auto or an index from 0 to 1"),
    ("cuda", "1", ["a"], "--gpu 1: there is no such GPU: use auto or 0"),
    ("cpu", "1", ["a", "b"], "--gpu 1 contradicts --device cpu: leave one of them out"),
    ("cpu", "0", [], "--gpu 0 contradicts --device cpu: leave one of them out"),
    ("cuda", "auto", [], "--device cuda: PyTorch sees no GPU here: use --device cpu or --device auto"),
    ("cuda", "1", [], "--device cuda: PyTorch sees no GPU here: use --device cpu or --device auto"),
    ("auto", "1", [], "--gpu 1: PyTorch sees no GPU here: use --device cpu or --device auto"),
]


@pytest.mark.parametrize("device, index, uuids, message", MISTAKES)
def test_mistakes(machine, device, index, uuids, message, tmp_path, capsys):
    machine(uuids)
    with pytest.raises(UserError) as error:
        choose_device(device, index)
    assert str(error.value) == message
    arguments = ["--dataset=digits", f"--device={device}", f"--gpu={index}", f"--out={tmp_path / 'out'}"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def float32_settings():
    """PyTorch's settings of float32 are put back."""
    cudnn, before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.allow_tf32 = cudnn
    torch.set_float32_matmul_precision(before)


def told():
    """What PyTorch may round float32 to."""
    backends = torch.backends
    return backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()


EXACT = (False, False, "highest")


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_exact_arithmetic_puts_back_what_the_caller_had_set(float32_settings, precision):
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision(precision)
    before = told()
    with exact_arithmetic():
        assert told() == EXACT
    assert told() == before
    with pytest.raises(ZeroDivisionError), exact_arithmetic():
        raise ZeroDivisionError
    assert told() == before


def test_exact_arithmetic_under_pytorchs_newer_settings():
    """In a process of its own: once they are set, the older ones can't be read any more."""
    code = """
import torch
from foresight_ext.devices import exact_arithmetic
backends = torch.backends
if not hasattr(backends.cudnn, "conv"):
    raise SystemExit("skip")
holders = backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.matmul
backends.fp32_precision = "tf32"
with exact_arithmetic():
    print(*(holder.fp32_precision for holder in holders))
print(*(holder.fp32_precision for holder in holders))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True)
    if done.stderr == "skip\n":
        pytest.skip("this PyTorch has the older settings only")
    assert (done.stdout, done.stderr) == ("ieee ieee ieee\ntf32 tf32 tf32\n", "")


class Peeking(Proxy):
    """Tells how exactly it is computed, as a score: 1 for exactly."""

    name = source = "peeking"

    def score(self, network, batch):
        return float(told() == EXACT)


def test_every_scoring_entry_is_exact(float32_settings, monkeypatch):
    monkeypatch.setitem(PROXIES._entries, "peeking", Peeking())
    monkeypatch.setitem(PROXIES._lines, "peeking", "")
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    network, pair = torch.nn.Linear(2, 2), (torch.zeros(3, 2), torch.zeros(3))
    assert find_measures(network, [pair], ("random", 1, 2), "cpu", measure_names=["peeking"]) == {
        "peeking": 1
    }
    assert network_score(Peeking(), network, Batch(*pair)) == 1
    supernet = NASBench201Supernet(1, 1, 2)
    found = discretise(supernet, "peeking", [(torch.zeros(2, 3, 8, 8), torch.zeros(2))])
    assert {score for decision in found.decisions for score in decision.scores} == {1}
    assert told() == (True, True, "high")


def test_threads_are_set_for_a_while():
    threads = torch.get_num_threads()
    with threads_set(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
    with threads_set(None):
        assert torch.get_num_threads() == threads


@pytest.mark.parametrize("accelerator", [False, True])
def test_streams_start_as_pytorch_starts_them(monkeypatch, accelerator):
    """Those of devices too, where there are any; where there are none nothing is noted for them."""
    seeded, start = [], torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeded.append(seed) or start(seed))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    seed_everything(7)
    found = torch.rand(3), random.random(), np.random.rand()
    assert seeded == [7] * accelerator
    start(7)
    assert torch.equal(found[0], torch.rand(3))
    assert found[1:] == (random.Random(7).random(), np.random.RandomState(7).rand())
