"""Compare weights that a stage starts from with its model, before training and when they load."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from nbseg.checkpoint import refuse_other_model
from nbseg.models.pretrained_weights import MatchingPretrainedInit, load_matching
from nbseg.registry import HOOKS, MODELS

ADVICE = "load_from wants a checkpoint of the config's detector"


def check_weights(plain: Config) -> None:
    """Refuse weights of ``init_cfg`` and ``load_from`` that do not fit the model.

    Call this function in every process: MMEngine's downloads wait for one another.

    Args:
        plain: plain config of a training stage. A ``load_from`` that does not exist yet is not
            compared: a stage may make it.

    Raises:
        FileNotFoundError: a file of ``init_cfg`` does not exist.
        StageError: a file cannot be read, or too little of it fits the model.
    """
    source = plain.get("load_from")
    if source and "://" not in source and not Path(source).exists():
        source = None
    if not source and "Pretrained" not in str(plain.model):
        return
    model = MODELS.build({"data_preprocessor": plain.get("data_preprocessor"), **plain.model})
    for module in model.modules():
        for init in _init_cfgs(module):
            if init.get("type") == "Pretrained":
                MatchingPretrainedInit(**{k: v for k, v in init.items() if k != "type"})(module)
    if source:
        content = CheckpointLoader.load_checkpoint(source, "cpu")
        load_matching(model, content, source, "the model", ADVICE)


def _init_cfgs(module: nn.Module) -> list[dict[str, Any]]:
    init = getattr(module, "init_cfg", None) or []
    return [init] if isinstance(init, dict) else list(init)


@HOOKS.register_module()
class MatchingWeightsHook(Hook):  # type: ignore[misc]
    """Make MMEngine load only weights that fit the model, and with any common prefix."""

    priority = "VERY_HIGH"  # before EMAHook reads the weights

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit; otherwise rename its weights in place.

        Raises:
            StageError: too little of ``load_from`` fits, or the checkpoint to resume from is of
                another model.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        source = str(runner._load_from)
        if runner._resume:
            refuse_other_model(model, checkpoint["state_dict"], source)
        else:
            checkpoint["state_dict"] = load_matching(model, checkpoint, source, "the model", ADVICE)
