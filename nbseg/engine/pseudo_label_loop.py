"""Predict unlabeled images in an MMEngine loop, and write the predictions to disk as they come."""

import os
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner

from nbseg.errors import StageError
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore, PredictionWriter
from nbseg.registry import DATASETS, LOOPS


@LOOPS.register_module()
class PseudoLabelLoop(BaseLoop):
    """Predicts unlabeled images with a ``MaskTTAModel``.

    Use this loop as the ``test_cfg`` of a runner. Images in the store are not predicted again, so
    that a killed run continues where it stopped, also with another number of processes. The images
    of a batch do not depend on the missing images or the number of processes: with other images in
    its batch, an image is padded differently and its predictions differ in the last digit.

    Args:
        runner: the runner.
        dataloader: config of the unlabeled images' data loader, without a sampler.
        evaluator: ignored; a runner passes an evaluator to every test loop.
        store: folder of the prediction store; None is ``{runner.work_dir}/predictions``.
        images_per_part: number of images between two writes to the store.
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
        finished = PredictionStore(self.store).file_names() if os.path.isdir(self.store) else {}
        image_ids = []
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            name = os.path.relpath(info["img_path"], dataset.data_prefix["img"])
            if finished.get(info["img_id"], name) != name:
                raise StageError(
                    f"image {info['img_id']} is {name}, but {self.store} has predictions of "
                    f"{finished[info['img_id']]} under that id: the unlabeled images have "
                    "changed; re-run the predict stage (--redo predict)"
                )
            image_ids.append(info["img_id"])
        if finished:
            left = len(set(image_ids) - set(finished))
            runner.logger.info(f"{len(finished)} images are already predicted, {left} are left")
        missing = [
            indices
            for indices in _batches(len(dataset), dataloader["batch_size"])
            if not all(image_ids[i] in finished for i in indices)
        ]
        own = [i for indices in missing[get_rank() :: get_world_size()] for i in indices]
        # Every process must list the finished images before any process writes new ones.
        barrier()
        super().__init__(runner, {**dataloader, "dataset": dataset, "sampler": own})

    @torch.no_grad()
    def run(self) -> dict[str, Any]:
        """Predict all missing images."""
        runner = self.runner
        runner.call_hook("before_test")
        runner.call_hook("before_test_epoch")
        runner.model.eval()
        dataset = self.dataloader.dataset
        classes = dataset.metainfo["classes"]
        writer = PredictionWriter(self.store, classes, self.images_per_part, get_rank())
        image_folder = dataset.data_prefix["img"]
        for index, batch in enumerate(self.dataloader):
            runner.call_hook("before_test_iter", batch_idx=index, data_batch=batch)
            samples = runner.model.test_step(batch)
            writer.append([image_predictions(sample, image_folder) for sample in samples])
            runner.call_hook("after_test_iter", batch_idx=index, data_batch=batch, outputs=samples)
        writer.flush()
        barrier()
        runner.call_hook("after_test_epoch", metrics={})
        runner.call_hook("after_test")
        return {}


def _batches(num_images: int, batch_size: int) -> list[range]:
    return [
        range(first, min(first + batch_size, num_images))
        for first in range(0, num_images, batch_size)
    ]


def image_predictions(sample: DetDataSample, image_folder: str) -> ImagePredictions:
    """Return the part of a ``MaskTTAModel`` prediction that the store keeps."""
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
