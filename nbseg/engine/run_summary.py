"""Human-readable output of a run: the metrics table and the pictures."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from nbseg.config.stage_config import TRAINING_STAGES, coco_evaluator, resolve
from nbseg.visualization.annotations import draw_results

COLUMNS = {"segm_mAP": "mask AP", "segm_mAP_50": "AP50", "segm_mAP_75": "AP75"}


def print_metrics(metrics: dict[str, dict[str, float]], work_dir: Path) -> None:
    """Print one line for each trained stage; values in percent, as papers give them."""
    if not metrics:
        return
    names = {"supervised": "supervised (control)"}
    print(f"\n{'stage':22}" + "".join(f"{title:>10}" for title in COLUMNS.values()))
    for stage, values in metrics.items():
        cells = "".join(f"{100 * values.get(key, float('nan')):10.1f}" for key in COLUMNS)
        print(f"{names.get(stage, stage):22}{cells}")
    print(f"\nmetrics: {work_dir / 'metrics.json'}\nreport and pictures: {work_dir / 'report'}")


def write_pictures(
    config: Config, configs: Mapping[str, Config], work_dir: Path, limit: int = 12
) -> None:
    """Draw the pseudo-labels, and the predictions of each trained stage, beside the ground truth.

    Pseudo-labels are drawn where the config names the hidden truth (``report.hidden_truth``, a COCO
    json of the unlabeled images).
    """
    report = work_dir / "report"
    settings = resolve(config, "student", work_dir).get("report") or Config()
    pseudo_labels = work_dir / "pseudo" / "pseudo_labels.json"
    hidden_truth = settings.get("hidden_truth")
    if pseudo_labels.exists() and hidden_truth and Path(hidden_truth).exists():
        draw_results(
            hidden_truth,
            pseudo_labels,
            settings["image_folder"],
            report / "pseudo_labels",
            "pseudo-labels",
            limit,
        )
    for stage in TRAINING_STAGES:
        results = work_dir / stage / "predictions.segm.json"
        if stage in configs and results.exists():
            out = report / f"{stage}_predictions"
            draw_test_results(configs[stage], results, out, stage, limit)


def draw_test_results(
    plain: Config, results: str | Path, out: str | Path, caption: str, limit: int = 12
) -> None:
    """Draw the predictions of a test, those with a score of at least 0.5, beside the ground truth.

    Args:
        plain: the config that was tested.
        results: COCO result file of the test.
        out: folder of the pictures.
        caption: of the predicted panel.
        limit: images.
    """
    dataset = plain.test_dataloader.dataset
    draw_results(
        coco_evaluator(plain).ann_file,
        results,
        Path(dataset.get("data_root") or "") / dataset.data_prefix["img"],
        out,
        caption,
        limit,
        min_score=0.5,
    )
