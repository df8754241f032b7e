"""The validation stage of a run: a pool's distinct networks over all minibatches, and the winner."""

import logging
import math
from collections.abc import Iterator
from contextlib import closing

from foresight_ext.devices import Compute
from foresight_ext.drawing import drawing_image
from foresight_ext.errors import UserError
from foresight_ext.measures.watching import Unusable
from foresight_ext.runs.board import tensorboard
from foresight_ext.runs.progress import Progress
from foresight_ext.search.choosing import NoScore
from foresight_ext.search.journal import written_row
from foresight_ext.search.stage import Clock, Stage, counted
from foresight_ext.search.validation import Row, ValidationWork, best_genotype, combined, summed

_log = logging.getLogger(__name__)


def validate_pool(stage: Stage, pool: list[str], done: dict[str, list[Row]]) -> tuple[str, dict[str, Row]]:
    """The winner, and the summed scores of each distinct genotype.

    `done` has the rows of each distinct genotype that the run's journal holds; what is missing is computed,
    and added to both. UserError for what can't be scored.
    """
    settings, folder, proxy = stage.settings, stage.folder, stage.proxy
    parts = tuple(part.name for part in proxy.parts)
    journal = folder.journal("validation")
    rounds = _rounds(stage)
    progress = Progress("validation", len(done) * rounds, len(journal.entries))
    if journal.entries:
        _log.info("validation: going on after %d of %d minibatches", progress.done, progress.total)
    else:
        networks = counted(len(done), "distinct network")
        _log.info("validation: %s, %s each", networks, counted(rounds, "minibatch"))
    before = {genotype: len(rows) for genotype, rows in done.items()}

    def left() -> Iterator[tuple[str, int]]:
        return ((one, number) for one in done for number in range(before[one], rounds))

    work = ValidationWork(
        stage.space,
        pool,
        proxy,
        stage.images,
        Compute.of(stage.device),
        settings.seed,
        settings.validate_rounds,
        settings.batch_size,
        stage.data,
    )
    clock, unusable = Clock(), Unusable("validation")
    index = {genotype: number for number, genotype in enumerate(done)}
    results = stage.workers.results(work, left(), folder.path, "minibatches")
    with tensorboard(folder.path) as board, progress, closing(results):

        def show(genotype: str) -> Row:
            row = summed(done[genotype])
            if len(parts) == 1:
                board.add_scalar("pool_scores", row[0], index[genotype])
            return row

        for genotype in done:
            if before[genotype] >= rounds:
                show(genotype)
        for row, (genotype, number) in zip(results, left()):
            for part, score in zip(proxy.parts, row):
                unusable.look_at(part, f"{genotype}, minibatch {number + 1}", score)
            journal.append({"genotype": genotype, **written_row(row, parts), "seconds": clock.lap()})
            progress.step(_told(row, parts))
            done[genotype].append(row)
            if number + 1 == rounds:
                _log.info("validation: %s for %s", _told(show(genotype), parts), genotype)
        sums = {genotype: summed(rows) for genotype, rows in done.items()}
        totals = combined(proxy, sums)
        if len(parts) > 1:  # what compares networks is known once all are scored
            for genotype, total in totals.items():
                board.add_scalar("pool_scores", total, index[genotype])
        unusable.tell()
        try:
            best = best_genotype(totals)
        except NoScore as error:
            raise UserError(f"{proxy.name} in the validation: {error}") from error
        for cell in stage.space.cells(best):
            board.add_image(cell.name, drawing_image(cell), dataformats="HWC")
    return best, sums


def _rounds(stage: Stage) -> int:
    """How many minibatches there are; said where the images are too few for those asked for."""
    asked, size, there = stage.settings.validate_rounds, stage.settings.batch_size, len(stage.data)
    rounds = math.ceil(min(asked * size, there) / size)
    if there < asked * size:
        _log.info(
            "validation: %s of %s would take more than the %d training images: %s hold them all",
            counted(asked, "minibatch"),
            counted(size, "image"),
            there,
            rounds,
        )
    return rounds


def _told(row: Row, parts: tuple[str, ...]) -> str:
    """A network's scores in words."""
    if len(row) > 1:
        return ", ".join(f"{part} {score:.4f}" for part, score in zip(parts, row))
    return f"{row[0]:.4f}"
