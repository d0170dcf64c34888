"""Load images and annotations, and keep only the part of each mask inside its tight box."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations
from mmengine import fileio
from mmengine.dataset import BaseDataset

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.image_options import DEFAULTS, ImageOptions
from nbseg.images import decode_image, read_image
from nbseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load an image like MMCV's ``LoadImageFromFile``, with options for TIFFs and deep images.

    A deep image has more than 8 bits per channel.

    Training, prediction and exported models all decode images with :func:`nbseg.images.read_image`
    or :func:`nbseg.images.decode_image`, so that they see the same pixel values.

    Args:
        options: arguments of :class:`nbseg.image_options.ImageOptions`. They choose the channels,
            the plane and the pyramid level to read, and the values that become 0 and 255. None
            takes the first three channels and the upper 8 bits of each value.
        to_float32, ignore_empty, backend_args: as in ``LoadImageFromFile``. With ``backend_args``,
            the whole file is read. Without ``backend_args``, only the needed parts of a TIFF are
            read.

    Raises:
        ValueError: an option has a value that is not allowed.
    """

    def __init__(
        self,
        options: ImageOptions | Mapping[str, Any] | None = None,
        to_float32: bool = False,
        ignore_empty: bool = False,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(to_float32, ignore_empty=ignore_empty, backend_args=backend_args)
        self.options = ImageOptions.of(options)
        if self.options.value_range == "own":
            raise ValueError(
                "LoadImage: options.value_range must not be 'own', because the same tissue could "
                "then have different brightness in two files; set two numbers (low, high), such as "
                "those that `tools/prepare_data.py init` measures"
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Load the image at the path ``results["img_path"]``.

        Returns:
            ``results`` with three new keys: ``img`` is the image (H, W, C), uint8 or float32, in
            BGR order if C is 3; ``img_shape`` and ``ori_shape`` are (H, W). None if the image
            cannot be loaded and ``ignore_empty`` is True.

        Raises:
            FileNotFoundError: there is no such file, and ``ignore_empty`` is False.
            ValueError: the image cannot be decoded with the options, and ``ignore_empty`` is False.
        """
        path = results["img_path"]
        try:
            if self.backend_args is None:
                image = read_image(path, options=self.options)
            else:
                content = fileio.get(path, backend_args=self.backend_args)
                image = decode_image(np.frombuffer(content, np.uint8), path, self.options)
        except Exception:
            if self.ignore_empty:
                return None
            raise
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        arguments = f"to_float32={self.to_float32}, ignore_empty={self.ignore_empty}"
        return f"LoadImage({self.options}, {arguments}, backend_args={self.backend_args})"


def loading_options(dataset: BaseDataset) -> ImageOptions:
    """Return the options of nbseg's transform ``LoadImage`` in the pipeline of a data set.

    If the pipeline does not have this transform, the default options are returned.
    """
    steps = dataset.pipeline.transforms
    return next((step.options for step in steps if isinstance(step, LoadImage)), DEFAULTS)


@TRANSFORMS.register_module()
class LoadCroppedAnnotations(LoadAnnotations):
    """Load annotations as MMDetection does, with ``gt_masks`` as :class:`CroppedBitmapMasks`.

    ``CroppedBitmapMasks`` stores only the part of a mask in its tight box, one bit per pixel.
    Polygons and RLEs are converted directly to this form, without full-size bitmaps. The masks
    equal those of MMDetection pixel by pixel.

    MMDetection sets the ignore flag of an object if its RLE is malformed, or if none of its
    polygons has at least three points. This transform also sets the flag if the object has no mask,
    or if its mask covers no pixel.

    Args:
        **kwargs: arguments of ``LoadAnnotations``.

    Raises:
        ValueError: ``poly2mask`` is False.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.poly2mask:
            raise ValueError(
                "LoadCroppedAnnotations: poly2mask must be True, found False: this transform "
                "stores masks as pixels; to keep polygons, use MMDetection's "
                "LoadAnnotations(poly2mask=False)"
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
