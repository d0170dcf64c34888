"""Checkpoints: publishing them without the optimizer's state, and loading them strictly."""

from pathlib import Path

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

import nbseg
from nbseg.errors import StageError
from nbseg.files import replacing


def publish(checkpoint: str | Path, out: str | Path) -> None:
    """Write a training checkpoint's weights and meta, its config among them, to ``out``.

    The file is written under a temporary name and renamed when it is complete.
    """
    # MMEngine's meta and history buffers are not tensors, so weights_only cannot read the file.
    content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    meta = {**content["meta"], "nbseg_version": nbseg.__version__}
    with replacing(out) as temporary:
        torch.save({"state_dict": content["state_dict"], "meta": meta}, temporary)


def load_strictly(model: nn.Module, checkpoint: str | Path) -> None:
    """Load a checkpoint into ``model``, or into the model inside an MMEngine wrapper.

    Raises:
        StageError: the checkpoint belongs to another model. MMEngine's loading would only warn and
            leave some parameters untrained.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = getattr(model, "module")  # noqa: B009  a submodule, which mypy takes for a Tensor
    content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    state = content.get("state_dict", content)
    expected = model.state_dict()
    wrong = [k for k in expected if k not in state or state[k].shape != expected[k].shape]
    unknown = [k for k in state if k not in expected]
    if wrong or unknown:
        raise StageError(
            f"{checkpoint} is not a checkpoint of the config's model: {len(wrong)} parameters are "
            f"missing or of another shape {wrong[:3]}, {len(unknown)} are unknown {unknown[:3]}; "
            "use the config.py in the checkpoint's folder"
        )
    model.load_state_dict(state)
