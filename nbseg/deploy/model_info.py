"""Store the properties of an exported model in its ONNX metadata, and read them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from nbseg.deploy.preprocessing import ResizeRule
from nbseg.image_options import DEFAULTS, ImageOptions

INPUT = "images"
# Key in the metadata of a node. The value is the name of the detector's part, such as backbone,
# that the node belongs to.
MODULE = "module"
OUTPUTS = ("boxes", "scores", "labels", "masks", "counts")


@dataclass(frozen=True)
class Quantization:
    """Describes the quantization of backbone and neck to int8 weights and uint8 activations.

    Attributes:
        calibration_method: name of the method that determined the ranges of the activations.
        calibration_images: number of images on which the ranges were determined.
    """

    calibration_method: str
    calibration_images: int


@dataclass(frozen=True)
class ModelInfo:
    """Holds the properties of an exported model that its ONNX graph does not state.

    Attributes:
        classes: class names in the order of the labels.
        resize: rule for resizing an image before the image enters the graph.
        mask_threshold: lowest mask probability of a pixel that belongs to an object.
        score_threshold: the graph returns only detections with a score above this threshold.
        max_detections: largest number of detections per image.
        nbseg_version: version of nbseg that exported the model.
        config: text of the config with which the model was exported.
        image_options: the channels, the plane and the range of values that the training read from
            image files.
        quantization: quantization of backbone and neck; None in a floating-point model.
    """

    classes: tuple[str, ...]
    resize: ResizeRule
    mask_threshold: float
    score_threshold: float
    max_detections: int
    nbseg_version: str
    config: str
    image_options: ImageOptions = DEFAULTS
    quantization: Quantization | None = None

    def to_metadata(self) -> dict[str, str]:
        """Return a dictionary for the ONNX metadata: each field's name, and its value as text.

        Strings stay unchanged, and other values become json.
        """
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ModelInfo":
        """Create a ``ModelInfo`` from metadata that :meth:`to_metadata` returned.

        Raises:
            ValueError: an entry is missing or malformed.
        """
        try:
            resize = json.loads(metadata["resize"])
            for key in ("scale", "scale_factor"):
                resize[key] = resize[key] and tuple(resize[key])
            quantization = json.loads(metadata.get("quantization", "null"))
            # Models that were exported before 2026-12 lack this entry.
            image_options = ImageOptions.of(json.loads(metadata.get("image_options", "null")))
            return cls(
                classes=tuple(json.loads(metadata["classes"])),
                resize=ResizeRule(**resize),
                mask_threshold=float(metadata["mask_threshold"]),
                score_threshold=float(metadata["score_threshold"]),
                max_detections=int(metadata["max_detections"]),
                nbseg_version=metadata["nbseg_version"],
                config=metadata["config"],
                image_options=image_options,
                quantization=quantization and Quantization(**quantization),
            )
        except KeyError as error:
            raise ValueError(
                f"the model's metadata lack the entry {error}; export the checkpoint again with "
                "tools/export_onnx.py"
            ) from error
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the model's metadata are malformed ({error}); export the checkpoint again with "
                "tools/export_onnx.py"
            ) from error
