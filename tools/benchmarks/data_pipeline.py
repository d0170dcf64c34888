"""Benchmark the training pipeline of one data-loading worker.

nbseg crops each mask to its object; MMDetection's bitmaps have the size of the image.
"""

import pickle
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.case import Case, CaseTimes
from benchmarks.scenes import boxes_of, outlines
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS

import nbseg.datasets.loading  # noqa: F401  registers LoadCroppedAnnotations

HEIGHT, WIDTH, INSTANCES = 1024, 2048, 30
OURS, THEIRS = "LoadCroppedAnnotations", "LoadAnnotations"


def pipeline(load: str, with_image: bool) -> Compose:
    """Return the weak augmentation of Noisy Boundaries, with a fixed scale and flip.

    Args:
        load: type of the transform that loads annotations.
        with_image: whether to load and resize the image, too. If False, only the masks are loaded
            and resized.
    """
    steps: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}] if with_image else []
    steps.append({"type": load, "with_bbox": True, "with_mask": True})
    if with_image:
        steps.append({"type": "Resize", "scale": (1600, 800), "keep_ratio": True})
    else:
        steps.append({"type": "ResizeMasks", "scale": (1600, 800)})
    steps += [{"type": "RandomFlip", "prob": 1.0}, {"type": "PackDetInputs", "meta_keys": ()}]
    return Compose([TRANSFORMS.build(step) for step in steps])


@TRANSFORMS.register_module(force=True)
class ResizeMasks:
    """Resizes masks like MMDetection's Resize, but does not resize the image."""

    def __init__(self, scale: tuple[int, int]) -> None:
        self.scale = scale

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        results["gt_masks"] = results["gt_masks"].rescale(self.scale)
        results["img_shape"] = (results["gt_masks"].height, results["gt_masks"].width)
        return results


def record(image: Path) -> dict[str, Any]:
    polygons = outlines(np.random.default_rng(0), INSTANCES, HEIGHT, WIDTH)
    return {
        "img_path": str(image),
        "img_shape": (HEIGHT, WIDTH),
        "ori_shape": (HEIGHT, WIDTH),
        "instances": [
            {"bbox": box.tolist(), "bbox_label": 0, "mask": polygon, "ignore_flag": 0}
            for box, polygon in zip(boxes_of(polygons), polygons, strict=True)
        ],
    }


def masks_of(pipeline: Compose, record: dict[str, Any]) -> Any:
    sample = pipeline({**record, "img": np.zeros((2, 2, 3), np.uint8)})
    return sample["data_samples"].gt_instances.masks


def agree(ours: Any, theirs: Any) -> bool:
    return bool((ours.to_ndarray() == theirs.to_ndarray()).all())


def compare_sizes(small: int, large: int, _: CaseTimes) -> str:
    return (
        f"nbseg {small / 1e6:.3f} MB, MMDetection {large / 1e6:.1f} MB, which is "
        f"{large / small:.0f} times as much"
    )


def images_per_second(times: CaseTimes) -> str:
    return ", ".join(f"{name} {1 / seconds:.1f}" for name, seconds in times.seconds.items())


def cases(threads: int, device: str) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.png"
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        cv2.imwrite(str(image), cv2.resize(noise, (WIDTH, HEIGHT)))
        for name, with_image in (("masks alone", False), ("whole sample", True)):
            ours, theirs = (
                partial(masks_of, pipeline(load, with_image), record(image))
                for load in (OURS, THEIRS)
            )
            small, large = (len(pickle.dumps(make())) for make in (ours, theirs))
            yield Case(
                name=f"{HEIGHT}x{WIDTH} {name}",
                nbseg=ours,
                peers={"MMDetection": theirs},
                agree=agree,
                facts={
                    "masks as pickled": partial(compare_sizes, small, large),
                    "images/s of one worker": images_per_second,
                },
            )
