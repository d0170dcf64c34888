"""An exported model in the place of a checkpoint's: MMEngine's test loop runs it."""

from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from nbseg.deploy.runtime import Segmenter
from nbseg.registry import MODELS


@MODELS.register_module()
class ExportedDetector(BaseModel):  # type: ignore[misc]
    """Predicts with :class:`nbseg.deploy.runtime.Segmenter`, which resizes by its own rule.

    The test pipeline must therefore load and pack only. Masks are COCO run lengths.

    Args:
        model: an ONNX file that ``tools/export_onnx.py`` wrote.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self.segmenter = Segmenter(model)

    def forward(
        self, inputs: list[Tensor], data_samples: list[DetDataSample], mode: str = "predict"
    ) -> list[DetDataSample]:
        """Return the samples with ``pred_instances``.

        Args:
            inputs: images (3, H, W) uint8 in the order BGR, not resized.
            data_samples: one per image.
            mode: ``predict``; an exported model cannot be trained.
        """
        if mode != "predict":
            raise ValueError(f"an exported model only predicts, found mode {mode!r}")
        images = [image.permute(1, 2, 0).contiguous().cpu().numpy() for image in inputs]
        detections_of_images = self.segmenter.predict(images)
        for sample, detections in zip(data_samples, detections_of_images, strict=True):
            sample.pred_instances = InstanceData(
                bboxes=torch.from_numpy(detections.boxes),
                scores=torch.from_numpy(detections.scores),
                labels=torch.from_numpy(detections.labels),
                masks=detections.rles,
            )
        return data_samples


def predict_with_onnx(plain: Config, model: str | Path) -> None:
    """Let a plain config test an exported model, in place.

    Raises:
        FileNotFoundError, ValueError: the model cannot be loaded, or has other classes.
    """
    classes = tuple((plain.test_dataloader.dataset.get("metainfo") or {}).get("classes") or ())
    found = Segmenter(model).classes
    if classes and classes != found:
        raise ValueError(
            f"{model} knows the classes {', '.join(found)}, the config {', '.join(classes)}; test "
            "it with the config it was exported from"
        )
    plain.model = {"type": "ExportedDetector", "model": str(model)}
    pipeline = plain.test_dataloader.dataset.pipeline
    plain.test_dataloader.dataset.pipeline = [t for t in pipeline if t["type"] != "Resize"]
