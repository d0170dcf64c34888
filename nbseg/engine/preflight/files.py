"""Check that each file that a stage reads exists or will be written by an earlier stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.engine.data_sets import annotation_files, leaves
from nbseg.engine.stages import STAGES
from nbseg.engine.task import StageTask


def check_files(tasks: Sequence[StageTask]) -> None:
    """Refuse stages whose input files or image folders are missing.

    Args:
        tasks: the stages that will run, in order. Files that earlier stages write may be missing.

    Raises:
        FileNotFoundError: files or folders are missing; the message names some of them.
    """
    absent = [
        f"{path} ({key} of stage {task.stage})"
        for task in tasks
        for key in ("train_dataloader", "test_dataloader")
        for path in _data_paths((task.config.get(key) or {}).get("dataset") or {})
        if task.work_dir.path not in path.parents and not path.exists()
    ]
    if absent:
        raise FileNotFoundError(
            f"missing data: {'; '.join(absent[:3])}. Correct data_root or the paths in the config "
            "(--cfg-options data_root=DIR)"
        )
    made: set[Path] = set()
    for task in tasks:
        inputs = STAGES[task.stage].inputs(task)
        wanted = {name: path for name, path in inputs.items() if not made & set(path.parents)}
        task.manifest.refuse_missing(task.stage, wanted)
        made.add(task.work_dir.folder(task.stage))


def _data_paths(dataset: dict[str, Any]) -> list[Path]:
    folders = [
        Path(leaf.get("data_root") or "") / folder
        for leaf in leaves(dataset)
        for folder in (leaf.get("data_prefix") or {}).values()
    ]
    return annotation_files(dataset) + folders
