"""Collects the metrics of finished runs, and computes the mean and spread over the seeds."""

import csv
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbseg.experiments.job_queue import RECORD
from nbseg.experiments.row_runs import RowRun
from nbseg.experiments.tables import Row, Table
from nbseg.files import replacing


@dataclass(frozen=True)
class RowResult:
    """Holds the values of one metric in one row of a table.

    Attributes:
        row: the row.
        metric: key of the metric in metrics.json, for example ``segm_mAP``.
        values: the metric's value in percent, by seed; empty if no run has finished.
        iterations: training lengths of the finished runs in iterations, without duplicates,
            ascending.
        seconds: time of a training iteration in seconds, mean over the seeds; None if unknown.
        trained: whether the row has runs. A row without runs only quotes the paper's values.
    """

    row: Row
    metric: str
    values: dict[int, float]
    iterations: tuple[int, ...]
    seconds: float | None = None
    trained: bool = True

    @property
    def mean(self) -> float:
        """Return the mean over the seeds; ``values`` must not be empty."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """Return the sample standard deviation; None for fewer than two seeds."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value; ``values`` must not be empty."""
        return min(self.values.values()), max(self.values.values())


def collect(
    table: Table, rows: Sequence[Row], row_runs: Sequence[RowRun], work_dir: Path
) -> list[RowResult]:
    """Return a result for each row and metric, in the order of the rows.

    If no run of a row has finished, the row's results have no values.

    Args:
        table: the table, which names the metrics.
        rows: rows of the table.
        row_runs: the runs of these rows for all seeds.
        work_dir: work directory of all runs.
    """
    results = []
    for row in rows:
        of_row = [row_run for row_run in row_runs if row_run.row is row]
        metrics = {r.seed: r.run.metrics(work_dir, r.stage) for r in of_row}
        lengths = {r.run.iterations(work_dir, r.stage) for r in of_row}
        iterations = tuple(sorted(length for length in lengths if length is not None))
        times = [r.run.seconds(work_dir, r.stage) for r in of_row if metrics[r.seed]]
        known = [time for time in times if time is not None]
        seconds = statistics.fmean(known) if known else None
        for metric in table.metrics:
            values = {s: 100 * found[metric] for s, found in metrics.items() if metric in found}
            results.append(RowResult(row, metric, values, iterations, seconds, bool(of_row)))
    return results


def run_records(row_runs: Iterable[RowRun], work_dir: Path) -> list[dict[str, str]]:
    """Return a dictionary with the keys command, date and machine for each finished run."""
    finished = [row_run.run for row_run in row_runs if row_run.run.finished(work_dir)]
    paths = [work_dir / run.folder / RECORD for run in finished]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def write_csv(results: Iterable[RowResult], seeds: Sequence[int], out: Path) -> None:
    """Write a CSV with one line for each metric of each table row.

    The metrics are in percent, and the time of an iteration is in seconds. Unknown values are
    empty.
    """
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["row", "title", "percent_labeled", "metric"]
            + ["mean", "std", "min", "max"]
            + [f"seed_{seed}" for seed in seeds]
            + ["paper", "seconds_per_iteration"]
        )
        for result in results:
            spread: list[float | str | None] = ["", "", "", ""]
            if result.values:
                spread = [result.mean, result.deviation, *result.range]
            row = result.row
            writer.writerow(
                [row.name, row.title, row.percent, result.metric, *spread]
                + [result.values.get(seed, "") for seed in seeds]
                + [row.published.get(result.metric, "")]
                + ["" if result.seconds is None else result.seconds]
            )
