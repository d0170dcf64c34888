"""Draw the figures of the pseudo-label report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from nbseg.analysis.noise_analysis import NoiseAnalysis
from nbseg.analysis.pseudo_report.plots import Plot
from nbseg.analysis.pseudo_report.summary import HISTOGRAM_BINS, ClassSummary, PseudoLabelSummary

MOST_BARS = 30
NOUNS = {"labeled": "labeled images", "pseudo": "pseudo-labeled images"}
PERCENT = [(share, f"{100 * share:g}%") for share in (0, 0.25, 0.5, 0.75, 1)]


def score_figure(summary: ClassSummary) -> Markup:
    """Return an SVG with the histogram of a class's scores.

    The axis of the counts is logarithmic. A vertical line marks the box threshold, which is the
    lowest score of a pseudo-label. If the threshold is unknown, there is no line.
    """
    # Most candidates have low scores. On a linear axis the kept candidates would be invisible.
    heights = [math.log10(1 + count) for count in summary.score_histogram]
    decades = range(max(1, math.ceil(max(heights))) + 1)
    ticks = [(0.0, "0"), *((math.log10(1 + 10**d), f"{10**d:,}") for d in decades)]
    top = max(*heights, math.log10(2)) * 1.08
    ticks = [tick for tick in ticks if tick[0] <= top]
    plot = Plot(
        (0, 1),
        (0, top),
        "score",
        "candidates" if summary.counts_candidates else "pseudo-labels",
        size=(290, 180),
        x_ticks=[(v / 4, f"{v / 4:g}") for v in range(5)],
        # If there are more than 6 powers of ten, label only some of them to save room.
        y_ticks=ticks[:1] + ticks[1 :: 1 + len(ticks) // 6],
    )
    width = 1 / HISTOGRAM_BINS
    threshold = 0.0
    if summary.counts_candidates:
        threshold = math.inf if summary.box_threshold is None else summary.box_threshold
    starts = [i * width for i in range(HISTOGRAM_BINS)]
    kinds = ["pseudo" if start + width / 2 >= threshold else "dropped" for start in starts]
    titles = [
        f"{start:.2f} to {start + width:.2f}: {count}"
        for start, count in zip(starts, summary.score_histogram, strict=True)
    ]
    plot.bars(starts, width, heights, kinds, titles)
    if summary.box_threshold is not None:
        plot.vertical(summary.box_threshold, f"{summary.box_threshold:.2f}", "chosen")
    return plot.svg(f"Scores of {summary.name}")


def counts_figure(summary: PseudoLabelSummary) -> Markup:
    """Return an SVG with the histogram of the number of pseudo-labels in an image.

    The height of a bar is a share of the images. If the labeled images are known, the SVG also has
    the histogram of the number of instances in a labeled image.
    """
    sets = {"labeled": summary.labeled_counts, "pseudo": summary.pseudo_counts}
    images = {name: counts for name, counts in sets.items() if counts is not None}
    longest = max(len(counts) for counts in images.values())
    width = math.ceil(longest / MOST_BARS)
    bins = math.ceil(longest / width)
    shares = {}
    for name, counts in images.items():
        padded = np.pad(counts, (0, bins * width - len(counts)))
        shares[name] = padded.reshape(bins, width).sum(1) / padded.sum()
    ticks = MaxNLocator(12, integer=True, steps=[1, 2, 5, 10]).tick_values(0, longest)
    plot = Plot(
        (-0.5, bins * width - 0.5),
        (0, 1.08 * max(share.max() for share in shares.values())),
        "instances in an image",
        "images",
        x_ticks=[(v, f"{v:g}") for v in ticks if 0 <= v <= bins * width - 1],
        percent=True,
    )
    bar = 0.86 * width / len(shares)
    for index, (name, share) in enumerate(shares.items()):
        starts = [i * width - 0.5 + 0.07 * width + index * bar for i in range(bins)]
        titles = [
            f"{_span(i * width, width)} instances: {100 * value:.1f}% of the {NOUNS[name]}"
            for i, value in enumerate(share)
        ]
        plot.bars(starts, bar, share.tolist(), [name] * bins, titles)
    return plot.svg("Instances in an image")


def pixel_threshold_figure(summary: PseudoLabelSummary) -> Markup | None:
    """Return an SVG of the share of foreground inside the pseudo-labels' boxes by pixel threshold.

    The pixel threshold is the lowest probability of a foreground pixel. The result is None if the
    pseudo-labels' json lacks this curve.
    """
    curve = summary.foreground_at_threshold
    if curve is None:
        return None
    plot = Plot((0, 1), (0, 1), "pixel threshold", "foreground inside the boxes", y_ticks=PERCENT)
    plot.line(np.linspace(0, 1, len(curve)).tolist(), curve, "pseudo")
    fraction, chosen = summary.labeled_foreground_fraction, summary.pixel_threshold
    if fraction is not None:
        plot.horizontal(fraction, f"labeled {100 * fraction:.1f}%", "labeled")
    if chosen is not None:
        plot.vertical(chosen, f"chosen {chosen:.3f}", "chosen")
    return plot.svg("Foreground against the pixel threshold")


def distance_figure(noise: NoiseAnalysis) -> Markup | None:
    """Return an SVG of pixel accuracy by distance to the boundary (Noisy Boundaries, Fig. 3a).

    The result is None if no pseudo-label matches a true instance.
    """
    points = noise.accuracy_by_distance
    centers = [(p.low + p.high) / 2 for p in points if p.accuracy is not None]
    accuracies = [p.accuracy for p in points if p.accuracy is not None]
    if not accuracies:
        return None
    plot = Plot(
        (0, max(p.high for p in points if p.accuracy is not None)),
        (_floor(accuracies), 1),
        "distance to the true boundary / √(box area)",
        "pixel accuracy",
        percent=True,
    )
    plot.line(centers, accuracies, "pseudo", dots=True)
    return plot.svg("Pixel accuracy against the distance to the boundary")


def size_figure(noise: NoiseAnalysis) -> Markup | None:
    """Return an SVG of mask IoU and boundary IoU by mask size (Noisy Boundaries, Fig. 3b).

    The result is None if no pseudo-label matches a true instance.
    """
    points = noise.iou_by_size
    masks = [p.mask_iou for p in points if p.mask_iou is not None]
    boundaries = [p.boundary_iou for p in points if p.boundary_iou is not None]
    if not masks:
        return None
    sizes = [p.size for p in points if p.pairs]
    plot = Plot(
        (-0.3, len(sizes) - 0.7),
        (_floor(masks + boundaries), 1),
        "mask size",
        "mean IoU",
        x_ticks=[(x, f"{size}²") for x, size in enumerate(sizes)],
        percent=True,
    )
    plot.line(range(len(sizes)), masks, "pseudo", dots=True)
    plot.line(range(len(sizes)), boundaries, "labeled", dots=True)
    return plot.svg("IoU against the mask size")


def _span(first: int, width: int) -> str:
    return str(first) if width == 1 else f"{first} to {first + width - 1}"


def _floor(values: Sequence[float]) -> float:
    """Return a round number below all values, as the lower end of an axis that ends at 1."""
    return max(0.0, math.floor(10 * min(values) - 0.5) / 10)
