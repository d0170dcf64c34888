"""Predict unlabeled images in an MMEngine loop, and write predictions to disk during the run."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import Dataset

from nbseg.datasets.loading import loading_options
from nbseg.errors import StageError
from nbseg.images import read_image
from nbseg.pseudo.predictions import (
    ImagePredictions,
    PredictionStore,
    PredictionWriter,
    write_index,
)
from nbseg.registry import DATASETS, LOOPS


@LOOPS.register_module()
class PseudoLabelLoop(BaseLoop):
    """Predicts unlabeled images with a ``MaskTTAModel`` and stores the predictions.

    ``MaskTTAModel`` merges the predictions from several views (scales and flips) of an image. The
    store is a folder with files of predictions (``nbseg.pseudo.predictions``).

    Use this loop as the ``test_cfg`` of a runner. A batch is skipped if the store has predictions
    for all images of the batch. Thus a killed run continues where it stopped, even with another
    number of processes. If the data set grows, only batches with new images are predicted.

    The division of the images into batches does not depend on the store or on the number of
    processes. In another batch, an image would be padded differently, and the last digits of its
    predictions would change.

    An image that cannot be read is left out with a warning.

    Args:
        runner: the runner.
        dataloader: config of the data loader of the unlabeled images, without ``sampler`` and
            ``collate_fn``.
        evaluator: ignored; a runner passes an evaluator to every test loop.
        store: folder of the store; None means ``{runner.work_dir}/predictions``.
        images_per_part: number of images that a process predicts between two writes to the store.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        evaluator: Evaluator | dict[str, Any] | list[Any] | None = None,
        store: str | None = None,
        images_per_part: int = 64,
    ) -> None:
        self.store = store or os.path.join(runner.work_dir, "predictions")
        self.images_per_part = images_per_part
        dataset = DATASETS.build(dataloader["dataset"])
        dataset.full_init()
        finished = PredictionStore(self.store).predicted() if os.path.isdir(self.store) else {}
        self.images: dict[int, str] = {}
        names = []
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            names.append(os.path.relpath(info["img_path"], dataset.data_prefix["img"]))
            self.images[int(info["img_id"])] = names[-1]
        if finished:
            left = len(set(names) - set(finished))
            known = len(set(names) & set(finished))
            runner.logger.info(
                f"{known} unlabeled images are already predicted, {left} must still be predicted"
            )
        missing = [
            indices
            for indices in _batches(len(dataset), dataloader["batch_size"])
            if not all(names[i] in finished for i in indices)
        ]
        own = [i for indices in missing[get_rank() :: get_world_size()] for i in indices]
        # Every process must read the names of the predicted images before any process writes new
        # predictions.
        barrier()
        images = {"dataset": ReadableImages(dataset), "sampler": own}
        super().__init__(runner, {**dataloader, **images, "collate_fn": collate_readable})

    @torch.no_grad()
    def run(self) -> dict[str, Any]:
        """Predict all batches that contain images without predictions in the store.

        Returns:
            A dict with two keys. ``images`` is the number of images with predictions; ``left_out``
            lists the names of the images that cannot be read.

        Raises:
            StageError: an image has disappeared since the start, no image can be read, or the test
                pipeline fails on an image.
        """
        runner = self.runner
        runner.call_hook("before_test")
        runner.call_hook("before_test_epoch")
        runner.model.eval()
        dataset = self.dataloader.dataset.dataset
        classes = dataset.metainfo["classes"]
        writer = PredictionWriter(self.store, classes, self.images_per_part, get_rank())
        image_folder = dataset.data_prefix["img"]
        for index, (batch, errors) in enumerate(self.dataloader):
            for error in errors:
                if isinstance(error, FileNotFoundError):
                    writer.flush()
                    raise StageError(
                        f"an unlabeled image has disappeared: {error}; put the image back, or "
                        "remove the image's entry from the json, and continue with --resume"
                    )
                runner.logger.warning(
                    f"an image cannot be read and gets no pseudo-labels: {error}; the run continues"
                )
            if batch is None:
                continue
            runner.call_hook("before_test_iter", batch_idx=index, data_batch=batch)
            samples = runner.model.test_step(batch)
            writer.append([image_predictions(sample, image_folder) for sample in samples])
            runner.call_hook("after_test_iter", batch_idx=index, data_batch=batch, outputs=samples)
        writer.flush()
        barrier()
        runner.call_hook("after_test_epoch", metrics={})
        runner.call_hook("after_test")
        return self._finish()

    def _finish(self) -> dict[str, Any]:
        """Write the store's index, and warn of the images that cannot be read.

        Returns:
            The dict that :meth:`run` returns.

        Raises:
            StageError: no image can be read.
        """
        predicted = PredictionStore(self.store).predicted()
        images = {number: name for number, name in self.images.items() if name in predicted}
        unread = {name for name in self.images.values() if name not in predicted}
        # ImageFolderDataset has left out the images whose header cannot be read.
        left_out = sorted(unread | set(getattr(self.dataloader.dataset.dataset, "unreadable", ())))
        if not images:
            names = ", ".join(left_out[:5]) or "the data set is empty"
            raise StageError(
                f"none of the {len(left_out)} unlabeled images can be read ({names}); replace "
                "them, or name another set or folder of images"
            )
        if left_out:
            more = ", ..." if len(left_out) > 5 else ""
            self.runner.logger.warning(
                f"{len(left_out)} of {len(images) + len(left_out)} unlabeled images cannot be read "
                f"and are left out of the pseudo-labels: {', '.join(left_out[:5])}{more}"
            )
        if is_main_process():
            write_index(self.store, images, left_out)
        return {"images": len(images), "left_out": left_out}


class ReadableImages(Dataset[Any]):
    """Returns the items of a data set; for an image that cannot be read, the item is the error.

    Args:
        dataset: MMDetection data set.
    """

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as failure:  # a transform may raise any error, MMCV's an AssertionError
            path = self.dataset.get_data_info(index)["img_path"]
            try:
                options = loading_options(self.dataset)
                height, width = read_image(path, options=options).shape[:2]
            except (OSError, ValueError) as error:
                return error
            raise StageError(
                f"the test pipeline fails on {path} ({width} x {height} pixels): "
                f"{type(failure).__name__}: {failure}; remove the image, or change the pipeline"
            ) from failure


def collate_readable(items: Sequence[Any]) -> tuple[Any, list[Exception]]:
    """Separate the items of :class:`ReadableImages` into a batch of images and a list of errors.

    Returns:
        ``(batch, errors)``. ``batch`` is MMEngine's ``pseudo_collate`` of the images, or None if
        all items are errors.
    """
    errors = [item for item in items if isinstance(item, Exception)]
    readable = [item for item in items if not isinstance(item, Exception)]
    return (pseudo_collate(readable) if readable else None), errors


def _batches(num_images: int, batch_size: int) -> list[range]:
    return [
        range(first, min(first + batch_size, num_images))
        for first in range(0, num_images, batch_size)
    ]


def image_predictions(sample: DetDataSample, image_folder: str) -> ImagePredictions:
    """Convert the predictions of ``MaskTTAModel`` on one image to the format of the store.

    Args:
        sample: the sample of the image; its ``pred_instances`` have ``soft_masks``, which are grids
            of mask probabilities from 0 to 1.
        image_folder: folder of the images; the stored file name is relative to this folder.

    Returns:
        The predictions as NumPy arrays. The ``soft_masks`` are uint8; a value divided by 255 is the
        mask probability.
    """
    instances = sample.pred_instances
    height, width = sample.ori_shape[:2]
    soft_masks = (instances.soft_masks.float() * 255).round().to(torch.uint8)
    return ImagePredictions(
        image_id=int(sample.img_id),
        file_name=os.path.relpath(sample.img_path, image_folder),
        height=int(height),
        width=int(width),
        boxes=instances.bboxes.float().cpu().numpy(),
        scores=instances.scores.float().cpu().numpy(),
        labels=instances.labels.cpu().numpy().astype(np.int64),
        soft_masks=soft_masks.cpu().numpy(),
    )
