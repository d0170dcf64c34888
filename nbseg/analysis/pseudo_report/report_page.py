"""Write the report on pseudo-labels: a self-contained HTML page and a json of its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.visualization import Visualizer

from nbseg.analysis.html import jpeg_uri, render_page
from nbseg.analysis.noise_analysis import NoiseAnalysis, analyze_noise
from nbseg.analysis.pseudo_report.figures import (
    counts_figure,
    distance_figure,
    pixel_threshold_figure,
    score_figure,
    size_figure,
)
from nbseg.analysis.pseudo_report.gallery import Tab, choose_tabs, draw_tiles
from nbseg.analysis.pseudo_report.inputs import ReportInputs
from nbseg.analysis.pseudo_report.kinds import KindSummary, kind_warnings, summarize_kinds
from nbseg.analysis.pseudo_report.summary import PseudoLabelSummary, summarize
from nbseg.files import replacing, write_json
from nbseg.visualization.colors import PALETTE
from nbseg.visualization.drawing import encode_jpeg


def write_report(
    inputs: ReportInputs,
    out: str | Path,
    images_per_tab: int = 12,
    seed: int = 0,
    visualizer: Visualizer | None = None,
) -> tuple[PseudoLabelSummary, NoiseAnalysis | None]:
    """Write ``index.html`` and ``analysis.json`` about pseudo-labels.

    The same inputs always give files with the same bytes. If an optional input is missing, the page
    leaves out the sections that need this input. A list at the end of the page names these sections
    and the missing input.

    Args:
        inputs: the result of ``read_inputs``.
        out: folder to write both files to.
        images_per_tab: largest number of images in a tab of the gallery.
        seed: seed of the random choice of images.
        visualizer: MMEngine visualizer to which the pictures of the gallery are added, with the
            position in the tab (1, 2, ...) as ``step``. None adds no pictures.

    Returns:
        The summary of the pseudo-labels, and their comparison with the true annotations. The
        comparison is None if the true annotations are unknown.

    Raises:
        ValueError: ``images_per_tab`` is not positive, an image of the gallery cannot be read, or
            its size is not the size in the json.
    """
    if images_per_tab < 1:
        raise ValueError(f"images_per_tab must be at least 1, found {images_per_tab}")
    summary = summarize(inputs)
    noise = analyze_noise(inputs.pseudo, inputs.truth) if inputs.truth else None
    kinds = summarize_kinds(inputs, noise)
    summary = replace(summary, warnings=(*summary.warnings, *kind_warnings(kinds)))
    tabs = choose_tabs(inputs, noise, images_per_tab, seed)
    gallery = [(tab, list(_encoded(inputs, noise, tab, visualizer))) for tab in tabs]
    out = Path(out)
    with replacing(out / "index.html") as temporary:
        temporary.write_text(_render(inputs, summary, noise, kinds, gallery), encoding="utf-8")
    analysis = {
        "pseudo_labels": inputs.name,
        "summary": asdict(summary),
        "noise": asdict(noise) if noise else None,
        "kinds": [asdict(kind) for kind in kinds],
        "gallery": {tab.name: tab.images for tab in tabs},
    }
    write_json(out / "analysis.json", analysis, indent=1)
    return summary, noise


def _encoded(
    inputs: ReportInputs, noise: NoiseAnalysis | None, tab: Tab, visualizer: Visualizer | None
) -> Iterator[dict[str, Any]]:
    """Yield the tiles of a tab as dictionaries for the template.

    The keys are ``file_name``, ``facts`` and ``pictures``, which has data URIs by caption. If there
    is a visualizer, the pictures are also added to it.
    """
    for step, tile in enumerate(draw_tiles(inputs, noise, tab.images), start=1):
        if visualizer:
            # The name must have no slash, because LocalVisBackend uses it as a file name.
            beside = np.hstack(list(tile.pictures.values()))
            visualizer.add_image(f"pseudo_labels_{tab.name}", beside, step)
        # The visualizer takes RGB pictures, but encode_jpeg takes BGR.
        pictures = {
            caption: jpeg_uri(encode_jpeg(picture[..., ::-1]))
            for caption, picture in tile.pictures.items()
        }
        yield {"file_name": tile.file_name, "facts": tile.facts, "pictures": pictures}


def _render(
    inputs: ReportInputs,
    summary: PseudoLabelSummary,
    noise: NoiseAnalysis | None,
    kinds: tuple[KindSummary, ...],
    gallery: list[tuple[Tab, list[dict[str, Any]]]],
) -> str:
    return render_page(
        "nbseg.analysis.pseudo_report",
        name=inputs.name,
        summary=summary,
        noise=noise,
        kinds=kinds,
        kind_key=inputs.kind_key,
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
    """Return the name and the color ("#rrggbb") of each class for the legend.

    The list is empty if there are more classes than colors.
    """
    if len(names) > len(PALETTE):
        return []
    return [
        (name, "#{2:02x}{1:02x}{0:02x}".format(*color))
        for name, color in zip(names, PALETTE, strict=False)
    ]


def _absent(inputs: ReportInputs, summary: PseudoLabelSummary) -> Iterator[str]:
    """Yield a line for each missing input, with the parts of the page that are left out."""
    if inputs.truth is None:
        yield (
            "precision, recall, the errors at the boundary and the worst images, which need the "
            "true annotations (--truth, or report.hidden_truth in the config)"
        )
    if inputs.labeled is None:
        yield (
            "the histogram of instances per labeled image, which needs the json of the labeled "
            "images (--labeled)"
        )
    if summary.foreground_at_threshold is None:
        yield (
            "the share of foreground by pixel threshold, which needs info.foreground_at_threshold "
            "in the json of the pseudo-labels; the stage label of a run writes this value"
        )
