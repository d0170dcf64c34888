"""Run the two stages that make pseudo-labels: predict and label."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process

from nbseg.checkpoint import load_strictly
from nbseg.engine.data_sets import annotation_files, image_folder
from nbseg.engine.manifest import GROWING, Manifest
from nbseg.engine.pseudo_report import write_pseudo_report
from nbseg.engine.stage_runner import StageRunner
from nbseg.engine.task import StageTask
from nbseg.errors import StageError
from nbseg.pseudo.labels import make_pseudo_labels
from nbseg.pseudo.predictions import PredictionStore


def predict(task: StageTask, resume: str | None) -> dict[str, Any]:
    """Predict the unlabeled images with the teacher; skip batches whose predictions are stored.

    Args:
        task: config and paths of the predict stage.
        resume: unused, because stored predictions are always kept. To start from zero, the pipeline
            deletes the predictions before it calls this function.

    Returns:
        A dict with two keys. ``images`` is the number of predicted images; ``left_out`` lists the
        names of the images that cannot be read.

    Raises:
        StageError: the teacher's checkpoint does not fit the model, or no image can be read.
    """
    runner = StageRunner.from_cfg(task.config)
    load_strictly(runner.model, task.teacher_checkpoint)
    results: dict[str, Any] = runner.test()
    return results


def prediction_inputs(task: StageTask) -> dict[str, Path]:
    """Return {name: path} of the files that the predict stage reads.

    These are the teacher's checkpoint, and the jsons of the unlabeled images. If the unlabeled
    images have no json, the path of their folder is returned instead.
    """
    dataset = task.config.test_dataloader.dataset
    paths = annotation_files(dataset) or [image_folder(dataset)]
    images = {f"{GROWING} {number}": path for number, path in enumerate(paths)}
    return {"teacher checkpoint": task.teacher_checkpoint, **images}


def label(task: StageTask, resume: str | None) -> dict[str, Any]:
    """Make pseudo-labels from the predictions, and write a report; only the main process does this.

    Args:
        task: config and paths of the label stage; ``task.config.label`` holds the arguments of
            ``make_pseudo_labels``.
        resume: unused; labels are always made from scratch.

    Returns:
        In the main process, a dict whose key ``info`` holds the dictionary ``info`` of the json
        with the pseudo-labels. In the other processes, an empty dict.

    Raises:
        StageError: the predict stage has not finished, or no pseudo-label can be made with these
            settings.
    """
    if not is_main_process():
        return {}
    manifest = Manifest(task.work_dir.manifest("predict"))
    if not manifest.finished:
        raise StageError(
            f"the predict stage in {manifest.path.parent} has not finished; run it before the "
            "label stage (--stages predict,label --resume)"
        )
    settings = {key: value for key, value in task.config.label.items() if key != "ann_file"}
    store = PredictionStore(task.work_dir.predictions)
    try:
        info = make_pseudo_labels(store, out=task.work_dir.pseudo_labels, **settings)
    except ValueError as error:
        raise StageError(str(error)) from error
    # Write the report before the student trains: a user who sees bad pseudo-labels in the report
    # can then stop the run.
    write_pseudo_report(task.config, task.work_dir)
    return {"info": info}


def label_inputs(task: StageTask) -> dict[str, Path]:
    """Return {name: path} of the files that the label stage reads.

    These are the COCO json of the labeled images, and the record of the finished predict stage.
    """
    return {
        "labeled annotations": Path(task.config.label.labeled_json),
        "predict stage": task.work_dir.manifest("predict"),
    }
