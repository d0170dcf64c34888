"""The report page on the pseudo-labels of a run."""

from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from nbseg.analysis.pseudo_report import read_inputs, write_report
from nbseg.registry import VISUALIZERS


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
            config.labels.labeled_json,
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
