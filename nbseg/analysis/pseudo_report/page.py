"""Writes the report: a page that needs nothing beside it, and the same numbers as json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from mmengine.visualization import Visualizer

from nbseg.analysis.html import render_page
from nbseg.analysis.noise_analysis import NoiseAnalysis, analyze_noise
from nbseg.analysis.pseudo_report.figures import (
    counts_figure,
    distance_figure,
    pixel_threshold_figure,
    score_figure,
    size_figure,
)
from nbseg.analysis.pseudo_report.gallery import Tab, Tile, choose_tabs, data_uri, draw_tiles
from nbseg.analysis.pseudo_report.inputs import ReportInputs
from nbseg.analysis.pseudo_report.summary import Summary, summarize
from nbseg.files import replacing, write_json
from nbseg.visualization.colors import PALETTE


def write_report(
    inputs: ReportInputs,
    out: str | Path,
    images_per_tab: int = 12,
    seed: int = 0,
    visualizer: Visualizer | None = None,
) -> tuple[Summary, NoiseAnalysis | None]:
    """Write ``index.html`` and ``analysis.json`` about pseudo-labels.

    The same inputs give the same bytes. What is not known is left out, and the page says what
    would show it.

    Args:
        inputs: from ``read_inputs``.
        out: folder of both files.
        images_per_tab: images in each tab of the gallery, at most.
        seed: of the images that are drawn at random.
        visualizer: gets the gallery's images, too, one step a place in its tab.

    Returns:
        What ``analysis.json`` holds; the second is None without hidden truth.

    Raises:
        ValueError: ``images_per_tab`` is not positive, or an image of the gallery cannot be read or
            has another size than the json says.
    """
    if images_per_tab < 1:
        raise ValueError(f"images_per_tab must be at least 1, found {images_per_tab}")
    summary = summarize(inputs)
    noise = analyze_noise(inputs.pseudo, inputs.truth) if inputs.truth else None
    tabs = choose_tabs(inputs, noise, images_per_tab, seed)
    gallery = [(tab, list(_encoded(inputs, noise, tab, visualizer))) for tab in tabs]
    out = Path(out)
    with replacing(out / "index.html") as temporary:
        temporary.write_text(_render(inputs, summary, noise, gallery), encoding="utf-8")
    analysis = {
        "pseudo_labels": inputs.name,
        "summary": asdict(summary),
        "noise": asdict(noise) if noise else None,
        "gallery": {tab.name: tab.images for tab in tabs},
    }
    write_json(out / "analysis.json", analysis, indent=1)
    return summary, noise


def _encoded(
    inputs: ReportInputs, noise: NoiseAnalysis | None, tab: Tab, visualizer: Visualizer | None
) -> Iterator[Tile]:
    """Draw the tiles of a tab one after the other, each picture a data URI."""
    for place, tile in enumerate(draw_tiles(inputs, noise, tab.images), start=1):
        if visualizer:
            # LocalVisBackend makes a file of the name: no slashes.
            beside = np.hstack(list(tile.pictures.values()))
            visualizer.add_image(f"pseudo_labels_{tab.name}", beside, place)
        yield replace(tile, pictures={k: data_uri(v) for k, v in tile.pictures.items()})


def _render(
    inputs: ReportInputs,
    summary: Summary,
    noise: NoiseAnalysis | None,
    gallery: list[tuple[Tab, list[Tile]]],
) -> str:
    return render_page(
        "nbseg.analysis.pseudo_report",
        name=inputs.name,
        summary=summary,
        noise=noise,
        gallery=gallery,
        aspect=float(np.median([i["width"] / i["height"] for i in inputs.pseudo.imgs.values()])),
        colors=_colors(inputs.class_names),
        score_figures=[(summary_of, score_figure(summary_of)) for summary_of in summary.classes],
        counts_figure=counts_figure(summary),
        pixel_threshold_figure=pixel_threshold_figure(summary),
        distance_figure=distance_figure(noise) if noise else None,
        size_figure=size_figure(noise) if noise else None,
        absent=list(_absent(inputs, summary)),
    )


def _colors(names: list[str]) -> list[tuple[str, str]]:
    """Return the classes' colors; none where classes share them, the pictures have names then."""
    if len(names) > len(PALETTE):
        return []
    return [
        (name, "#{2:02x}{1:02x}{0:02x}".format(*color))
        for name, color in zip(names, PALETTE, strict=False)
    ]


def _absent(inputs: ReportInputs, summary: Summary) -> Iterator[str]:
    """Say what the page lacks, and what would show it."""
    if inputs.truth is None:
        yield (
            "precision, recall, the noise at the boundary and the worst images: they need the "
            "hidden truth (--truth, or report.hidden_truth in the config)"
        )
    if inputs.labeled is None:
        yield "the labeled set's instances an image: they need its json (--labeled)"
    if summary.foreground_at_threshold is None:
        yield (
            "the pixel threshold's curve: it needs foreground_at_threshold in the json's info, "
            "which the labels stage writes"
        )
