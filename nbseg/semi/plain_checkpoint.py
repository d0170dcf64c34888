"""Load a plain detector's checkpoint into a model that contains this detector."""

from typing import Any

from torch import nn


def spread_plain_checkpoint(
    model: nn.Module, state_dict: dict[str, Any], prefix: str, parts: tuple[str, ...]
) -> None:
    """Rename the weights of a plain detector so that each part of a model gets a copy of them.

    The function changes ``state_dict`` in place. The other weights of the model are added to
    ``state_dict``, so they keep their values. If ``state_dict`` already has names of the parts, it
    is a checkpoint of the whole model and is not changed.

    Args:
        model: the model.
        state_dict: the checkpoint's weights, by name.
        prefix: start of the names of all weights of the model, such as ``module.``; may be empty.
        parts: names of the model's submodules that are detectors, such as ``student``.
    """
    starts = tuple(f"{prefix}{part}." for part in parts)
    if any(name.startswith(starts) for name in state_dict):
        return
    for name in [name for name in state_dict if name.startswith(prefix)]:
        value = state_dict.pop(name)
        state_dict.update({f"{start}{name.removeprefix(prefix)}": value for start in starts})
    own = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    state_dict.update({k: v for k, v in own.items() if not k.startswith(starts)})
