"""Write COCO files for reports."""

import json

import numpy as np
from pycocotools import mask as coco_mask

from nbseg.analysis.pseudo_report import read_inputs

HEIGHT, WIDTH = 48, 64

CATEGORIES = [{"id": 9, "name": "<cat> & co"}, {"id": 4, "name": "dog"}]


def square(image, category, x, y, side, **more):
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8)
    bitmap[y : y + side, x : x + side] = 1
    rle = coco_mask.encode(np.asfortranarray(bitmap))
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [x, y, side, side],
        "area": side * side,
        "iscrowd": 0,
        "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
        **more,
    }


def write(path, images, annotations, **more):
    content = {
        "images": images,
        "annotations": [{**a, "id": i} for i, a in enumerate(annotations, start=1)],
        "categories": CATEGORIES,
        **more,
    }
    path.write_text(json.dumps(content))
    return path


def image(number):
    return {"id": number, "file_name": f"a/{number}.png", "height": HEIGHT, "width": WIDTH}


def inputs_of(files, *names):
    given = [files[name] if name in names else None for name in ("labeled", "truth")]
    return read_inputs(files["pseudo"], files["folder"], *given)
