"""Write the report page on the pseudo-labels of a run."""

import errno
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from nbseg.analysis.pseudo_report import read_inputs, write_report
from nbseg.engine.work_dir import WorkDir
from nbseg.image_options import ImageOptions
from nbseg.registry import VISUALIZERS

# Error numbers for a full disk, an exceeded quota, a read-only disk and a too large file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def write_pseudo_report(config: Config, work_dir: WorkDir) -> None:
    """Write ``report/index.html`` about the pseudo-labels of a run, and log its path.

    The section ``report`` of ``config`` can have these keys:

    - ``image_folder``: folder of the unlabeled images. Without this key, no report is written.
    - ``hidden_truth``: COCO json with the true labels of the unlabeled images. A json that does not
      exist is ignored.
    - ``kind_key``: in the jsons' table ``images``, the key whose value is the kind of an image; by
      default "modality".
    - ``to_visualizer``: whether to add the images of the report to MMEngine's visualizer, too. The
      key ``visualizer`` of ``config`` describes this visualizer.

    If the report cannot be made, for example because images are missing, a warning is logged.

    Args:
        config: the settings of the stage ``label``, as ``stage_config`` returns them.
        work_dir: the run's paths.

    Raises:
        OSError: the disk is full or read-only, or a file exceeds a limit.
    """
    logger = MMLogger.get_current_instance()
    settings = config.get("report") or {}
    if not settings.get("image_folder"):
        return
    out = work_dir.report
    hidden_truth = settings.get("hidden_truth")
    if hidden_truth and not Path(hidden_truth).exists():
        hidden_truth = None
    visualizer = None
    if settings.get("to_visualizer") and config.get("visualizer"):
        # Use a new name: MMEngine would return an existing visualizer of the same name.
        name = {"name": str(out), "save_dir": str(out)}
        visualizer = VISUALIZERS.build({**config.visualizer, **name})
    try:
        inputs = read_inputs(
            work_dir.pseudo_labels,
            settings["image_folder"],
            config.label.labeled_json,
            hidden_truth,
            settings.get("kind_key", "modality"),
            ImageOptions.of(config.get("image_options")),
        )
        write_report(inputs, out, visualizer=visualizer)
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise  # the stage fails; the report is written when the stage runs again
        logger.warning(
            f"the report on the pseudo-labels cannot be written: {error}. The run continues "
            "without this report"
        )
        return
    finally:
        if visualizer:
            visualizer.close()
    logger.info(f"report on the pseudo-labels: {out / 'index.html'}")
