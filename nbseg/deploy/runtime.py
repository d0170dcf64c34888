"""Run an exported model with NumPy, OpenCV and ONNX Runtime, without PyTorch.

segmenter = Segmenter("model.onnx")
detections = segmenter(image)                   # image: (H, W, 3) uint8 BGR, as from cv2.imread
detections.boxes, detections.scores, detections.labels, detections.rles
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from nbseg._native import paste_rle
from nbseg.deploy.detections import Detections
from nbseg.deploy.model_info import INPUT, OUTPUTS, ModelInfo
from nbseg.deploy.preprocessing import as_batch, check_image
from nbseg.image_options import Image
from nbseg.images import read_image


class Segmenter:
    """Runs an exported instance-segmentation model.

    Args:
        model: ONNX file that ``tools/export_onnx.py`` wrote.
        providers: ONNX Runtime's execution providers in order of preference. An entry is a name, or
            a pair of a name and a dict of options. Default: CUDA if available, otherwise the CPU.
            TensorRT is used only if it is listed, because building a TensorRT engine takes minutes
            for each image size.
        threads: number of CPU threads; None lets ONNX Runtime and nbseg's mask pasting choose.

    Attributes:
        classes: class names in the order of the labels.
        providers: names of the execution providers in use.
        image_options: the channels, the plane and the range of values that the training read from
            image files.
        info: class names, thresholds and other properties that the ONNX file stores.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is not a model that nbseg exported, or ``threads`` is less than 1.
        RuntimeError: a requested provider cannot be used.
    """

    def __init__(
        self,
        model: str | Path,
        providers: Sequence[str | tuple[str, dict[str, Any]]] | None = None,
        threads: int | None = None,
    ) -> None:
        if not Path(model).is_file():
            raise FileNotFoundError(f"there is no model {model}; correct the path")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, found {threads}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        wanted = list(_usable_providers() if providers is None else providers)
        names = [provider if isinstance(provider, str) else provider[0] for provider in wanted]
        unknown = [name for name in names if name not in onnxruntime.get_available_providers()]
        if unknown:
            raise RuntimeError(
                f"this build of ONNX Runtime has no execution provider {unknown[0]}; choose from "
                f"{', '.join(onnxruntime.get_available_providers())}"
            )
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=wanted)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise ValueError(
                f"ONNX Runtime cannot load {model}: {error}. If the file is damaged, export the "
                "checkpoint again with tools/export_onnx.py"
            ) from error
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        if providers is not None and (missing := [n for n in names if n not in self.providers]):
            raise RuntimeError(
                f"ONNX Runtime could not start the execution provider {missing[0]}, and would use "
                f"only {', '.join(self.providers)}; install the library that ONNX Runtime's "
                "message above names"
            )
        inputs = tuple(value.name for value in self._session.get_inputs())
        outputs = tuple(value.name for value in self._session.get_outputs())
        if (inputs, outputs) != ((INPUT,), OUTPUTS):
            raise ValueError(
                f"{model} was not exported by nbseg: expected the inputs {[INPUT]} and outputs "
                f"{list(OUTPUTS)}, found {list(inputs)} and {list(outputs)}; export a checkpoint "
                "with tools/export_onnx.py"
            )
        try:
            self.info = ModelInfo.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        except ValueError as error:
            raise ValueError(f"{model} was not exported by nbseg: {error}") from error
        self.classes = self.info.classes
        self.image_options = self.info.image_options
        self._threads = threads or 0

    def __call__(self, image: Image) -> Detections:
        """Return the detections in one image.

        Args:
            image: (H, W, 3) uint8 in BGR order.

        Raises:
            TypeError: the image is not an array of uint8.
            ValueError: the array does not have the shape (H, W, 3), or a side of the resized image
                would be shorter than one pixel.
        """
        return self.predict([image])[0]

    def predict(self, images: Sequence[Image]) -> list[Detections]:
        """Return the detections in each image, in the order of the images.

        Images that have the same size after resizing are predicted as one batch. An image's result
        does not depend on the other images. The method raises the same errors as ``__call__``.

        Args:
            images: images of any sizes, each (H, W, 3) uint8 in BGR order.
        """
        originals = [check_image(image, self.image_options.channels) for image in images]
        resized = [self.info.resize(image) for image in originals]
        indices_by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(resized):
            indices_by_shape.setdefault(image.shape, []).append(index)
        results: dict[int, Detections] = {}
        for indices in indices_by_shape.values():
            batch = as_batch([resized[index] for index in indices])
            outputs = self._session.run(OUTPUTS, {INPUT: batch})
            for index, boxes, scores, labels, masks, count in zip(indices, *outputs, strict=True):
                results[index] = self._detections(
                    originals[index].shape[:2],
                    resized[index].shape[:2],
                    boxes[:count],
                    scores[:count],
                    labels[:count],
                    masks[:count],
                )
        return [results[index] for index in range(len(originals))]

    def read(self, path: str | Path) -> Image:
        """Read an image file with the channels and the range of values that the training used.

        Args:
            path: an image file; TIFFs need the packages tifffile and imagecodecs.

        Returns:
            (H, W, 3) uint8 in BGR order; if ``image_options.bands`` names two channels or more than
            three, (H, W, C).

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file cannot be decoded, or lacks a channel that the training used.
        """
        return read_image(path, options=self.image_options)

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """Predict a batch of black images, because the first run for a new image size is slow.

        Args:
            height: height of the images before resizing, in pixels.
            width: width of the images before resizing, in pixels.
            batch: number of images.
        """
        black = np.zeros((height, width, self.image_options.channels), np.uint8)
        self.predict([black] * batch)

    def _detections(
        self,
        size: tuple[int, int],
        resized_size: tuple[int, int],
        boxes: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        masks: npt.NDArray[np.float32],
    ) -> Detections:
        height, width = size
        scale = np.array([resized_size[1] / width, resized_size[0] / height] * 2, np.float32)
        boxes = boxes / scale
        rles = paste_rle(
            masks, boxes, height, width, self.info.mask_threshold, num_threads=self._threads
        )
        return Detections(boxes, scores, labels, rles)


def _usable_providers() -> list[str]:
    """Return ONNX Runtime's usable providers: CUDA if its driver is installed, then the CPU."""
    providers = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        try:
            # Without the driver's library ONNX Runtime would print an error.
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return providers
        providers.insert(0, "CUDAExecutionProvider")
    return providers
