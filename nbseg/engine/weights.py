"""Check, before a run and when weights are loaded, that weights fit the model of their stage."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from nbseg.checkpoint import load_strictly, refuse_other_model
from nbseg.deploy.detector import build_detector
from nbseg.engine.task import StageTask
from nbseg.models.pretrained_weights import load_matching, load_pretrained
from nbseg.registry import HOOKS

ADVICE = "needs a checkpoint of the config's detector"


def check_weights(tasks: Sequence[StageTask]) -> None:
    """Refuse weights that do not fit the model of a stage, before any stage runs.

    For a training stage, the weights are the files in ``init_cfg``, ``load_from`` and
    ``teacher_checkpoint``. For the predict stage, the weights are the teacher's. Call this function
    in every process, because the processes wait for one another when MMEngine downloads weights.

    Args:
        tasks: stages that will run; the checkpoints that these stages will write are not read.

    Raises:
        FileNotFoundError: a file of weights does not exist.
        StageError: a file cannot be read, or too few of its tensors fit the model.
    """
    made = {task.work_dir.checkpoint(task.stage) for task in tasks}
    for task in tasks:
        teacher = task.teacher_checkpoint
        if task.stage != "predict":
            _check_training(task.config, made)
        elif teacher.is_file() and teacher not in made:
            load_strictly(build_detector(task.config), teacher)
        elif teacher != task.work_dir.checkpoint("teacher"):
            raise FileNotFoundError(f"there is no file {teacher}; correct teacher.checkpoint")


def _check_training(plain: Config, made: Collection[Path]) -> None:
    named = {
        key: keys.get(key)
        for key, keys in (("load_from", plain), ("teacher_checkpoint", plain.model))
    }
    # A file that another stage makes is written later.
    files = {key: file for key, file in named.items() if file and Path(file) not in made}
    for key, file in files.items():
        if "://" not in file and not Path(file).expanduser().exists():
            raise FileNotFoundError(f"there is no file {file}; correct {key}")
    if not files and "Pretrained" not in str(plain.model):
        return
    model = build_detector(plain)
    for module in model.modules():
        load_pretrained(module)
    for key, file in files.items():
        content = CheckpointLoader.load_checkpoint(file, "cpu", "current")
        load_matching(_detector(model, content), content, file, "the model", f"{key} {ADVICE}")


def _detector(model: nn.Module, checkpoint: dict[str, Any]) -> nn.Module:
    """Return the part of a model with which a checkpoint is compared.

    If the model has a student and the checkpoint is of a plain detector, this part is the student.
    (The teacher has the same architecture.) In all other cases, this part is the whole model.
    """
    names = checkpoint.get("state_dict", checkpoint)
    of_both = any(str(name).startswith(("student.", "teacher.")) for name in names)
    return model if of_both else getattr(model, "student", model)


@HOOKS.register_module()
class MatchingWeightsHook(Hook):
    """Refuses checkpoints that do not fit the model; corrects prefixes in the names of weights."""

    priority = "VERY_HIGH"  # before EMAHook reads the weights

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit the model.

        If the checkpoint is ``load_from``, also remove a prefix of its weights' names, in place. If
        a training is resumed from the checkpoint, the names stay as they are.

        Raises:
            StageError: too few tensors of ``load_from`` fit, or the checkpoint from which to resume
                belongs to another model.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        source = str(runner._load_from)
        if runner._resume:
            refuse_other_model(model, checkpoint["state_dict"], source)
        else:
            checkpoint["state_dict"] = load_matching(
                _detector(model, checkpoint), checkpoint, source, "the model", f"load_from {ADVICE}"
            )
