"""Collect the metrics of a run, print them as a table, and draw the pictures of the run."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from nbseg.config.plain_config import coco_evaluator
from nbseg.engine.data_sets import annotation_files
from nbseg.engine.manifest import Manifest
from nbseg.engine.stages import TRAINING_STAGES
from nbseg.engine.work_dir import WorkDir
from nbseg.visualization.annotations import draw_results

COLUMNS = {"segm_mAP": "mask AP", "segm_mAP_50": "AP50", "segm_mAP_75": "AP75"}


def finished_metrics(work_dir: WorkDir) -> dict[str, dict[str, float]]:
    """Return {stage: {metric: value}}: the test metrics of the stages whose training finished."""
    manifests = {stage: Manifest(work_dir.manifest(stage)) for stage in TRAINING_STAGES}
    return {stage: m.content["metrics"] for stage, m in manifests.items() if m.finished}


def print_metrics(
    metrics: Mapping[str, Mapping[str, float]], work_dir: WorkDir, configs: Mapping[str, Config]
) -> None:
    """Print the mask AP, AP50 and AP75 of each trained stage in percent, and a conclusion.

    The conclusion says whether the unlabeled images helped. It is left out if the stages control
    and student do not both have a mask AP.

    Args:
        metrics: {stage: {metric: value}} of the trained stages; APs are from 0 to 1.
        work_dir: the run's paths.
        configs: plain MMDetection config of each stage.
    """
    if not metrics:
        return
    print(f"\n{'stage':10}" + "".join(f"{title:>10}" for title in COLUMNS.values()))
    for stage, values in metrics.items():
        cells = "".join(f"{100 * values.get(key, float('nan')):10.1f}" for key in COLUMNS)
        print(f"{stage:10}{cells}")
    sentence = _conclusion(metrics, configs)
    if sentence:
        print(f"\n{sentence}")
    print(f"\nmetrics: {work_dir.metrics}\nreport and pictures: {work_dir.report}")


def _conclusion(
    metrics: Mapping[str, Mapping[str, float]], configs: Mapping[str, Config]
) -> str | None:
    """Say in words whether the unlabeled images improved the model; None if this is unknown."""
    control, student = (
        metrics.get(stage, {}).get("segm_mAP", float("nan")) for stage in ("control", "student")
    )
    # NaN: a stage has no mask AP. -1: the test images have no object.
    if not (control >= 0 and student >= 0):
        return None
    if "control" in configs and _tested_on_labeled_images(configs["control"]):
        return (
            "These figures do not tell whether the unlabeled images helped: the models were tested "
            "on the images with which they were trained."
        )
    gain = round(100 * (student - control), 1)
    if gain == 0:
        return "The unlabeled images did not help: the student's mask AP equals the control's."
    helped, side = ("helped", "above") if gain > 0 else ("did not help", "below")
    return (
        f"The unlabeled images {helped}: the student's mask AP is {abs(gain)} points {side} the "
        "control's. (The control trained on the labeled images alone.)"
    )


def _tested_on_labeled_images(control: Config) -> bool:
    trained, tested = (
        {path.resolve() for path in annotation_files(loader.dataset)}
        for loader in (control.train_dataloader, control.test_dataloader)
    )
    return bool(trained & tested)


def write_pictures(
    settings: Config, configs: Mapping[str, Config], work_dir: WorkDir, limit: int = 12
) -> None:
    """Draw the pseudo-labels and each trained stage's predictions next to the ground truth.

    Args:
        settings: the settings of the stage ``label``, as ``stage_config`` returns them.
            ``report.hidden_truth`` is the path of a COCO json with the true labels of the unlabeled
            images. Pseudo-labels are drawn only if this json exists.
        configs: plain MMDetection config of each stage; stages without a config are skipped.
        work_dir: the run's paths; the pictures are written to its folder ``report``.
        limit: largest number of pictures in each folder.
    """
    report = settings.get("report") or Config()
    hidden_truth = report.get("hidden_truth")
    if work_dir.pseudo_labels.exists() and hidden_truth and Path(hidden_truth).exists():
        draw_results(
            hidden_truth,
            work_dir.pseudo_labels,
            report["image_folder"],
            work_dir.report / "pseudo_labels",
            "pseudo-labels",
            limit,
        )
    for stage in TRAINING_STAGES:
        results = Path(f"{work_dir.test_results(stage)}.segm.json")
        if stage in configs and results.exists():
            out = work_dir.report / f"{stage}_predictions"
            draw_test_results(configs[stage], results, out, stage, limit)


def draw_test_results(
    plain: Config, results: str | Path, out: str | Path, caption: str, limit: int = 12
) -> None:
    """Draw the test predictions with a score of at least 0.5 next to the ground truth.

    Args:
        plain: plain MMDetection config of the tested model.
        results: COCO result file that the test wrote.
        out: folder of the pictures.
        caption: text above the predictions.
        limit: largest number of pictures.
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
