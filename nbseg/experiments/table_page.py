"""Writes a table of measured values as Markdown and as a plot, next to the paper's values."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nbseg.experiments.paper_figures import PAPER
from nbseg.experiments.results import RowResult
from nbseg.experiments.tables import METRICS, Table
from nbseg.files import replacing

MEASURED_ON = {
    "small": " at small scale, on generated images",
    "nuclei": " at small scale, on microscope images",
    "paper": "",
}
MAPS: dict[str | None, str] = {
    None: "",
    "replicate": "✓",
    "zeros": "zeros",
    "distance": "distance",
    "released": "released",
}


def heading(table: Table, scale: str) -> str:
    """Return the title of a table's section and plot.

    If ``scale`` is ``small`` or ``nuclei``, the title also says which images were used.
    """
    return f"Table {table.number}{MEASURED_ON[scale]}: {table.title}"


def markdown(
    title: str,
    table: Table,
    results: Sequence[RowResult],
    description: Sequence[str],
    commands: Sequence[str],
    plot: str,
) -> str:
    """Return the section of a table: description, commands, the table, notes and the plot.

    Args:
        title: the return value of ``heading``.
        table: the table.
        results: the return value of ``collect``.
        description: lines on data, machine and date.
        commands: the commands that produced the measured values.
        plot: file name of the plot.
    """
    metrics = table.metrics
    titles = ["row", "labeled", "DA", "NTM", "BPM", "§"]
    titles += ["iterations", "s per iteration", "seeds"]
    for metric in metrics:
        titles += [f"{METRICS[metric]}, measured", "min to max", "paper (quoted)"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for start in range(0, len(results), len(metrics)):
        lines.append(f"| {' | '.join(_cells(results[start : start + len(metrics)]))} |")
    return "\n".join(
        [
            f"## {title}",
            "",
            *description,
            "",
            *(f"    {command}" for command in commands),
            "",
            *lines,
            "",
            "AP in percent. A measured value is the mean over the seeds ± the sample standard "
            "deviation. The time of an iteration is the median over a training, and the mean over "
            "the seeds; parallel trainings slow each other down. Rows without a measured value "
            f"were not run. The paper's values are quoted from {PAPER}; rows without such a value "
            "are not in the paper. DA means strong augmentation, NTM the noise-tolerant mask head, "
            "BPM the boundary-preserving map, and § softmax focal loss.",
            "",
            f"![{title}]({plot})",
            "",
        ]
    )


def describe_runs(scale: str, records: Sequence[dict[str, str]]) -> list[str]:
    """Return lines on the scale, the machine and the dates of the finished runs.

    Args:
        scale: ``small``, ``nuclei`` or ``paper``.
        records: the return value of ``run_records``.
    """
    if scale == "small":
        lines = [
            "Small scale: generated images and a small network, trained from scratch. If the "
            "paper labels a part of the images, a tenth of that part is labeled (in table 3, a "
            "fifteenth): 20% means 20 of 1000 images. Each row uses the same parts of the method "
            "as in the paper, but the values cannot be compared with the paper's values. Students "
            "start from the teacher's weights; supervised rows train as long as teacher and "
            "student together."
        ]
    elif scale == "nuclei":
        lines = [
            "Microscope images of nuclei, and a MobileNetV2 with ImageNet weights. A quarter of "
            "the paper's percentage is labeled: 20% means 5%, nine of 193 images. The values "
            "cannot be compared with the paper's values. Students start from the teacher's "
            "weights; supervised rows train as long as teacher and student together."
        ]
    else:
        lines = ["The paper's scale and data set. A supervised row trains as long as a teacher."]
    dates = sorted({record["date"] for record in records})
    if dates:
        machines = "; ".join(sorted({record["machine"] for record in records}))
        lines.append(f"{machines}; {' to '.join(dict.fromkeys((dates[0], dates[-1])))}.")
    return lines


def _cells(results: Sequence[RowResult]) -> list[str]:
    row = results[0].row
    cells = [
        row.title,
        f"{row.percent:g}%",
        "✓" if row.strong else "",
        "✓" if row.ntm else "",
        MAPS[row.bpm],
        "✓" if row.focal else "",
        ", ".join(map(str, results[0].iterations)),
        "" if results[0].seconds is None else f"{results[0].seconds:.2f}",
        str(len(results[0].values)) if results[0].trained else "quoted only",
    ]
    for result in results:
        paper = row.published.get(result.metric)
        cells += [*_spread(result), "" if paper is None else f"{paper:.1f}"]
    return cells


def _spread(result: RowResult) -> tuple[str, str]:
    if not result.values:
        return "", ""
    deviation = "" if result.deviation is None else f" ± {result.deviation:.1f}"
    return f"{result.mean:.1f}{deviation}", "{:.1f} to {:.1f}".format(*result.range)


def write_plot(title: str, table: Table, results: Sequence[RowResult], out: Path) -> None:
    """Write a plot with one panel per metric.

    A panel shows each row's value for each seed, their mean and range, and the paper's value.

    Args:
        title: the return value of ``heading``.
        table: the table.
        results: the return value of ``collect``.
        out: image file to write.
    """
    figure = Figure(figsize=(5.5 * len(table.metrics) + 2, 1.4 + 0.3 * len(results)))
    panels = figure.subplots(1, len(table.metrics), squeeze=False, sharey=True)[0]
    for panel, metric in zip(panels, table.metrics, strict=True):
        of_metric = [result for result in results if result.metric == metric]
        for place, result in enumerate(of_metric):
            if result.values:
                panel.hlines(place, *result.range, color="C0", linewidth=3, alpha=0.4)
                seeds = list(result.values.values())
                panel.plot(seeds, [place] * len(seeds), ".", color="C0", markersize=4)
                panel.plot(result.mean, place, "o", color="C0", label="measured")
            if metric in result.row.published:
                panel.plot(result.row.published[metric], place, "x", color="C1", label="paper")
        panel.set_yticks(range(len(of_metric)), [_label(result) for result in of_metric])
        panel.set_ylim(len(of_metric) - 0.5, -0.5)
        panel.set_xlabel(f"{METRICS[metric]} (%)")
        panel.grid(axis="x", alpha=0.3)
        entries = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        if entries:
            panel.legend(entries.values(), entries.keys())
    figure.suptitle(f"{title}\nsmall dots: seeds; lines: range of the seeds", fontsize=10)
    figure.tight_layout()
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=120)


def _label(result: RowResult) -> str:
    return f"{result.row.title}, {result.row.percent:g}%"
