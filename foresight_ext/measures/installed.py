"""Measures of an installed Zero-Cost-NAS (package `foresight`) that this project lacks, as proxies."""

import copy
import importlib
import logging
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.errors import reason
from foresight_ext.functional import BATCH_NORMS, only_logits
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.measures.proxy import Proxy

_log = logging.getLogger(__name__)


class InstalledMeasure(Proxy):
    """A measure of the installed Zero-Cost-NAS on a copy of the network, its values summed."""

    source = "Abdelfattah et al. 2021 (Zero-Cost-NAS), the installed package's own"
    needs_labels = True
    needs_gradients = True

    def __init__(self, measures: ModuleType, name: str):
        self._measures = measures
        self.name = name

    @torch.enable_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        found = self._measures.calc_measure(
            self.name,
            _Prunable(copy.deepcopy(network)),
            batch.inputs.device,
            batch.inputs,
            batch.targets,
            loss_fn=F.cross_entropy,
            split_data=1,
        )
        return _summed(found)


class _Prunable(nn.Module):
    """A network as Zero-Cost-NAS wants it: one output, and copies of itself with or without batch norms."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        return only_logits(self.network, self.network(x))

    def get_prunable_copy(self, bn: bool) -> nn.Module:
        copied = copy.deepcopy(self)
        if not bn:
            for module in copied.modules():
                if isinstance(module, BATCH_NORMS):
                    module.forward = _same  # type: ignore[assignment, method-assign]  # this one's alone
        return copied


def _same(x: Tensor) -> Tensor:
    return x


def _summed(found: Any) -> float:
    if isinstance(found, (list, tuple)):
        return sum(_summed(one) for one in found)
    return float(found.sum()) if isinstance(found, Tensor) else float(found)


def _measures() -> ModuleType | None:
    """The package's measures; None if it does not load."""
    try:
        return importlib.import_module("foresight.pruners.measures")
    except ImportError as error:
        _log.warning("the installed Zero-Cost-NAS does not load: %s", reason(error))
        return None


_found = _measures()
if _found is not None:
    for _name in _found.available_measures:
        if _name not in PROXIES:
            PROXIES.register(
                _name, InstalledMeasure(_found, _name), "a measure of the installed Zero-Cost-NAS"
            )
