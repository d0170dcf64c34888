"""Load annotations with cropped masks."""

from typing import Any

from mmdet.datasets.transforms import LoadAnnotations

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadCroppedAnnotations(LoadAnnotations):
    """Load annotations as MMDetection does, with ``gt_masks`` as :class:`CroppedBitmapMasks`.

    The masks equal MMDetection's pixel by pixel. Polygons and RLEs are converted directly to tight,
    bit-packed crops, without full-size bitmaps.

    MMDetection sets the ignore flag of an object if none of its polygons has at least three points.
    This transform also sets the flag if the object has no mask, or if its mask covers no pixel.

    Args:
        **kwargs: arguments of ``LoadAnnotations``.

    Raises:
        ValueError: ``poly2mask`` is False.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.poly2mask:
            raise ValueError(
                "LoadCroppedAnnotations: poly2mask must be True, because crops hold pixels; to "
                "keep polygons, use MMDetection's LoadAnnotations(poly2mask=False)"
            )

    def _process_masks(self, results: dict[str, Any]) -> list[Any]:
        for instance in results.get("instances", ()):
            # MMDetection ignores an instance with an empty list of polygons.
            instance["mask"] = instance.get("mask") or []
        return list(super()._process_masks(results))

    def _load_masks(self, results: dict[str, Any]) -> None:
        segmentations = self._process_masks(results)
        masks = CroppedBitmapMasks.from_segmentations(segmentations, *results["ori_shape"])
        results["gt_masks"] = masks
        empty = (masks.crops[:, 2:] == 0).any(dim=1).cpu().numpy()
        results["gt_ignore_flags"] = results["gt_ignore_flags"] | empty
