"""Write the files in this folder with the labeling tools and libraries themselves.

Each tool needs an environment of its own; docs of the versions: ``TOOLS`` in test_exports.py. Run

    ENVIRONMENT/bin/python make_exports.py TOOL

This script needs numpy and the tool, but not nbseg.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 48, 64
NAME = "scene.png"


def scene():
    """Return (class, mask) of a disk, a ring, an object of two parts, and a square."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]

    def distance(row, column):
        return np.hypot(rows - row, columns - column)

    ring = distance(15, 42)
    return [
        ("cell", distance(15, 15) <= 8),
        ("cell", (ring <= 11) & (ring > 6)),
        ("cell", (distance(38, 10) <= 5) | (distance(38, 26) <= 5)),
        ("box", (abs(rows - 36) <= 6) & (abs(columns - 50) <= 6)),
    ]


def box(mask):
    rows, columns = np.nonzero(mask)
    return [
        int(columns.min()),
        int(rows.min()),
        int(np.ptp(columns)) + 1,
        int(np.ptp(rows)) + 1,
    ]


def outlines(mask):
    """Return the outlines of a mask along the edges of its pixels, and the outlines of its holes.

    An outline is a list of corners (x, y).
    """
    padded = np.pad(mask, 1)
    edges = {}
    for row, column in zip(*np.nonzero(padded), strict=True):
        # Clockwise around the pixel, with the mask on the right.
        for (dr, dc), (start, end) in {
            (-1, 0): ((0, 0), (0, 1)),
            (0, 1): ((0, 1), (1, 1)),
            (1, 0): ((1, 1), (1, 0)),
            (0, -1): ((1, 0), (0, 0)),
        }.items():
            if not padded[row + dr, column + dc]:
                here = (int(row + start[0] - 1), int(column + start[1] - 1))
                edges.setdefault(here, []).append((int(row + end[0] - 1), int(column + end[1] - 1)))
    outer, holes = [], []
    while edges:
        first = place = next(iter(edges))
        ring = []
        while place in edges:
            ring.append([place[1], place[0]])
            following = edges[place].pop()
            if not edges[place]:
                del edges[place]
            place = following
            if place == first:
                break
        area = sum(
            x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True)
        )
        (outer if area > 0 else holes).append(ring)
    return outer, holes


def folder(name):
    path = HERE / name
    path.mkdir(exist_ok=True)
    return path


def blank():
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def supervision():
    import supervision as sv

    classes = ["box", "cell"]
    masks = np.array([mask for _, mask in scene()])
    found = sv.Detections(
        xyxy=np.array([[x, y, x + w, y + h] for x, y, w, h in map(box, masks)], float),
        mask=masks,
        class_id=np.array([classes.index(name) for name, _ in scene()]),
    )
    import cv2

    path = folder("supervision")
    cv2.imwrite(str(path / NAME), blank())
    data = sv.DetectionDataset(classes, [str(path / NAME)], {str(path / NAME): found})
    data.as_coco(annotations_path=str(path / "coco.json"))
    data.as_yolo(
        annotations_directory_path=str(path / "yolo/labels"),
        data_yaml_path=str(path / "yolo/data.yaml"),
    )
    (path / NAME).unlink()


def datumaro():
    import datumaro as dm
    from datumaro.components.media import Image

    path = folder("datumaro")
    classes = ["box", "cell"]

    def items(shapes):
        return dm.Dataset.from_iterable(
            [
                dm.DatasetItem(
                    "scene",
                    media=Image.from_numpy(data=blank()),
                    annotations=shapes,
                    subset="train",
                )
            ],
            categories=classes,
        )

    masks = [
        dm.Mask(mask.astype(np.uint8), label=classes.index(name), id=i + 1, group=i + 1)
        for i, (name, mask) in enumerate(scene())
    ]
    polygons = []
    for i, (name, mask) in enumerate(scene()):
        for ring in outlines(mask)[0]:
            points = [float(v) for point in ring for v in point]
            polygons.append(dm.Polygon(points, label=classes.index(name), group=i + 1))
    for name, shapes, form in [
        ("coco_masks", masks, "coco_instances"),
        ("coco_polygons", polygons, "coco_instances"),
        ("cvat", masks, "cvat"),
    ]:
        items(shapes).export(str(path / name), form, save_media=False)


def label_studio():
    from label_studio_sdk.converter import Converter, brush

    path = folder("label_studio")
    regions, polygons = [], []
    for i, (name, mask) in enumerate(scene()):
        value = {"format": "rle", "rle": brush.mask2rle(mask.astype(np.uint8) * 255)}
        head = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        head |= {"from_name": "label", "to_name": "image", "id": f"r{i}", "origin": "manual"}
        regions.append({**head, "type": "brushlabels", "value": {**value, "brushlabels": [name]}})
        for part, ring in enumerate(outlines(mask)[0]):
            points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ring]
            polygons.append(
                {
                    **head,
                    "id": f"r{i}.{part}",
                    "type": "polygonlabels",
                    "value": {"points": points, "closed": True, "polygonlabels": [name]},
                }
            )
    for kind, result in (("brush", regions), ("polygon", polygons)):
        done = {"id": 1, "was_cancelled": False, "result": result}
        done |= {"created_at": "2026-11-28T10:00:00Z", "updated_at": "2026-11-28T10:00:00Z"}
        task = {
            "id": 1,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{NAME}"},
            "annotations": [done],
        }
        file = path / f"{kind}.json"
        file.write_text(json.dumps([task]))
        config = (
            '<View><Image name="image" value="$image"/>'
            f'<{kind.title()}Labels name="label" toName="image">'
            '<Label value="box"/><Label value="cell"/>'
            f"</{kind.title()}Labels></View>"
        )
        converter = Converter(config, str(path), download_resources=False)
        for form in ("COCO", "YOLO") if kind == "polygon" else ("BRUSH_TO_COCO",):
            out = path / f"{kind}_{form.lower()}"
            converter.convert(str(file), str(out), form, is_dir=False)


def labelme():
    from labelme import utils
    from labelme._label_file import LabelFile

    path = folder("labelme")
    shapes = []
    for name, mask in scene():
        x, y, w, h = box(mask)
        head = {"label": name, "group_id": None, "description": "", "flags": {}}
        crop = mask[y : y + h, x : x + w]
        shapes.append(
            {
                **head,
                "shape_type": "mask",
                "points": [[x, y], [x + w - 1, y + h - 1]],
                "mask": utils.img_arr_to_b64(crop),
            }
        )
    file = LabelFile()
    file.save(
        filename=str(path / "scene.json"),
        shapes=shapes,
        image_path=NAME,
        image_height=HEIGHT,
        image_width=WIDTH,
    )


def cvat_sdk():
    from cvat_sdk.masks import encode_mask

    shapes = []
    for name, mask in scene():
        x, y, w, h = box(mask)
        *runs, left, top, right, bottom = encode_mask(mask, [x, y, x + w, y + h])
        shapes.append(
            f'<mask label="{name}" source="manual" occluded="0" rle="'
            + ", ".join(str(int(run)) for run in runs)
            + f'" left="{int(left)}" top="{int(top)}" width="{int(right - left + 1)}" '
            f'height="{int(bottom - top + 1)}" z_order="0"/>'
        )
    (folder("cvat_sdk") / "annotations.xml").write_text(
        "<annotations><version>1.1</version>\n"
        f'<image id="0" name="{NAME}" width="{WIDTH}" height="{HEIGHT}">\n'
        + "\n".join(shapes)
        + "\n</image></annotations>\n"
    )


def geopandas():
    import geopandas as gpd
    from rasterio import features
    from shapely.geometry import shape
    from shapely.ops import unary_union

    rows = []
    for name, mask in scene():
        parts = [
            shape(geometry)
            for geometry, value in features.shapes(mask.astype(np.uint8))
            if value == 1
        ]
        rows.append(
            {"classification": {"name": name, "color": [1, 2, 3]}, "geometry": unary_union(parts)}
        )
    path = folder("geopandas")
    frame = gpd.GeoDataFrame(rows, geometry="geometry")
    (path / "scene.geojson").write_text(frame.to_json())
    frame["classification"] = [row["classification"]["name"] for row in rows]
    (path / "file").mkdir(exist_ok=True)
    frame.to_file(path / "file/scene.geojson", driver="GeoJSON")


def kwcoco():
    import kwcoco
    import kwimage

    data = kwcoco.CocoDataset()
    ids = {name: data.add_category(name) for name in ("box", "cell")}
    image = data.add_image(file_name=NAME, height=HEIGHT, width=WIDTH)
    for name, mask in scene():
        polygon = kwimage.Mask(mask.astype(np.uint8), "c_mask").to_multi_polygon()
        data.add_annotation(
            image, ids[name], bbox=box(mask), segmentation=polygon.to_coco(style="new")
        )
    data.dump(str(folder("kwcoco") / "coco.json"), newlines=True)


def imantics():
    import imantics

    image = imantics.Image(image_array=blank(), path=NAME)
    image.file_name = NAME
    for name, mask in scene():
        image.add(imantics.Mask(mask), category=imantics.Category(name))
    (folder("imantics") / "coco.json").write_text(json.dumps(image.export(style="coco")))


def globox():
    import globox

    boxes = [
        globox.BoundingBox(label=name, xmin=x, ymin=y, xmax=x + w, ymax=y + h)
        for name, mask in scene()
        for x, y, w, h in [box(mask)]
    ]
    annotation = globox.Annotation(NAME, (WIDTH, HEIGHT), boxes)
    globox.AnnotationSet([annotation]).save_coco(folder("globox") / "coco.json", auto_ids=True)


def darwin():
    from darwin import datatypes as dt
    from darwin.exporter.formats.coco import export

    annotations = []
    for name, mask in scene():
        outer, holes = outlines(mask)
        paths = [[{"x": float(x), "y": float(y)} for x, y in ring] for ring in [*outer, *holes]]
        x, y, w, h = box(mask)
        annotations.append(
            dt.make_polygon(name, paths, bounding_box={"x": x, "y": y, "w": w, "h": h})
        )
    classes = {annotation.annotation_class for annotation in annotations}
    file = dt.AnnotationFile(Path("scene.json"), NAME, classes, annotations)
    file.slots = [dt.Slot("0", "image", [], None, None, WIDTH, HEIGHT)]
    file.image_width, file.image_height = WIDTH, HEIGHT
    export([file], folder("darwin"))


def labelformat():
    from labelformat.formats import COCOInstanceSegmentationOutput
    from labelformat.model.binary_mask_segmentation import BinaryMaskSegmentation
    from labelformat.model.bounding_box import BoundingBox
    from labelformat.model.category import Category
    from labelformat.model.image import Image
    from labelformat.model.instance_segmentation import (
        ImageInstanceSegmentation,
        InstanceSegmentationInput,
        SingleInstanceSegmentation,
    )

    classes = {name: Category(i, name) for i, name in enumerate(("box", "cell"))}
    image = Image(id=0, filename=NAME, width=WIDTH, height=HEIGHT)

    class Input(InstanceSegmentationInput):
        @staticmethod
        def add_cli_arguments(parser):
            pass

        def get_categories(self):
            return classes.values()

        def get_images(self):
            return [image]

        def get_labels(self):
            objects = []
            for name, mask in scene():
                x, y, w, h = box(mask)
                objects.append(
                    SingleInstanceSegmentation(
                        category=classes[name],
                        segmentation=BinaryMaskSegmentation.from_binary_mask(
                            mask.astype(np.int_), BoundingBox(x, y, x + w, y + h)
                        ),
                    )
                )
            return [ImageInstanceSegmentation(image=image, objects=objects)]

    COCOInstanceSegmentationOutput(folder("labelformat") / "coco.json").save(Input())


def labelme2coco():
    from labelme2coco import get_coco_from_labelme_folder
    from PIL import Image

    path = folder("labelme2coco")
    (path / "coco.json").unlink(missing_ok=True)  # the tool reads each json of the folder
    Image.fromarray(blank()).save(path / NAME)
    shapes = [
        {
            "label": name,
            "points": ring,
            "group_id": number,
            "shape_type": "polygon",
            "flags": {},
        }
        for number, (name, mask) in enumerate(scene())
        for ring in outlines(mask)[0]
    ]
    content = {"version": "6.3.1", "flags": {}, "shapes": shapes, "imagePath": NAME}
    content |= {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    (path / "scene.json").write_text(json.dumps(content))
    # The json has the path of the image as it was given.
    os.chdir(path)
    coco = get_coco_from_labelme_folder(".")
    (path / "coco.json").write_text(json.dumps(coco.json))
    (path / NAME).unlink()


def label_images():
    """Label images by OpenCV, Pillow and tifffile."""
    import cv2
    import tifffile
    from PIL import Image

    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    for number, (_, mask) in enumerate(scene()):
        ids[mask] = (1, 2, 200, 255)[number]
    path = folder("label_images")
    large = np.where(ids > 0, ids * 250, 0)
    cv2.imwrite(str(path / "opencv_16.png"), large.astype(np.uint16))
    cv2.imwrite(str(path / "opencv_8.png"), ids.astype(np.uint8))
    palette = Image.fromarray(ids.astype(np.uint8), "P")
    palette.putpalette([value for i in range(256) for value in (i * 37 % 256, i * 91 % 256, i)])
    palette.save(path / "pillow_palette.png")
    tifffile.imwrite(path / "tifffile_32.tif", large.astype(np.int32), compression="zlib")
    tifffile.imwrite(path / "tifffile_64.tif", large.astype(np.int64))
    tifffile.imwrite(path / "tifffile_float.tif", large.astype(np.float32))
    tifffile.imwrite(
        path / "imagej.tif", large.astype(np.uint16), imagej=True, metadata={"axes": "YX"}
    )
    tifffile.imwrite(path / "ome.ome.tif", large.astype(np.uint16), metadata={"axes": "YX"})


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    globals()[sys.argv[1]]()
