"""Print the results of ``tools/analyze.py`` on the console, as sentences and small tables."""

from collections.abc import Mapping, Sequence

from nbseg.analysis.comparison.differences import ImageDifference
from nbseg.analysis.model_noise import ModelCurves
from nbseg.analysis.noise_analysis import NoiseAnalysis
from nbseg.analysis.pseudo_report.summary import PseudoLabelSummary


def print_summary(summary: PseudoLabelSummary) -> None:
    """Print one line with the numbers of a pseudo-label summary, and one line per warning.

    The first line has the number of pseudo-labels, their mean number per image, and the number of
    images without pseudo-labels. If they are known, the line also has the mean number of instances
    per labeled image and the pixel threshold, which is the lowest probability of a foreground
    pixel.
    """
    line = (
        f"{summary.pseudo_labels} pseudo-labels on {summary.images} images: "
        f"{summary.pseudo_per_image:.2f} per image"
    )
    if summary.labeled_per_image is not None:
        line += f" ({summary.labeled_per_image:.2f} instances per labeled image)"
    line += f", {summary.empty_images} images without pseudo-labels"
    if summary.pixel_threshold is not None:
        line += f", pixel threshold {summary.pixel_threshold:.3f}"
    print(line)
    for warning in summary.warnings:
        print(f"warning: {warning}")


def print_agreement(noise: NoiseAnalysis) -> None:
    """Print a table of precision, recall and F1, in percent, at each mask IoU threshold.

    The table has one row per class, and a last row for all classes together. A value whose
    denominator is 0 is printed as "-".
    """
    thresholds = list(noise.total)
    names = list(noise.classes[thresholds[0]])
    rows = [(name, [noise.classes[t][name] for t in thresholds]) for name in names]
    rows.append(("all", list(noise.total.values())))
    width = max(len(name) for name in ["class", *names])
    print(f"\n{'':{width}}" + "".join(f"{f'mask IoU {t}':>30}" for t in thresholds))
    print(f"{'class':{width}}" + f"{'precision':>12}{'recall':>9}{'F1':>9}" * len(thresholds))
    for name, agreements in rows:
        cells = "".join(
            f"{_percent(a.precision):>12}{_percent(a.recall):>9}{_percent(a.f1):>9}"
            for a in agreements
        )
        print(f"{name:{width}}{cells}")


def print_curves(curves: Mapping[str, ModelCurves]) -> None:
    """Print a table with one row per model.

    The columns are:

    - ``instances``: number of true instances that are not crowds. If ``analyze_models`` made
      ``curves`` with ``common=True``, only the instances that all models found count.
    - ``found``: number of these instances that the model found with a mask IoU of at least 0.5
    - ``mask IoU``: mean mask IoU of the found instances, in percent
    - ``wrong at the boundary``: share of wrong pixels, in percent, among the pixels within one
      pixel of the true contours of the found instances. A pixel is wrong if the predicted mask
      differs from the true mask.

    The last two columns are "-" if the model found no instance.

    Args:
        curves: curves by model name.
    """
    width = max(len(name) for name in ["model", *curves])
    titles = f"{'instances':>11}{'found':>8}{'mask IoU':>10}{'wrong at the boundary':>23}"
    print(f"{'model':{width}}{titles}")
    for name, model in curves.items():
        instances = model.recall_by_iou.points()[0].instances
        iou = sum(model.ious) / len(model.ious) if model.ious else None
        error = model.error_by_distance.error_within(1)
        print(
            f"{name:{width}}{instances:>11}{len(model.ious):>8}{_percent(iou):>10}"
            f"{_percent(error):>23}"
        )


def print_comparison(differences: Sequence[ImageDifference], first: str, second: str) -> None:
    """Print how many objects both models found, and how many only one of them found.

    If the truth is known, a second line tells on how many images each model has the higher panoptic
    quality.

    Args:
        differences: one entry per image for the models A and B.
        first: name of model A.
        second: name of model B.
    """
    print(
        f"{len(differences)} images; {sum(d.matched for d in differences)} objects found by both, "
        f"{sum(d.only_a for d in differences)} only by {first}, "
        f"{sum(d.only_b for d in differences)} only by {second}"
    )
    gains = [d.gain for d in differences if d.gain is not None]
    if gains:
        print(
            f"higher panoptic quality: {first} on {sum(g < 0 for g in gains)} images, {second} on "
            f"{sum(g > 0 for g in gains)}"
        )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
