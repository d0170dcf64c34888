"""Checkpoints: published without the optimizer's state, loaded whole or not at all."""

from pathlib import Path

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

import nbseg
from nbseg.errors import StageError
from nbseg.files import replacing


def publish(checkpoint: str | Path, out: str | Path) -> None:
    """Write a training checkpoint's weights and meta, its config among them, to ``out``.

    The file appears by a rename, once it is whole.
    """
    # MMEngine's meta and history buffers are no tensors, so weights_only cannot read the file.
    content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    meta = {**content["meta"], "nbseg_version": nbseg.__version__}
    with replacing(out) as temporary:
        torch.save({"state_dict": content["state_dict"], "meta": meta}, temporary)


def load_strictly(model: nn.Module, checkpoint: str | Path) -> None:
    """Load a checkpoint into ``model``, or into the model that a wrapper of MMEngine's holds.

    Raises:
        StageError: it is another model's; MMEngine's loading would leave half of the parameters as
            they were.
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
            "use the config.py that lies beside the checkpoint"
        )
    model.load_state_dict(state)
