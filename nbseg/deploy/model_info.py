"""What an exported model says about itself, in its ONNX metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from nbseg.deploy.images import ResizeRule

INPUT = "images"
# In the metadata of a node: the part of the detector that it is from.
MODULE = "module"
OUTPUTS = ("boxes", "scores", "labels", "masks", "counts")


@dataclass(frozen=True)
class Quantization:
    """Backbone and neck are int8: weights by output channel, activations as uint8.

    Attributes:
        calibration_method: how the ranges of activations were found.
        calibration_images: how many images they were found on.
    """

    calibration_method: str
    calibration_images: int


@dataclass(frozen=True)
class ModelInfo:
    """What the runtime and a person need to know beside the graph.

    Attributes:
        classes: names, by label.
        resize: what happens to an image before the graph.
        mask_threshold: a pixel belongs to an object if its probability is at least this.
        score_threshold: detections in the outputs have a score above this.
        max_detections: detections of an image, at most.
        nbseg_version: of the export.
        config: the training config's text.
        quantization: of backbone and neck; None if they compute in floating point.
    """

    classes: tuple[str, ...]
    resize: ResizeRule
    mask_threshold: float
    score_threshold: float
    max_detections: int
    nbseg_version: str
    config: str
    quantization: Quantization | None = None

    def to_metadata(self) -> dict[str, str]:
        """Return the fields as ONNX metadata: a text is itself, anything else json."""
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ModelInfo":
        """Read what :meth:`to_metadata` has written.

        Raises:
            ValueError: an entry is missing or has another form.
        """
        try:
            resize = json.loads(metadata["resize"])
            for key in ("scale", "scale_factor"):
                resize[key] = resize[key] and tuple(resize[key])
            quantization = json.loads(metadata.get("quantization", "null"))
            return cls(
                classes=tuple(json.loads(metadata["classes"])),
                resize=ResizeRule(**resize),
                mask_threshold=float(metadata["mask_threshold"]),
                score_threshold=float(metadata["score_threshold"]),
                max_detections=int(metadata["max_detections"]),
                nbseg_version=metadata["nbseg_version"],
                config=metadata["config"],
                quantization=quantization and Quantization(**quantization),
            )
        except KeyError as error:
            raise ValueError(f"the model's metadata have no entry {error}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"the model's metadata are malformed: {error}") from error
