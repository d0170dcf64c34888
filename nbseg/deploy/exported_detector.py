"""Run an exported model in MMEngine's test loop, in place of a checkpoint."""

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
class ExportedDetector(BaseModel):
    """Wraps an exported model as a detector for MMEngine's test loop.

    :class:`nbseg.deploy.runtime.Segmenter` runs the model. The segmenter resizes the images, so the
    test pipeline must only load and pack the images. Predicted masks are COCO RLEs.

    Args:
        model: ONNX file that ``tools/export_onnx.py`` wrote.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self.segmenter = Segmenter(model)

    def forward(
        self, inputs: list[Tensor], data_samples: list[DetDataSample], mode: str = "predict"
    ) -> list[DetDataSample]:
        """Run the model on the images, and add the predictions to the samples.

        Args:
            inputs: images (3, H, W) uint8 in BGR order, in their original size.
            data_samples: one sample per image.
            mode: must be ``"predict"``; an exported model cannot be trained.

        Returns:
            ``data_samples``, each with the predictions as ``pred_instances``.

        Raises:
            ValueError: ``mode`` is not ``"predict"``.
        """
        if mode != "predict":
            raise ValueError(
                f"an exported model can only predict, so mode must be 'predict'; found {mode!r}"
            )
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
    """Change an MMDetection config in place, so that a test with this config runs an ONNX model.

    Args:
        plain: the config. Its model is replaced, and the test pipeline loses the step ``Resize``,
            because ``Segmenter``, which runs the exported model, resizes the images.
        model: ONNX file of the exported model.

    Raises:
        FileNotFoundError: the ONNX file is missing.
        ValueError: the ONNX file cannot be loaded, nbseg did not export the model, or the model's
            classes are not the classes in the config.
    """
    classes = tuple((plain.test_dataloader.dataset.get("metainfo") or {}).get("classes") or ())
    exported = Segmenter(model).classes
    if classes and classes != exported:
        raise ValueError(
            f"{model} has the classes {', '.join(exported)}, but the config has "
            f"{', '.join(classes)}; give the config with which the model was exported"
        )
    plain.model = {"type": "ExportedDetector", "model": str(model)}
    pipeline = plain.test_dataloader.dataset.pipeline
    plain.test_dataloader.dataset.pipeline = [t for t in pipeline if t["type"] != "Resize"]
