"""Draw curves of mask quality, such as Fig. 3 of the Noisy Boundaries paper; write them as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nbseg.analysis.map_curves import Example
from nbseg.analysis.model_noise import ModelCurves
from nbseg.files import replacing
from nbseg.visualization.colors import PALETTE

Points = Mapping[str, Sequence[Any]]  # by model name: the points of a curve, as dataclasses

# Light yellow is hard to read on white, so it comes last.
COLORS = [tuple(PALETTE[i][::-1] / 255) for i in (6, 5, 2, 0, 4, 1, 3)]
# After the last color, the colors start again with the next dash pattern.
DASHES = ["-", "--", ":", "-."]


def write_figures(curves: dict[str, ModelCurves], out: str | Path) -> list[Path]:
    """Write the figures of ``tools/analyze.py noise`` as PNG, and their curves as CSV.

    These figures are written as ``.png`` and ``.csv``:

    - ``fig3a`` and ``fig3b``: Fig. 3 of the Noisy Boundaries paper
    - ``errors``: share of wrong pixels by distance to the true boundary
    - ``recall``: share of true instances found by required mask IoU
    - ``fig6b`` and ``fig6c``: curves of Fig. 6 of the paper, if a model has soft masks
    - ``calibration``: reliability of the probabilities, if a model has soft masks

    If a model has soft masks, ``fig6a.png`` and ``calibration_foreground.csv`` are also written.

    Args:
        curves: curves by model name; at least one model.
        out: folder to write to.

    Returns:
        Paths of the written files.
    """
    out = Path(out)
    written = []
    figures: list[tuple[str, Callable[[Points], Figure], Points]] = [
        ("fig3a", accuracy_figure, {n: c.accuracy_by_distance.points() for n, c in curves.items()}),
        ("fig3b", size_figure, {n: c.iou_by_size.points() for n, c in curves.items()}),
        ("errors", error_figure, {n: c.error_by_distance.points() for n, c in curves.items()}),
        ("recall", recall_figure, {n: c.recall_by_iou.points() for n, c in curves.items()}),
    ]
    maps = {name: c.boundary_map for name, c in curves.items() if c.boundary_map}
    if maps:
        figures += [
            ("fig6b", distance_figure, {n: curve.map_by_distance() for n, curve in maps.items()}),
            ("fig6c", map_figure, {n: curve.accuracy_by_map() for n, curve in maps.items()}),
        ]
        examples = {name: curve.examples for name, curve in maps.items()}
        written += [write_png(example_figure(examples), out / "fig6a.png")]
    for name, draw, points in figures:
        written += [write_png(draw(points), out / f"{name}.png")]
        written += [write_csv(points, out / f"{name}.csv")]
    soft = {name: c.reliability for name, c in curves.items() if c.reliability}
    if soft:
        bins = {name: reliability.bins() for name, reliability in soft.items()}
        foreground = {name: reliability.foreground() for name, reliability in soft.items()}
        written += [
            write_png(reliability_figure(bins, foreground), out / "calibration.png"),
            write_csv(bins, out / "calibration.csv"),
            write_csv(foreground, out / "calibration_foreground.csv"),
        ]
    return written


def accuracy_figure(points: Points) -> Figure:
    """Return a plot of pixel accuracy by distance to the boundary (Noisy Boundaries, Fig. 3a).

    Args:
        points: by model name, the curve that ``AccuracyByDistance.points`` returns.
    """
    figure, (axes,) = _figure("Fig. 3a: pixel accuracy by distance to the boundary")
    _draw(axes, points, lambda p: (p.low + p.high) / 2, lambda p: p.accuracy, marker="o")
    axes.set(xlabel="distance to the true boundary / √(box area)", ylabel="pixel accuracy")
    axes.set_ylim(top=1.005)
    return figure


def size_figure(points: Points) -> Figure:
    """Return a plot of mask IoU and boundary IoU by mask size (Noisy Boundaries, Fig. 3b).

    Args:
        points: by model name, the curve that ``IoUBySize.points`` returns.
    """
    figure, axes = _figure("Fig. 3b: IoU by mask size", 2)
    sizes = [point.size for point in next(iter(points.values()))]
    for panel, key, label in zip(
        axes, ("mask_iou", "boundary_iou"), ("mask IoU", "boundary IoU"), strict=True
    ):
        _draw(panel, points, lambda p: p.size, attrgetter(key), marker="o")
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, [f"{size}²" for size in sizes])
        panel.minorticks_off()
        panel.set(xlabel="mask size", ylabel=f"mean {label}")
    # Give both panels the same scale, so that they can be compared.
    low = min(panel.get_ylim()[0] for panel in axes)
    for panel in axes:
        panel.set_ylim(low, 1.01)
    return figure


def example_figure(examples: Mapping[str, Sequence[Example]]) -> Figure:
    """Return pictures of soft masks and their boundary-preserving maps (Noisy Boundaries, Fig. 6a).

    Each model has two rows of panels. The upper row shows the soft masks, and the lower row shows
    the map of each soft mask. The outline of the true mask is drawn on both. If a model has fewer
    examples than another model, its last panels stay empty.

    Args:
        examples: the examples of each model by model name.
    """
    columns = max(map(len, examples.values()), default=0) or 1
    figure = Figure(figsize=(2 * columns + 1, 4.4 * len(examples)), layout="constrained")
    figure.suptitle("Fig. 6a: soft masks, their maps, and true outlines", fontsize=11)
    panels = figure.subplots(2 * len(examples), columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for row, (name, of_model) in enumerate(examples.items()):
        for column, example in enumerate(of_model):
            pair = panels[2 * row : 2 * row + 2, column]
            for panel, image in zip(pair, (example.soft_mask, example.map), strict=True):
                panel.imshow(image, cmap="magma", vmin=0, vmax=max(1.0, float(image.max())))
                if 0 < example.true.mean() < 1:
                    panel.contour(example.true, levels=[0.5], colors="w", linewidths=1)
        panels[2 * row, 0].set_title(name, fontsize=9, loc="left")
    return figure


def distance_figure(points: Points) -> Figure:
    """Return a plot of the mean boundary-preserving map by distance (Noisy Boundaries, Fig. 6b).

    The distance of a soft mask's cell is measured to the boundary of the predicted mask.

    Args:
        points: by model name, the curve that ``MapCurves.map_by_distance`` returns.
    """
    figure, (axes,) = _figure("Fig. 6b: map by distance to the boundary")
    _draw(axes, points, lambda p: (p.low + p.high) / 2, lambda p: p.value, marker="o")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="cells from the predicted boundary", ylabel="mean |∇²p|")
    axes.set_ylim(bottom=0)
    return figure


def map_figure(points: Points) -> Figure:
    """Return a plot of the accuracy of soft-mask cells by map value (Noisy Boundaries, Fig. 6c).

    Args:
        points: by model name, the curve that ``MapCurves.accuracy_by_map`` returns.
    """
    figure, (axes,) = _figure("Fig. 6c: cell accuracy by map")
    _draw(axes, points, lambda p: p.low, lambda p: p.accuracy, marker="o")
    axes.set(xlabel="|∇²p| (lower end of the bin)", ylabel="accuracy")
    axes.set_ylim(top=1.005)
    return figure


def error_figure(points: Points) -> Figure:
    """Return a plot of the share of wrong pixels by distance to the true boundary.

    Distances are negative inside the object.

    Args:
        points: by model name, the curve that ``ErrorByDistance.points`` returns.
    """
    figure, (axes,) = _figure("wrong pixels by distance to the boundary")
    _draw(axes, points, lambda p: (p.low + p.high) / 2, lambda p: p.error, marker="o")
    axes.xaxis.set_major_locator(MaxNLocator(11, integer=True))
    axes.axvline(0, color="0.6", linewidth=1, zorder=0)
    axes.set(xlabel="← inside    pixels from the true boundary    outside →", ylabel="wrong pixels")
    axes.set_ylim(bottom=0)
    return figure


def recall_figure(points: Points) -> Figure:
    """Return a plot of the share of true instances found by required mask IoU.

    Args:
        points: by model name, the curve that ``RecallByIoU.points`` returns.
    """
    figure, (axes,) = _figure("true instances found by required mask IoU")
    _draw(axes, points, lambda p: p.mask_iou, lambda p: p.recall)
    axes.set(xlabel="required mask IoU", ylabel="true instances found", xlim=(0.5, 1))
    axes.set_ylim(bottom=0)
    return figure


def reliability_figure(bins: Points, foreground: Points) -> Figure:
    """Return a figure with two panels that compare soft masks with the truth.

    The left panel shows the share of true foreground by predicted probability. The right panel
    shows the share of predicted foreground by pixel threshold, which is the lowest probability of a
    foreground cell. A dotted line shows the share of true foreground.

    Args:
        bins: by model name, the result of ``SoftMaskReliability.bins`` for the left panel.
        foreground: by model name, the result of ``SoftMaskReliability.foreground`` for the right
            panel.
    """
    figure, (left, right) = _figure("soft masks against the truth", 2)
    left.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=0)
    _draw(left, bins, lambda p: p.probability, lambda p: p.foreground, marker="o")
    left.set(xlabel="predicted probability", ylabel="true foreground", xlim=(0, 1), ylim=(0, 1))
    _draw(right, foreground, lambda p: p.threshold, lambda p: p.foreground)
    for line, points in zip(right.get_lines(), foreground.values(), strict=True):
        if points[0].true_foreground is not None:
            right.axhline(points[0].true_foreground, color=line.get_color(), linestyle=":")
    right.set(
        xlabel="pixel threshold (dotted: the truth)",
        ylabel="foreground inside the boxes",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    return figure


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG to ``path``, and return ``path``."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path


def write_csv(points: Points, path: Path) -> Path:
    """Write a CSV with one row for each point of each model's curve, and return ``path``.

    The first column is the model's name. The other columns are the attributes of the points. None
    becomes an empty cell.

    Args:
        points: by model name, the points of the curve as dataclasses of the same class.
        path: the CSV to write.
    """
    rows = [{"model": name, **asdict(point)} for name, curve in points.items() for point in curve]
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def _figure(title: str, panels: int = 1) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(6.4 if panels == 1 else 9.6, 4), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for panel in axes:
        panel.yaxis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g}%")
        panel.grid(color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw(
    axes: Axes,
    points: Points,
    x: Callable[[Any], float],
    y: Callable[[Any], float | None],
    marker: str = "",
) -> None:
    """Draw one line per model; points whose y is None are left out.

    If there are several models, a legend is drawn, too.
    """
    for i, (name, curve) in enumerate(points.items()):
        known = [(x(point), y_known) for point in curve if (y_known := y(point)) is not None]
        axes.plot(
            [a for a, _ in known],
            [b for _, b in known],
            color=COLORS[i % len(COLORS)],
            linestyle=DASHES[i // len(COLORS) % len(DASHES)],
            marker=marker,
            markersize=4,
            label=name,
        )
    if len(points) > 1:
        axes.legend(frameon=False)
