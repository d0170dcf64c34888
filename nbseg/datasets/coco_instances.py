"""Define a data set for COCO jsons whose categories may have any ids and any order."""

from collections import defaultdict
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path

from nbseg.coco import index_coco, labels_by_name, read_coco
from nbseg.coco_masks import is_polygon
from nbseg.coco_values import area_of, has_mask, is_box
from nbseg.registry import DATASETS


@DATASETS.register_module()
class CocoInstanceDataset(CocoDataset):
    """Loads a COCO json, and maps its categories to labels by name.

    Label i is the category with the name ``metainfo['classes'][i]``.

    MMDetection's ``CocoDataset`` numbers the labels in the order of the json's categories. If two
    jsons list their categories in different orders, the same label means different classes, and no
    error is raised. Here, a json may list its categories in any order, and some of the classes may
    be missing from the json.

    Like ``CocoDataset``, the data set leaves out objects whose category is not one of the classes.
    It also leaves out:

    - objects whose box is not a list of four numbers from -2**20 to 2**20;
    - polygons that are not a flat list of at least three points;
    - polygons with a coordinate that is not a number from -2**20 to 2**20.

    ``nbseg.coco_values.normalize`` converts ids, sizes and boxes to numbers. A missing ``area`` is
    computed from the mask, or from the box if there is no mask.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: ``ann_file`` is not a COCO json, or two of its categories have the name of the
            same class.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one entry per image with its objects, as ``CocoDataset`` does.

        The entries have the order of the images in the json.
        """
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            content = read_coco(path)
        truth = index_coco(content, self.ann_file)
        self.cat2label = labels_by_name(
            content["categories"], self.metainfo["classes"], self.ann_file
        )
        self.cat_ids = sorted(self.cat2label, key=lambda category: self.cat2label[category])
        self.cat_img_map: dict[int, list[int]] = defaultdict(list)
        for annotation in truth.anns.values():
            self.cat_img_map[annotation["category_id"]].append(annotation["image_id"])
        return [
            self.parse_data_info(
                {
                    "raw_img_info": {**image, "img_id": number},
                    "raw_ann_info": [
                        {**annotation, "area": area_of(annotation), **_mask_of(annotation)}
                        for annotation in truth.imgToAnns.get(number, ())
                        if is_box(annotation["bbox"])
                    ],
                }
            )
            for number, image in truth.imgs.items()
        ]


def _mask_of(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"segmentation": mask}``, where ``mask`` has only the valid polygons.

    A polygon is valid if it is a flat list of at least three points with coordinates from -2**20 to
    2**20. An RLE is returned unchanged. The mask is None if the annotation has neither a valid
    polygon nor an RLE.
    """
    mask = annotation.get("segmentation") if has_mask(annotation) else None
    if isinstance(mask, list):
        mask = [polygon for polygon in mask if is_polygon(polygon)]
    return {"segmentation": mask}
