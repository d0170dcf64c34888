"""Run all checks of data, models and evaluators for the stages that will run."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from nbseg.config.online import plain_detector
from nbseg.config.reading import import_custom_modules
from nbseg.engine.data_sets import (
    annotation_files,
    image_folder,
    image_options,
    is_unlabeled,
    leaves,
)
from nbseg.engine.preflight.files import check_files
from nbseg.engine.preflight.images import check_folder, check_images
from nbseg.engine.preflight.jsons import check_annotations, check_objects, read_checked
from nbseg.engine.preflight.label import check_labeled, check_thresholds
from nbseg.engine.preflight.model import check_num_classes, max_per_img, warn_of_many_objects
from nbseg.engine.preflight.overlap import check_overlap
from nbseg.engine.preflight.parts import check_parts
from nbseg.engine.preflight.truth import check_truth
from nbseg.engine.stages import stage_config
from nbseg.engine.task import StageTask
from nbseg.errors import StageError


def preflight(config: Config, settings: Config, tasks: Sequence[StageTask]) -> list[str]:
    """Check the files, jsons, images, models and evaluators of the stages that will run.

    Args:
        config: the user's config.
        settings: the settings of the stage ``label``, as ``stage_config`` returns them.
        tasks: the stages that will run, in order.

    Returns:
        One line for each data set, and one line for each warning. Warnings start with "warning".

    Raises:
        FileNotFoundError: a file or a folder is missing.
        StageError: a stage would fail or give wrong results. The message names the file and says
            what to do.
    """
    check_files(tasks)
    configs = {task.stage: task.config for task in tasks}
    makes_labels = configs.pop("label", None) is not None
    if makes_labels:
        check_thresholds(settings.label)
    classes = settings.label.classes
    made = {task.work_dir.pseudo_labels for task in tasks if task.stage == "label"}
    lines: dict[str, None] = {}
    seen: set[_DataSet] = set()
    tests: list[tuple[_DataSet, dict[str, Any], Config]] = []
    categories: dict[Path, list[dict[str, Any]]] = {}
    for stage, plain in configs.items():
        for role, leaf in _data_sets(stage, plain):
            folder = image_folder(leaf)
            data = _DataSet(role, next(iter(annotation_files(leaf)), folder), folder)
            if data in seen or data.path in made:
                continue
            if data.role == "test" and data._replace(role="training") in seen:
                lines.setdefault(
                    f"warning: test set {data.path}: the model is also trained on this set, so its "
                    "metrics will be too good; choose another test set"
                )
            seen.add(data)
            for line in _check(data, leaf, plain, classes, categories):
                lines.setdefault(line)
            if data.path in categories and data.role == "test":
                tests.append((data, leaf, plain))
        # Check the number of classes after _check: _check gives a clearer message if class names
        # are wrong.
        check_num_classes(_detector(plain), classes, stage)
    # The imports take seconds, so wrong data sets are reported first. Only the checks below build
    # components.
    import_custom_modules(config)
    for data, leaf, plain in tests:
        for evaluator in _evaluators(plain):
            if "ann_file" in evaluator:
                lines.setdefault(check_truth(leaf, evaluator, data.what))
    check_parts(configs)
    if makes_labels:
        check_labeled(settings.label, categories.get(Path(settings.label.labeled_json)))
    unlabeled_sets = [] if config.get("allow_overlap") else _unlabeled_sets(configs)
    if unlabeled_sets:
        teacher = stage_config(config, "teacher", tasks[0].work_dir)
        for unlabeled in unlabeled_sets:
            check_overlap(teacher.train_dataloader.dataset, unlabeled)
    return [line for line in lines if line]


class _DataSet(NamedTuple):
    """Identifies a data set by its files and its role in the run.

    Attributes:
        role: ``"training"``, ``"test"`` or ``"unlabeled"``.
        path: the json; the image folder if there is no json.
        folder: the image folder.
    """

    role: str
    path: Path
    folder: Path

    @property
    def what(self) -> str:
        """Return the name of the data set in messages, such as "training set a/labeled.json"."""
        return f"{self.role} set {self.path}"


def _check(
    data: _DataSet,
    leaf: dict[str, Any],
    plain: Config,
    classes: list[str],
    categories: dict[Path, list[dict[str, Any]]],
) -> list[str]:
    """Check one data set; return a line with the number of its images, and lines with warnings.

    If the data set has a json, the function adds the json's categories to the dictionary
    ``categories``, under the path of the json. If the format of the data set is unknown, nothing is
    checked, and the returned list is empty.

    Raises:
        StageError: a training or test with this data set would fail or give wrong results.
        FileNotFoundError: the json is missing, or the image folder has no image.
    """
    what = data.what
    options = image_options(leaf)
    if leaf.get("type") == "ImageFolderDataset":
        if data.folder.resolve() in Path(plain.work_dir).resolve().parents:
            raise StageError(
                f"{what}: the work directory lies in this folder, so the pictures in the report "
                "would become unlabeled images; choose another --work-dir"
            )
        return check_folder(data.folder, what, options)
    if data.path == data.folder:
        return []  # there is no json, and the format of the annotations is unknown
    content = read_checked(data.path, what)
    categories[data.path] = content["categories"]
    count = f"{what}: {len(content['images'])} images"
    if data.role == "unlabeled":
        return [count, check_images(content["images"], data.folder, what, True, options)]
    least = (leaf.get("filter_cfg") or {}).get("min_size", 0)
    sizes = [min(image["height"], image["width"]) for image in content["images"]]
    if data.role == "training" and (max(sizes) < least or leaf.get("indices") in (0, [])):
        # MMEngine's samplers would never return.
        raise StageError(
            f"{what}: no image is left to train on, because filter_cfg.min_size or indices leaves "
            "out every image; correct these keys of the data set"
        )
    if leaf["type"] == "CocoDataset":
        _refuse_other_order(content, classes, what)
    # Images are checked first: where a size is wrong, the masks do not fit either.
    lines = [check_images(content["images"], data.folder, what, False, options)]
    lines += check_annotations(content, what)
    if data.role == "training":
        total, warnings = check_objects(content, classes, what)
        count += f", {total} objects to train on"
        lines += warnings
    lines.append(warn_of_many_objects(content, max_per_img(_detector(plain)), "max_per_img", what))
    if data.role == "test":
        for evaluator in _evaluators(plain):
            if evaluator.get("type") == "InstanceMetric":
                most = evaluator.get("max_detections", 100)
                # As in COCO's evaluation, the limit holds for each class of an image.
                lines.append(warn_of_many_objects(content, most, "max_detections", what, True))
    return [count, *lines]


def _detector(plain: Config) -> dict[str, Any]:
    """Return the config of the detector inside the wrappers for TTA and online training."""
    model: dict[str, Any] = plain_detector(plain.model.get("module", plain.model))
    return model


def _evaluators(plain: Config) -> list[dict[str, Any]]:
    evaluators = plain.test_evaluator
    return list(evaluators) if isinstance(evaluators, list) else [evaluators]


def _refuse_other_order(content: dict[str, Any], classes: list[str], what: str) -> None:
    names = [c["name"] for c in content["categories"] if c["name"] in classes]
    if names != list(classes):
        raise StageError(
            f"{what}: its categories are {names}, but the config's classes are {list(classes)}. "
            "CocoDataset numbers the labels in the order of the json. Use "
            "type='CocoInstanceDataset' instead, which finds the category of each class by name"
        )


def _unlabeled_sets(configs: Mapping[str, Config]) -> list[dict[str, Any]]:
    if "predict" in configs:
        return [configs["predict"].test_dataloader.dataset]
    student = configs["student"].train_dataloader.dataset if "student" in configs else {}
    return [leaf for leaf in leaves(student) if is_unlabeled(leaf)]


def _data_sets(stage: str, plain: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    loaders = {"train_dataloader": "training", "val_dataloader": "test", "test_dataloader": "test"}
    for key, role in loaders.items():
        for leaf in leaves((plain.get(key) or {}).get("dataset") or {}):
            unlabeled = stage == "predict" or is_unlabeled(leaf)
            yield "unlabeled" if unlabeled else role, leaf
