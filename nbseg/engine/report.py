"""What a person looks at: the report on pseudo-labels, a table of metrics, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config
from mmengine.logging import MMLogger

from nbseg.engine.stage_config import TRAINING_STAGES, coco_evaluator, resolve
from nbseg.evaluation.pictures import draw_results
from nbseg.pseudo.report import read_inputs, write_report
from nbseg.registry import VISUALIZERS

if TYPE_CHECKING:
    from nbseg.engine.pipeline import Pipeline

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


def write_pseudo_report(config: Config, work_dir: Path) -> None:
    """Write ``report/index.html`` about the pseudo-labels of a run, and log where it is.

    The config's section ``report`` names the ``image_folder`` and, where there is one, the
    ``hidden_truth``; ``to_visualizer=True`` gives the gallery to the run's visualizer, too. Without
    the section there is no report; if the images are not there, a warning says so and the run goes
    on.
    """
    logger = MMLogger.get_current_instance()
    settings = config.get("report") or {}
    if not settings.get("image_folder"):
        return
    out = work_dir / "report"
    hidden_truth = settings.get("hidden_truth")
    if hidden_truth and not Path(hidden_truth).exists():
        hidden_truth = None
    visualizer = None
    if settings.get("to_visualizer") and config.get("visualizer"):
        # MMEngine keeps one of each name.
        own = {"name": str(out), "save_dir": str(out)}
        visualizer = VISUALIZERS.build({**config.visualizer, **own})
    try:
        inputs = read_inputs(
            work_dir / "pseudo" / "pseudo_labels.json",
            settings["image_folder"],
            config.labels.labelled_json,
            hidden_truth,
        )
        write_report(inputs, out, visualizer=visualizer)
    except (ValueError, OSError) as error:
        logger.warning(f"no report on the pseudo-labels: {error}")
        return
    finally:
        if visualizer:
            visualizer.close()
    logger.info(f"report on the pseudo-labels: {out / 'index.html'}")


def write_pictures(pipeline: Pipeline, limit: int = 12) -> None:
    """Draw the pseudo-labels, and the predictions of each trained stage, beside the ground truth.

    Pseudo-labels are drawn where the config names the hidden truth (``report.hidden_truth``, a COCO
    json of the unlabelled images).
    """
    work_dir = pipeline.work_dir
    report = work_dir / "report"
    settings = resolve(pipeline.config, "student", work_dir).get("report") or Config()
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
        if stage in pipeline.configs and results.exists():
            out = report / f"{stage}_predictions"
            draw_test_results(pipeline.configs[stage], results, out, stage, limit)


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
