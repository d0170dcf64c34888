"""COCO 2017, and of 2014 the list of val."""

import json

import numpy as np

from official_trees.pictures import color, rectangle, write_image

CLASSES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
    "backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,"
    "knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
    "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush"
)
IDS = [i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]


def write_coco(root, train=6, val=2, unlabeled=3, size=(64, 96), seed=0, classes=4):
    """Write train2017/, val2017/, unlabeled2017/ and annotations/ as COCO 2017 has them.

    Every third image of train2017 was in val2014, and instances_val2014.json has those and the
    images of val2017. The second annotation of an image is a crowd (RLE without compression).

    Args:
        root: the folder to write into.
        train: number of images, as ``val`` and ``unlabeled``.
        size: height and width.
        seed: of everything random.
        classes: how many of the 80 classes have instances.

    Returns:
        The ids of the images of train2017 that were in val2014.
    """
    rng = np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    categories = [
        {"supercategory": "thing", "id": number, "name": name}
        for number, name in zip(IDS, CLASSES.split(","), strict=True)
    ]
    head = {"info": {"year": 2017}, "licenses": [{"id": 1, "name": "CC", "url": "http://cc"}]}
    number = 0
    contents = {}
    for split, count in {"train2017": train, "val2017": val, "unlabeled2017": unlabeled}.items():
        images, annotations = [], []
        for _ in range(count):
            number += 3
            name = f"{number:012d}.jpg"
            colors = np.zeros((*size, 3), np.uint8)
            images.append(
                {
                    "license": 1,
                    "file_name": name,
                    "coco_url": f"http://images.cocodataset.org/{split}/{name}",
                    "height": size[0],
                    "width": size[1],
                    "date_captured": "2013-11-14 11:18:45",
                    "id": number,
                }
            )
            for position in range(4):
                index = (len(images) + position) % classes
                annotation, (x0, y0, x1, y1) = _object(rng, size, crowd=position == 1)
                colors[y0:y1, x0:x1] = color(index)
                annotations.append(
                    {
                        **annotation,
                        "image_id": number,
                        "category_id": IDS[index],
                        "id": 1000 * number + position,
                    }
                )
            write_image(root / split / name, colors, rng)
        contents[split] = {**head, "images": images, "annotations": annotations}
        if split == "unlabeled2017":
            path = root / "annotations/image_info_unlabeled2017.json"
            path.write_text(json.dumps({**head, "images": images}))
        else:
            path = root / f"annotations/instances_{split}.json"
            path.write_text(json.dumps({**contents[split], "categories": categories}))
    was_val = [image["id"] for image in contents["train2017"]["images"][::3]]
    images_2014 = [
        {"file_name": f"COCO_val2014_{number:012d}.jpg", "id": number, "height": 1, "width": 1}
        for number in was_val + [image["id"] for image in contents["val2017"]["images"]]
    ]
    content = {**head, "images": images_2014, "annotations": [], "categories": categories}
    (root / "annotations/instances_val2014.json").write_text(json.dumps(content))
    return was_val


def _object(rng, size, crowd):
    x0, y0, x1, y1 = rectangle(rng, size)
    box = [x0, y0, x1 - x0, y1 - y0]
    if crowd:
        mask = np.zeros(size, np.uint8)
        mask[y0:y1, x0:x1] = 1
        segmentation = {"size": list(size), "counts": _runs(mask)}
    else:
        segmentation = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    area = box[2] * box[3]
    return {
        "segmentation": segmentation, "area": area, "iscrowd": int(crowd), "bbox": box,
    }, (x0, y0, x1, y1)  # fmt: skip


def _runs(mask):
    """Run lengths down the columns, background first."""
    flat = mask.T.ravel()
    borders = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    runs = np.diff(borders).tolist()
    return [0, *runs] if flat[0] else runs
