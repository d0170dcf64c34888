"""Pictures of annotations: an image, its true masks and the predicted or pseudo-labeled ones."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from nbseg.coco import to_rle
from nbseg.files import replacing
from nbseg.visualization.colors import PALETTE


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
        categories: COCO categories, for names and colors.
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
    written = []
    for image in images:
        pixels = cv2.imread(str(Path(image_folder) / image["file_name"]))
        if pixels is None:
            continue
        height, width = pixels.shape[:2]
        enlarge = max(1, round(min_side / min(height, width)))
        size = (enlarge * width, enlarge * height)
        tiles = [captioned(resized(pixels, size), "image")]
        for caption, annotations in grouped.items():
            drawn = draw_annotations(pixels, annotations[image["id"]], categories, size)
            tiles.append(captioned(drawn, f"{caption} ({len(annotations[image['id']])})"))
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


def draw_annotations(
    pixels: np.ndarray,
    annotations: Sequence[dict],
    categories: Sequence[dict],
    size: tuple[int, int],
    tint: float | Sequence[float] = 0.4,
    thickness: int = 1,
) -> np.ndarray:
    """Resize an image, tint the masks on it, draw their outlines and name up to 20 of them.

    Args:
        pixels: BGR, uint8, shape (H, W, 3).
        annotations: COCO annotations (RLE or polygons) of the image; ``score`` is shown.
        categories: COCO categories, for names and colors.
        size: width w and height h of the result.
        tint: opacity of the color inside the masks; one for all, or one for each.
        thickness: of the outlines, in pixels of the result.

    Returns:
        BGR, uint8, shape (h, w, 3).
    """
    names = {category["id"]: category["name"] for category in categories}
    colors = {c["id"]: PALETTE[i % len(PALETTE)] for i, c in enumerate(categories)}
    height, width = pixels.shape[:2]
    canvas = resized(pixels, size)
    tints = np.broadcast_to(tint, len(annotations))
    for annotation, opacity in zip(annotations, tints, strict=True):
        mask = cv2.resize(
            coco_mask.decode(to_rle(annotation["segmentation"], height, width)),
            size,
            interpolation=cv2.INTER_NEAREST,
        )
        color = colors[annotation["category_id"]]
        if opacity:
            inside = mask > 0
            canvas[inside] = ((1 - opacity) * canvas[inside] + opacity * color).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, color.tolist(), thickness)
    font = (cv2.FONT_HERSHEY_SIMPLEX, 0.35 if thickness == 1 else 0.42)
    taken: list[tuple[int, int]] = []
    for annotation in annotations if len(annotations) <= 20 else ():
        text = names[annotation["category_id"]]
        if "score" in annotation:
            text += f" {annotation['score']:.2f}"
        x = round(annotation["bbox"][0] * size[0] / width)
        y = max(round(annotation["bbox"][1] * size[1] / height), 10)
        # Two names for one object stand below each other.
        while any(abs(x - left) < 60 and abs(y - base) < 12 for left, base in taken):
            y += 12
        taken.append((x, y))
        cv2.putText(canvas, text, (x, y), *font, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(canvas, text, (x, y), *font, (255,) * 3, 1, cv2.LINE_AA)
    return canvas


def _by_image(annotations: Iterable[dict], wanted: set[int]) -> dict[int, list[dict]]:
    grouped: dict[int, list[dict]] = defaultdict(list)
    for annotation in annotations:
        if annotation["image_id"] in wanted:
            grouped[annotation["image_id"]].append(annotation)
    return grouped


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge with sharp pixels, as the masks have them; reduce smoothly."""
    smaller = size[0] < pixels.shape[1]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)


def captioned(pixels: np.ndarray, caption: str) -> np.ndarray:
    """Put a bar with a caption above a BGR picture."""
    bar = np.full((18, pixels.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    return np.vstack([bar, pixels])
