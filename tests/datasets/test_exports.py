"""Files that labeling tools and libraries wrote themselves, against the masks that they were given.

exports/make_exports.py wrote the files, with the versions in ``EXPORTS``.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from exports.make_exports import HEIGHT, WIDTH, scene
from pycocotools import mask as coco_mask

from nbseg.datasets.converters.import_labels import LabelSource, import_labels
from nbseg.datasets.converters.repair import Repairs

FOLDER = Path(__file__).parent / "exports"
CROWDS, CENTERS = {"repairs": Repairs(crowds=True)}, {"repairs": Repairs(pixel_centers=True)}
BOTH = {"repairs": Repairs(crowds=True, pixel_centers=True)}

# Path, options, and the best IoU of each given mask (disk, ring, two parts, square) with an object.
ALL = [1.0, 1.0, 1.0, 1.0]
EXPORTS = [
    # cvat-sdk 2.80.0 and datumaro 1.13.12: painted masks, and polygons along the edges of pixels.
    # Of the ring, only the outline was given as a polygon.
    ("cvat_sdk/annotations.xml", {}, ALL),
    ("datumaro/cvat/train.xml", {}, ALL),
    ("datumaro/coco_masks/annotations/instances_train.json", {}, [0, 0, 0, 0]),
    ("datumaro/coco_masks/annotations/instances_train.json", CROWDS, ALL),
    ("datumaro/coco_polygons/annotations/instances_train.json", {}, [1.0, 0.7, 1.0, 1.0]),
    # label-studio-sdk 2.1.2. A polygon has neither holes nor parts, and brush strokes become
    # polygons through the centers of pixels.
    ("label_studio/brush.json", {}, ALL),
    ("label_studio/polygon.json", {}, [1.0, 0.7, 0.5, 1.0]),
    ("label_studio/polygon_coco/result.json", {}, [1.0, 0.7, 0.5, 1.0]),
    ("label_studio/polygon_yolo", {}, [1.0, 0.7, 0.5, 1.0]),
    ("label_studio/brush_brush_to_coco/result_coco.json", {}, [0.84, 0.59, 0.38, 0.85]),
    ("label_studio/brush_brush_to_coco/result_coco.json", CENTERS, [1.0, 0.7, 0.5, 1.0]),
    # labelme 6.3.1, and labelme2coco 0.2.6 on polygons with groups.
    ("labelme/scene.json", {}, ALL),
    ("labelme2coco/scene.json", {}, [1.0, 0.7, 1.0, 1.0]),
    ("labelme2coco/coco.json", {}, [1.0, 0.7, 0.5, 1.0]),
    # geopandas 1.2.0 with rasterio 1.4.4.
    ("geopandas/scene.geojson", {}, ALL),
    ("geopandas/file/scene.geojson", {}, ALL),
    # supervision 0.31.2: in YOLO's format, parts are objects, and a bridge leads to a hole.
    ("supervision/coco.json", {}, [0.84, 0, 0, 0.85]),
    ("supervision/coco.json", BOTH, ALL),
    ("supervision/yolo", {}, [0.84, 0.74, 0.38, 0.85]),
    ("supervision/yolo", CENTERS, [1.0, 1.0, 0.5, 1.0]),
    # darwin-py 3.6.3 draws masks of several paths one pixel too wide; labelformat 0.1.17, imantics
    # 0.1.12, and globox 2.9.0, which has boxes alone.
    ("darwin/output.json", {}, [1.0, 0, 0, 1.0]),
    ("darwin/output.json", CROWDS, [1.0, 0.79, 0.78, 1.0]),
    ("labelformat/coco.json", {}, [0, 0, 0, 0]),
    ("labelformat/coco.json", CROWDS, ALL),
    ("imantics/coco.json", {}, [0.84, 0.59, 0.75, 0.85]),
    ("imantics/coco.json", {"repairs": Repairs(holes=True, pixel_centers=True)}, ALL),
    ("globox/coco.json", {}, [0, 0, 0, 0]),
    # OpenCV 4.12, Pillow 12 and tifffile.
    *(
        (f"label_images/{name}", {}, ALL)
        for name in (
            *("opencv_16.png", "opencv_8.png", "pillow_palette.png", "tifffile_32.tif"),
            *("tifffile_64.tif", "tifffile_float.tif", "imagej.tif", "ome.ome.tif"),
        )
    ),
]


@pytest.mark.parametrize(("path", "options", "expected"), EXPORTS)
def test_masks_survive(tmp_path, path, options, expected):
    assert ious(tmp_path, path, options) == expected


def test_polygons_as_dictionaries_are_refused(tmp_path):
    """kwcoco 0.9.1 writes them in its style "new", because COCO's polygons have no holes."""
    with pytest.raises(ValueError, match="neither a list of polygons nor a valid RLE"):
        ious(tmp_path, "kwcoco/coco.json", {})


def ious(tmp_path, path, options):
    source = FOLDER / path
    stem = source.name.split(".")[0] if "label_images" in path else "scene"
    if path == "label_studio/polygon_yolo":
        stem = "0a1b2c3d-scene"  # the name of the image in the export
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / f"{stem}.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    if "label_images" in path:
        (tmp_path / "masks").mkdir()
        (tmp_path / "masks" / source.name.replace(".ome", "")).write_bytes(source.read_bytes())
        source, options = tmp_path / "masks", {"class_name": "cell", **options}
    import_labels(LabelSource(source, images, **options), tmp_path / "coco.json")
    content = json.loads((tmp_path / "coco.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    found = [
        (names[each["category_id"]], coco_mask.decode(each["segmentation"]) > 0, each["iscrowd"])
        for each in content["annotations"]
    ]
    best = []
    for label, mask in scene():
        same = [
            other
            for name, other, crowd in found
            if not crowd and ("label_images" in path or name == label)
        ]
        best.append(max(((m & mask).sum() / (m | mask).sum() for m in same), default=0))
    return [round(float(value), 2) for value in best]
