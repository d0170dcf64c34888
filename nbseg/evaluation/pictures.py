"""Pictures of annotations: an image, its true masks and the predicted or pseudo-labelled ones."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from nbseg.files import replacing

# Distinct hues, BGR; classes take them in turn.
PALETTE = np.array(
    [
        cv2.cvtColor(np.uint8([[[hue, 220, 255]]]), cv2.COLOR_HSV2BGR)[0, 0]
        for hue in range(0, 180, 23)
    ]
)


def draw_comparison(
    image_folder: str | Path,
    images: Sequence[dict],
    panels: dict[str, Iterable[dict]],
    categories: Sequence[dict],
    out: str | Path,
    min_side: int = 256,
) -> list[Path]:
    """Write one picture an image: the image beside the same image with each panel's annotations.

    Args:
        image_folder: where the file names begin.
        images: COCO images to draw.
        panels: by caption, COCO annotations (RLE or polygons; ``score`` is shown).
        categories: COCO categories, for names and colours.
        out: folder of the PNG files.
        min_side: smaller images are enlarged, so that outlines can be seen.

    Returns:
        The files, in the order of the images.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    grouped = {
        caption: _by_image(annotations, {image["id"] for image in images})
        for caption, annotations in panels.items()
    }
    names = {category["id"]: category["name"] for category in categories}
    colours = {c["id"]: PALETTE[i % len(PALETTE)] for i, c in enumerate(categories)}
    written = []
    for image in images:
        pixels = cv2.imread(str(Path(image_folder) / image["file_name"]))
        if pixels is None:
            continue
        enlarge = max(1, round(min_side / min(pixels.shape[:2])))
        tiles = [_captioned(_enlarged(pixels, enlarge), "image")]
        for caption, annotations in grouped.items():
            drawn = _overlay(pixels, annotations[image["id"]], names, colours, enlarge)
            tiles.append(_captioned(drawn, f"{caption} ({len(annotations[image['id']])})"))
        # Images of two folders may have the same name.
        name = Path(image["file_name"]).with_suffix(".png").as_posix()
        path = out / name.replace("/", "_")
        with replacing(path) as temporary:
            cv2.imwrite(str(temporary), np.hstack(tiles))
        written.append(path)
    return written


def draw_results(
    truth_json: str | Path,
    predicted_json: str | Path,
    image_folder: str | Path,
    out: str | Path,
    caption: str,
    limit: int = 12,
    min_score: float = 0.0,
) -> list[Path]:
    """Draw pseudo-labels, or the predictions of a test, beside the ground truth.

    Args:
        truth_json: COCO json with the true masks.
        predicted_json: COCO json, or COCO's list of results.
        image_folder: of the truth's file names.
        out: folder of the PNG files.
        caption: of the predicted panel.
        limit: of the json's images; one without a file is passed over.
        min_score: predictions below it are left out.
    """
    truth = json.loads(Path(truth_json).read_text())
    predicted = json.loads(Path(predicted_json).read_text())
    if isinstance(predicted, dict):
        predicted = predicted["annotations"]
    return draw_comparison(
        image_folder,
        truth["images"][:limit],
        {
            "ground truth": truth["annotations"],
            caption: [p for p in predicted if p.get("score", 1.0) >= min_score],
        },
        truth["categories"],
        out,
    )


def _by_image(annotations: Iterable[dict], wanted: set[int]) -> dict[int, list[dict]]:
    grouped: dict[int, list[dict]] = defaultdict(list)
    for annotation in annotations:
        if annotation["image_id"] in wanted:
            grouped[annotation["image_id"]].append(annotation)
    return grouped


def _enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


def _overlay(
    pixels: np.ndarray,
    annotations: list[dict],
    names: dict[int, str],
    colours: dict[int, np.ndarray],
    enlarge: int,
) -> np.ndarray:
    """Tint the masks, draw their outlines at the enlarged size, and name them."""
    height, width = pixels.shape[:2]
    canvas = _enlarged(pixels, enlarge)
    for annotation in annotations:
        mask = _enlarged(_decode(annotation["segmentation"], height, width), enlarge)
        colour = colours[annotation["category_id"]]
        inside = mask > 0
        canvas[inside] = (0.6 * canvas[inside] + 0.4 * colour).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, colour.tolist(), 1)
    for annotation in annotations if len(annotations) <= 20 else ():
        text = names[annotation["category_id"]]
        if "score" in annotation:
            text += f" {annotation['score']:.2f}"
        x, y = (round(v * enlarge) for v in annotation["bbox"][:2])
        cv2.putText(canvas, text, (x, max(y, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 2)
        cv2.putText(canvas, text, (x, max(y, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255,) * 3, 1)
    return canvas


def _decode(segmentation: dict | list, height: int, width: int) -> np.ndarray:
    """Return the (height, width) uint8 mask of polygons or of an RLE."""
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.decode(segmentation)


def _captioned(pixels: np.ndarray, caption: str) -> np.ndarray:
    bar = np.full((18, pixels.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    return np.vstack([bar, pixels])
