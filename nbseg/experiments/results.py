"""What the finished runs of a table measured, with the spread over seeds."""

import csv
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbseg.experiments.arms import Arm
from nbseg.experiments.schedule import RECORD
from nbseg.experiments.tables import Row, Table
from nbseg.files import replacing


@dataclass(frozen=True)
class Measured:
    """One metric of one row: percent by seed."""

    row: Row
    metric: str
    values: dict[int, float]
    iterations: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Of the seeds; there must be one."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation; None of fewer than two seeds."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values.values()), max(self.values.values())


def collect(
    table: Table, rows: Sequence[Row], arms: Iterable[Arm], work_dir: Path
) -> list[Measured]:
    """Return what finished runs measured, for each row and metric; it may be nothing."""
    arms = list(arms)
    results = []
    for row in rows:
        own = [arm for arm in arms if arm.row is row]
        metrics = {arm.seed: arm.run.metrics(work_dir, arm.stage) for arm in own}
        iterations = {arm.run.iterations(work_dir, arm.stage) for arm in own} - {None}
        for metric in table.metrics:
            values = {s: 100 * found[metric] for s, found in metrics.items() if metric in found}
            results.append(Measured(row, metric, values, tuple(sorted(iterations))))
    return results


def records(arms: Iterable[Arm], work_dir: Path) -> list[dict[str, str]]:
    """Return machine, date and command of the finished arms."""
    finished = [arm.run for arm in arms if arm.run.finished(work_dir)]
    paths = [work_dir / run.folder / RECORD for run in finished]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def write_csv(results: Iterable[Measured], seeds: Sequence[int], out: Path) -> None:
    """Write a line for each row and metric: percent, empty where there is no value."""
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["row", "title", "percent_labeled", "metric"]
            + ["mean", "std", "min", "max"]
            + [f"seed_{seed}" for seed in seeds]
            + ["paper"]
        )
        for result in results:
            spread = ["", "", "", ""]
            if result.values:
                spread = [result.mean, result.deviation, *result.range]
            row = result.row
            writer.writerow(
                [row.name, row.title, row.percent, result.metric, *spread]
                + [result.values.get(seed, "") for seed in seeds]
                + [row.published.get(result.metric, "")]
            )
