"""A baseline in place of a search: the architecture of the most parameters, within limits if any."""

import json
import logging
from pathlib import Path
from typing import Any

from foresight_ext.runs.results import BEST, SUMMARY, damaged, read_own, write_best
from foresight_ext.search.limits import Limits, measured_of
from foresight_ext.search.report import report_baseline
from foresight_ext.search.run import SearchRun

_log = logging.getLogger(__name__)


class LargestRun(SearchRun):
    """In place of a search: its result is the largest architecture, found from what each candidate adds.

    Nothing is scored, so that a run has neither seed nor proxy.
    """

    @property
    def path(self) -> Path:
        return self.place.out / self.space.name / f"{self.place.save}-{self.images.dataset}-max_params"

    def recorded(self) -> dict[str, Any]:
        limits = {"at_most": dict(self.settings.at_most)} if self.settings.at_most else {}
        limits |= self.limited_costs()
        mine = {"search_space": self.space.name, **self.images.settings(), "baseline": "max_params"}
        return {**mine, **limits, **self.space.settings()}

    def run(self) -> str:
        _, why = self.compute.choose()
        path = self.path
        finished = not self.place.force and all((path / name).is_file() for name in (BEST, SUMMARY))
        found = None if finished else self._largest()
        with self.place.open(path, self.recorded(), why) as self.folder:
            if found is None:
                _log.info("finished before, nothing to compute: --force would start afresh")
                [genotype] = read_own(path / BEST)
                sizes = self._sizes_there()
            else:
                self.folder.must_write()
                self.folder.same_data(self.images.root, train=self.data.described())
                genotype, sizes = found
                write_best(path, self.space.name, self.images.dataset, genotype)
            write = not self.folder.read_only
            report_baseline(path, self.space, self.images.dataset, genotype, sizes, self.lookup, write)
        return genotype

    def _largest(self) -> tuple[str, dict[str, float]]:
        """The genotype and its sizes; UserError for limits that no architecture meets."""
        with self.naming_the_option():
            supernet, sizes = self.measurable
            limits = Limits(supernet, sizes, self.settings.at_most, measured=measured_of(self.space))
            mixing = limits.largest("params")
        return self.space.genotype(mixing), dict(sizes(mixing))

    def _sizes_there(self) -> dict[str, float]:
        file = self.path / SUMMARY
        try:
            return {name: float(size) for name, size in json.loads(file.read_text("utf-8"))["sizes"].items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise damaged(file) from None
