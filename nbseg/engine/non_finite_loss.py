"""Stop a training whose loss or weights are NaN or infinite, and save the batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import BaseBoxes
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor

from nbseg.checkpoint import refuse_non_finite
from nbseg.errors import StageError
from nbseg.files import replacing
from nbseg.registry import HOOKS

ADVICE = (
    "Lower the learning rate (optim_wrapper.optimizer.lr), clip gradients "
    "(optim_wrapper.clip_grad), or look for wrong labels in these images; --resume continues from "
    "the last checkpoint"
)


@dataclass(frozen=True)
class Iteration:
    """Holds the losses of an iteration while they are copied to the CPU.

    Attributes:
        number: number of the iteration, from 1.
        losses: names of the losses.
        values: mean of each loss, float32 on the CPU, shape (len(losses),). The values are valid
            only when the event ``copied`` has occurred.
        copied: CUDA event at the end of the copy; None if the losses were on the CPU.
        batch: the batch from the data loader.
    """

    number: int
    losses: list[str]
    values: Tensor
    copied: torch.cuda.Event | None
    batch: Any


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops the training when a loss in any process is NaN or infinite.

    The inputs, targets and losses of the batch are saved in the stage's folder as plain data. On a
    GPU, the losses are copied asynchronously and checked after the next iteration, so that the
    check does not synchronize the GPU. A checkpoint is written only after the losses of its
    iteration are checked, and only if all weights are finite.
    """

    priority = "LOW"  # after the logger and EMAHook, before the checkpoint is written

    def __init__(self) -> None:
        self._last: Iteration | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Check the losses of this iteration on a CPU, or of the previous iteration on a GPU."""
        self._check_losses(runner)
        losses = {
            name: value.detach()
            for name, value in (outputs or {}).items()
            if "loss" in name and isinstance(value, Tensor)
        }
        if not losses:
            return
        values = torch.stack([value.float().mean() for value in losses.values()])
        host, copied = _copy_to_host(values)
        self._last = Iteration(runner.iter + 1, list(losses), host, copied, data_batch)
        if copied is None:
            self._check_losses(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the losses of the last iteration, and the weights to be saved.

        Raises:
            StageError: a loss or a weight is not finite.
        """
        self._check_losses(runner)
        for key in ("state_dict", "ema_state_dict"):
            refuse_non_finite(checkpoint.get(key, {}), f"the model trained in {runner.work_dir}")

    def after_train(self, runner: Runner) -> None:
        """Check the losses of the last iteration."""
        self._check_losses(runner)

    def _check_losses(self, runner: Runner) -> None:
        last = self._last
        if last is None:
            return
        if last.copied is not None:
            last.copied.synchronize()
        self._last = None
        bad = {
            name: float(value)
            for name, value in zip(last.losses, last.values, strict=True)
            if not torch.isfinite(value)
        }
        if not bad:
            return
        file = Path(runner.work_dir) / f"non_finite_iter_{last.number}_rank_{get_rank()}.pth"
        batch = as_data(last.batch)
        losses = dict(zip(last.losses, last.values.tolist(), strict=True))
        with replacing(file) as temporary:
            torch.save({"iteration": last.number, "losses": losses, "batch": batch}, temporary)
        parts = {name: value for name, value in bad.items() if name != "loss"} or bad
        raise StageError(
            f"the training diverged: {', '.join(f'{k} is {v}' for k, v in parts.items())} in "
            f"iteration {last.number} of process {get_rank()}, with the images "
            f"{', '.join(_images(batch))}. The batch is saved in {file}. {ADVICE}"
        )


def _copy_to_host(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    if not values.is_cuda:
        return values, None
    host = values.to("cpu", non_blocking=True)  # into pinned memory
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()
    return host, copied


def as_data(value: Any) -> Any:
    """Convert a batch to plain data, which ``torch.load(..., weights_only=True)`` can read.

    Plain data are tensors, numbers, strings and None, in lists and dictionaries. NumPy arrays and
    masks become tensors. A value of any other type becomes a string.
    """
    if isinstance(value, BaseDataElement):
        return {key: as_data(part) for key, part in value.all_items()}
    if isinstance(value, dict):
        return {str(key): as_data(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(part) for part in value]
    if isinstance(value, BaseBoxes):
        value = value.tensor
    if hasattr(value, "to_ndarray"):  # masks, (G, H, W)
        value = value.to_ndarray()
    if isinstance(value, np.ndarray | np.generic):
        value = torch.from_numpy(np.array(value))
    if isinstance(value, Tensor):
        return value.detach().cpu()
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _images(batch: Any) -> list[str]:
    """Return the paths of the images in a batch of plain data."""
    if isinstance(batch, dict):
        own = [batch["img_path"]] if "img_path" in batch else []
        return own + [name for part in batch.values() for name in _images(part)]
    if isinstance(batch, list):
        return [name for part in batch for name in _images(part)]
    return []
