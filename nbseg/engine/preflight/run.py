"""Run all checks on the data sets of the stages that will run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.engine.data_checks import annotation_files, leaves
from nbseg.engine.preflight.images import check_images
from nbseg.engine.preflight.jsons import check_annotations, check_objects, read_checked
from nbseg.engine.preflight.model import check_num_classes, max_per_img, warn_of_many_objects
from nbseg.engine.preflight.truth import check_truth
from nbseg.errors import StageError


def preflight(configs: Mapping[str, Config], classes: list[str], pseudo: Path) -> list[str]:
    """Check the jsons and images that the stages will read, the models and the evaluators.

    Args:
        configs: resolved configs of the stages that will run.
        classes: class names in the order of the labels.
        pseudo: json of pseudo-labels, which the stage ``label`` makes.

    Returns:
        A line for each data set, and one for each warning, which starts with "warning".

    Raises:
        StageError: a stage would fail or go wrong; the message names the file and what to do.
    """
    lines: dict[str, None] = {}
    seen: set[tuple[str, Path, str]] = set()
    for stage, plain in configs.items():
        if stage == "label":
            continue
        model = plain.model.get("module", plain.model)
        check_num_classes(model, classes, stage)
        for role, leaf in _data_sets(stage, plain):
            paths = annotation_files(leaf)
            if not paths or (paths[0] == pseudo and "label" in configs) or not paths[0].exists():
                continue
            folder = Path(leaf.get("data_root") or "") / (leaf.get("data_prefix") or {}).get(
                "img", ""
            )
            if (role, paths[0], str(folder)) in seen:
                continue
            seen.add((role, paths[0], str(folder)))
            what = f"{role} set {paths[0]}"
            content = read_checked(paths[0], what)
            new = _check_set(role, leaf, content, folder, classes, what)
            new += _check_limits(role, leaf, content, plain, max_per_img(model), what)
            for line in new:
                lines.setdefault(line)
    return [line for line in lines if line]


def _check_set(
    role: str,
    leaf: dict[str, Any],
    content: dict[str, Any],
    folder: Path,
    classes: list[str],
    what: str,
) -> list[str]:
    if leaf["type"] == "CocoDataset" and role != "unlabeled":
        _refuse_other_order(content, classes, what)
    lines: list[str] = []
    objects = ""
    # A wrong size is the reason for masks that do not fit, so images come first.
    lines.append(check_images(content["images"], folder, what, lenient=role == "unlabeled"))
    if role != "unlabeled":
        lines += check_annotations(content, what)
    if role == "training":
        total, more = check_objects(content, classes, what)
        lines += more
        objects = f", {total} objects to train on"
    return [f"{what}: {len(content['images'])} images{objects}", *lines]


def _check_limits(
    role: str,
    leaf: dict[str, Any],
    content: dict[str, Any],
    plain: Config,
    limit: int | None,
    what: str,
) -> list[str]:
    if role == "unlabeled":
        return []
    lines = [warn_of_many_objects(content, limit, "max_per_img", what)]
    if role == "test":
        evaluators = plain.test_evaluator
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if "ann_file" in evaluator:
                most = evaluator.get("max_detections", 100)
                lines.append(warn_of_many_objects(content, most, "max_detections", what))
                lines.append(check_truth(leaf, evaluator, what))
    return lines


def _refuse_other_order(content: dict[str, Any], classes: list[str], what: str) -> None:
    names = [c["name"] for c in content["categories"] if c["name"] in classes]
    if names != list(classes):
        raise StageError(
            f"{what}: its categories are {names}, but the classes {list(classes)}; CocoDataset "
            "numbers labels in the json's order: use type='CocoInstanceDataset', which goes by name"
        )


def _data_sets(stage: str, plain: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    loaders = {"train_dataloader": "training", "val_dataloader": "test", "test_dataloader": "test"}
    for key, role in loaders.items():
        for leaf in leaves((plain.get(key) or {}).get("dataset") or {}):
            yield "unlabeled" if stage == "predict" else role, leaf
