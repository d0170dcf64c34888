"""Define the stages of a run, such as the training of the teacher, in the dictionary ``STAGES``."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.config.online import ONLINE_KEYS, train_online
from nbseg.config.plain_config import RUNNER_KEYS, TRAINING_KEYS, predict_with_tta, without_workers
from nbseg.config.schedules import iterations, skip_last_validation, stretch_schedule
from nbseg.config.sections import resolve, user_file
from nbseg.engine.manifest import relevant_keys
from nbseg.engine.pseudo_labeling import label, label_inputs, predict, prediction_inputs
from nbseg.engine.task import StageTask
from nbseg.engine.training import train, training_inputs
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError

# Keys of the config of the stage ``label``, which does not use a runner.
SETTINGS = frozenset({"label", "report", "split", "visualizer"})
TRAINED_WITH = (
    *("model", "data_preprocessor", "train_dataloader", "train_cfg", "auto_scale_lr"),
    *("optim_wrapper", "param_scheduler", "custom_hooks", "randomness", "load_from"),
)
PREDICTED_WITH = ("model", "test_dataloader", "test_cfg")


@dataclass(frozen=True)
class Stage:
    """Describes a stage: its inputs, its settings, and the function that runs it.

    Attributes:
        name: name of the stage, and of its config section.
        needs: stages whose output this stage reads. ``--redo`` of such a stage also reruns this
            stage.
        sections: config sections that override the top level; later sections override earlier ones.
        keys: keys of the stage's own config (see :func:`stage_config`) that determine the stage's
            result.
        inputs: function that returns {name: path} of the files that the stage reads.
        run: function that runs the stage. The arguments are a ``StageTask`` and the ``resume`` of
            ``Pipeline``. The function returns results, which are recorded in the manifest.
        trains: whether the stage trains a model.
        resumes: whether an interrupted stage can be continued.
        labels_from: name of a config section. If this section has the key ``ann_file``, the stage
            reads this file instead of the run's pseudo-labels.
    """

    name: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    keys: tuple[str, ...]
    inputs: Callable[[StageTask], dict[str, Path]]
    run: Callable[[StageTask, str | None], dict[str, Any]]
    trains: bool = True
    resumes: bool = True
    labels_from: str = "label"

    def settings(self, task: StageTask) -> dict[str, Any]:
        """Return the values that determine the stage's result, as {dotted config key: value}."""
        return relevant_keys(task.config, self.keys, task.work_dir.path)


def _training(name: str, needs: tuple[str, ...], sections: tuple[str, ...], **more: Any) -> Stage:
    return Stage(name, needs, sections, TRAINED_WITH, training_inputs, train, **more)


STAGES = {
    stage.name: stage
    for stage in (
        # The control arm trains the teacher's model on the labeled images alone, for as many
        # iterations as teacher and student together.
        _training("control", (), ("teacher", "control")),
        _training("teacher", (), ("teacher",)),
        Stage(
            "predict",
            needs=("teacher",),
            sections=("teacher", "predict"),
            keys=PREDICTED_WITH,
            inputs=prediction_inputs,
            run=predict,
            trains=False,
        ),
        Stage(
            "label",
            needs=("predict",),
            sections=(),
            keys=("label",),
            inputs=label_inputs,
            run=label,
            trains=False,
            resumes=False,
        ),
        # With a method in the section ``online``, the student does not need the stage ``label``.
        _training("student", ("teacher", "label"), ("student", "online")),
        # The oracle is the student's model, trained with the true labels of the unlabeled images
        # instead of pseudo-labels.
        _training("oracle", ("teacher",), ("student", "oracle"), labels_from="oracle"),
    )
}
DEFAULT_STAGES = tuple(name for name in STAGES if name != "oracle")
TRAINING_STAGES = tuple(stage.name for stage in STAGES.values() if stage.trains)


def stage_config(config: Config, name: str, work_dir: WorkDir | str | Path) -> Config:
    """Return the config of a stage: sections merged, and names in braces replaced.

    Args:
        config: the user's config, with sections. A section is a dictionary with the settings of
            certain stages, such as ``teacher``.
        name: name of the stage.
        work_dir: folder of the whole run.

    Returns:
        A plain MMDetection config. For the stage ``label``, the config instead has only the
        sections ``label``, ``report`` and ``split`` and the key ``visualizer``.

    Raises:
        ValueError: a name in braces, such as ``{work_dir}``, is unknown; the training length of
            the stage ``control`` cannot be derived from teacher and student; a key is missing; or
            a value is a string or a number where a dictionary is expected.
    """
    try:
        return _resolved(config, name, work_dir)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"the settings of stage {name} cannot be derived from the config "
            f"({type(error).__name__}: {error}): a key is missing, or a value is a string or a "
            "number where a dictionary is expected; correct the config"
        ) from error


def _resolved(config: Config, name: str, work_dir: WorkDir | str | Path) -> Config:
    paths = work_dir if isinstance(work_dir, WorkDir) else WorkDir(Path(work_dir))
    stage = STAGES[name]
    names = {
        "work_dir": str(paths.path),
        "teacher_checkpoint": str(teacher_checkpoint(config, paths)),
        "pseudo_labels": user_file(config, stage.labels_from, "ann_file")
        or str(paths.pseudo_labels),
    }
    if name == "label":
        return resolve(config, stage.sections, names, SETTINGS)
    sections = [config.get(section) or {} for section in stage.sections]
    method = any(section.get("method") for section in sections)
    plain = resolve(config, stage.sections, names, RUNNER_KEYS | (ONLINE_KEYS if method else set()))
    if method:
        train_online(plain)
    without_workers(plain)
    plain.work_dir = str(paths.folder(name))
    plain.experiment_name = name
    if plain.get("visualizer"):
        # If the visualizers of two stages had the same name, MMEngine would write the curves of
        # both stages to the folder of the first stage.
        plain.visualizer.name = plain.work_dir
    if not stage.trains:
        predict_with_tta(plain)
        for key in TRAINING_KEYS:
            plain[key] = None
        plain.test_evaluator = []
        return plain
    own_schedule = {"train_cfg", "iterations"} & set(config.get("control") or {})
    if name == "control" and not own_schedule:
        parts = ("teacher", "student")
        total = sum(iterations(part, stage_config(config, part, paths)) for part in parts)
        stretch_schedule(plain, total)
    skip_last_validation(plain.get("train_cfg") or {})
    return plain


def teacher_checkpoint(config: Config, work_dir: WorkDir) -> Path:
    """Return the path of the teacher's weights.

    This path is the value of the config key ``teacher.checkpoint``. If the key is not set, this
    path is the file that the stage ``teacher`` writes.
    """
    return Path(user_file(config, "teacher", "checkpoint") or work_dir.checkpoint("teacher"))


def left_out(config: Config, name: str) -> bool:
    """Return whether a run leaves out a stage because the stage's output is not needed.

    The stage ``teacher`` is left out if the config names a checkpoint of the teacher. The stages
    ``predict`` and ``label`` are left out in two cases: the config names a file with pseudo-labels,
    or the student is trained by a method that needs no such file (:func:`trains_online`). No other
    stage is left out.
    """
    if name == "teacher":
        return user_file(config, "teacher", "checkpoint") is not None
    given = user_file(config, "label", "ann_file") is not None or trains_online(config)
    return name in ("predict", "label") and given


def trains_online(config: Config) -> bool:
    """Return whether the config's section ``online`` names a method that trains the student.

    With such a method, the student does not need the pseudo-labels of the stage ``label``.
    """
    return bool((config.get("online") or {}).get("method"))


def with_dependents(names: Sequence[str]) -> set[str]:
    """Return the given names of stages, and the names of all stages that need their output.

    Stages that need this output only indirectly, through another stage, are included.
    """
    found = set(names)
    for stage in STAGES.values():
        if found & set(stage.needs):
            found.add(stage.name)
    return found


def refuse_outdated(stages: Sequence[str], starting: Set[str]) -> None:
    """Refuse to keep a finished stage that needs the output of a stage that will run now.

    Args:
        stages: the requested stages.
        starting: those of ``stages`` that will run; the others are finished.

    Raises:
        StageError: a finished stage needs a stage that will run.
    """
    for name in stages:
        if name not in starting and (needed := starting & set(STAGES[name].needs)):
            raise StageError(
                f"stage {name} is finished, but stage {min(needed)}, which makes the input of "
                f"stage {name}, would run now. Re-run both stages (--redo {name}), or remove one "
                "of them from --stages"
            )
