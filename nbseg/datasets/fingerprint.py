"""Measure the labeled images of a data set, and derive the settings of a training."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO

from nbseg.coco_values import reason_left_out
from nbseg.datasets.anchors import coverage, fit_anchor_scales
from nbseg.image_names import spread

CROP = 256  # side of a training crop in pixels
IMAGE_SIZES = (384, 512)  # long sides of images that are trained as a whole, in pixels
OBJECT_SIZES = (16, 64)  # wanted range of the median object size in crops, in pixels
LARGEST_SCALE = 4.0
# Factors of the random resizing in training: of images that are then cropped, and of whole images
# (three factors of a continuous range).
CROP_JITTER = (0.5, 0.7, 1.0, 1.4, 2.0)
WHOLE_JITTER = (0.75, 1.0, 1.25)
DETECTIONS = (50, 500)  # range of max_per_img; more would need more memory and time
# With fewer labeled images, the mean number of objects per image is a poor estimate.
FEW_IMAGES = 20
FIXED_SCORE = 0.3
EPOCHS = 12  # at least this many for the teacher, as in MMDetection's schedule 1x
FEWEST_ITERATIONS = 750  # of the teacher
DEFAULT_ANCHORS = (4, 8)
# More boxes do not change the choice of anchors.
BOXES = 2000
# Number of images, and of crop positions along each side, for the estimate of ``crop_hits``.
HIT_IMAGES = 200
POSITIONS = 100


@dataclass(frozen=True)
class Fingerprint:
    """Holds measurements of labeled images and of the objects that training uses.

    Training does not use crowds, ignored objects, objects without a mask, and objects that are
    smaller than a pixel or have no area.

    Attributes:
        objects: dictionary from the name of a class to its number of objects; classes without
            objects are absent.
        left_out: number of annotations that training does not use: a dictionary from a reason,
            such as "without a mask", to the number.
        image_sizes: width and height of each image in pixels, shape (M, 2).
        counts: number of objects in each image, shape (M,).
        boxes: x, y, width, height of each object in pixels, shape (N, 4).
        image_of: index of each object's image, shape (N,).
    """

    objects: dict[str, int]
    left_out: dict[str, int]
    image_sizes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    image_of: npt.NDArray[np.int64]

    @property
    def object_sizes(self) -> npt.NDArray[np.float64]:
        """Return each object's size in pixels: the square root of its box's area; shape (N,)."""
        return np.sqrt(self.boxes[:, 2] * self.boxes[:, 3])


@dataclass(frozen=True)
class Settings:
    """Holds the settings of a training.

    Attributes:
        crops: True if the model trains on crops, because the objects are small; False if it trains
            on whole images.
        image_scale: factor by which images are resized before crops are cut; used only if ``crops``
            is True.
        image_size: long side of resized images in pixels; used only if ``crops`` is False.
        crop_hits: share (0 to 1) of random crops that contain a part of an object, averaged over
            the random scales of the training; 1 if ``crops`` is False.
        object_size: median object size in resized images, in pixels.
        anchor_scales: scales of the RPN's anchors.
        anchor_coverage: two numbers that say how well the anchors fit the object boxes at all
            random scales of the training: the mean IoU of a box with its best anchor, and the share
            of boxes (0 to 1) for which this IoU is at least 0.5.
        default_coverage: as ``anchor_coverage``, but with the anchor scales 4 and 8.
        max_per_img: largest number of detections in an image, at most 500 even if an image has
            more objects.
        batch_size: images per iteration.
        num_workers: processes that load images.
        teacher_iterations: training iterations of the teacher.
        student_iterations: training iterations of the student: half as many as those of the
            teacher, because the student starts from the teacher's weights.
        box_threshold: smallest score of a box that becomes a pseudo-label. "match" chooses this
            score so that an unlabeled image has as many boxes, on average, as a labeled image has
            objects.
    """

    crops: bool
    image_scale: float
    image_size: int
    crop_hits: float
    object_size: int
    anchor_scales: list[float]
    anchor_coverage: tuple[float, float]
    default_coverage: tuple[float, float]
    max_per_img: int
    batch_size: int
    num_workers: int
    teacher_iterations: int
    student_iterations: int
    box_threshold: str | float


def measure(truth: COCO) -> Fingerprint:
    """Measure the labeled images of a COCO json.

    Args:
        truth: the json, as ``nbseg.coco.load_coco`` returns it.

    Returns:
        The measurements of all images of the json.

    Raises:
        ValueError: the json has no object with which masks can be trained; the message counts the
            reasons.
    """
    names = {number: category["name"] for number, category in truth.cats.items()}
    index = {number: position for position, number in enumerate(truth.imgs)}
    reasons = Counter[str]()
    used = []
    for annotation in truth.dataset["annotations"]:
        if reason := reason_left_out(annotation):
            reasons[reason] += 1
        else:
            used.append(annotation)
    if not used:
        causes = "; ".join(f"{count} annotations are {reason}" for reason, count in reasons.items())
        raise ValueError(
            f"none of the {len(truth.imgs)} labeled images has an object with which masks can be "
            f"trained: {causes or 'there are no annotations'}. Add objects with masks to the json"
        )
    objects = Counter(names[annotation["category_id"]] for annotation in used)
    image_of = np.array([index[annotation["image_id"]] for annotation in used])
    return Fingerprint(
        objects={name: objects[name] for name in names.values() if objects[name]},
        left_out=dict(reasons),
        image_sizes=np.array([(i["width"], i["height"]) for i in truth.imgs.values()]),
        counts=np.bincount(image_of, minlength=len(index)),
        boxes=np.array([annotation["bbox"] for annotation in used], np.float64),
        image_of=image_of,
    )


def choose_settings(found: Fingerprint, images: int, cores: int) -> Settings:
    """Derive the settings of a training from measurements of labeled images.

    Args:
        found: the measurements.
        images: number of labeled images to train on, without those set aside for validation.
        cores: number of CPU cores.
    """
    sizes = found.object_sizes
    median, large = float(np.median(sizes)), float(np.percentile(sizes, 90))
    crops = large < CROP / 2
    image_scale, image_size = 1.0, IMAGE_SIZES[0]
    if crops:
        image_scale = _image_scale(median, large)
        factors = np.full(len(sizes), image_scale)
    else:
        shrunk = 1 / found.image_sizes.max(axis=1)[found.image_of]
        if np.median(sizes * shrunk * image_size) < OBJECT_SIZES[0]:
            image_size = IMAGE_SIZES[1]
        factors = shrunk * image_size
    boxes = np.array(spread((found.boxes * factors[:, None]).tolist(), BOXES))
    jittered = np.concatenate([boxes * f for f in (CROP_JITTER if crops else WHOLE_JITTER)])
    anchor_scales = fit_anchor_scales(jittered)
    batch_size = 2 if image_size == IMAGE_SIZES[1] else 4
    most = ceil(2 * int(found.counts.max()) / 50) * 50
    iterations = max(FEWEST_ITERATIONS, ceil(EPOCHS * images / batch_size))
    return Settings(
        crops=crops,
        image_scale=image_scale,
        image_size=image_size,
        crop_hits=_mean_crop_hits(found, image_scale) if crops else 1.0,
        object_size=max(1, round(float(np.median(sizes * factors)))),
        anchor_scales=anchor_scales,
        anchor_coverage=coverage(jittered, anchor_scales),
        default_coverage=coverage(jittered, DEFAULT_ANCHORS),
        max_per_img=min(max(most, DETECTIONS[0]), DETECTIONS[1]),
        batch_size=batch_size,
        num_workers=min(max(cores - 1, 0), 4),
        teacher_iterations=iterations,
        student_iterations=ceil(iterations / 2),
        box_threshold=FIXED_SCORE if images < FEW_IMAGES else "match",
    )


def crop_hits(width: float, height: float, boxes: npt.NDArray[np.float64]) -> float:
    """Return the share (0 to 1) of an image's random crops that contain a part of an object.

    The share is estimated with 100 x 100 evenly spaced crops of 256 x 256 pixels. If a side of the
    image is shorter than 256 pixels, each crop covers this whole side.

    Args:
        width, height: size of the resized image in pixels.
        boxes: x, y, width, height of the objects in pixels of the resized image, shape (N, 4).
    """
    places = (np.arange(POSITIONS) + 0.5) / POSITIONS
    hits = []
    for axis, side in enumerate((width, height)):
        start = (places * max(side - CROP, 0))[:, None]
        low, high = boxes[:, axis], boxes[:, axis] + boxes[:, axis + 2]
        hits.append((start < high) & (start + CROP > low))
    return float((hits[0].astype(np.float32) @ hits[1].T.astype(np.float32) > 0).mean())


def _mean_crop_hits(found: Fingerprint, image_scale: float) -> float:
    # The training leaves out images without an object.
    images = spread(np.flatnonzero(found.counts).tolist(), HIT_IMAGES)
    hits = []
    for image in images:
        boxes = found.boxes[found.image_of == image]
        for factor in image_scale * np.array(CROP_JITTER):
            width, height = found.image_sizes[image] * factor
            hits.append(crop_hits(width, height, boxes * factor))
    return float(np.mean(hits))


def _image_scale(median: float, large: float) -> float:
    """Return the factor by which images are resized before crops are cut.

    The factor brings the median object size into the range from 16 to 64 pixels. It is at most 4,
    and an enlarged object of the size ``large`` has at most 128 pixels, half the side of a crop.
    With these two limits, the median object size can stay below 16 pixels.

    Args:
        median: median size of the objects in pixels.
        large: size in pixels that 90% of the objects do not exceed.
    """
    low, high = OBJECT_SIZES
    if median > high:
        return round(high / median, 2)
    if median < low:
        return round(max(1.0, min(low / median, CROP / 2 / large, LARGEST_SCALE)), 2)
    return 1.0
