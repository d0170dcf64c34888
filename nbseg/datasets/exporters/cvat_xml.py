"""Write an XML file that CVAT imports in its format "CVAT for images"."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from nbseg.datasets.exporters.objects import Object
from nbseg.files import replacing


def write_cvat(
    images: Iterable[tuple[dict[str, Any], Iterable[Object]]], classes: Iterable[str], path: Path
) -> None:
    """Write the masks of all images to an XML file for CVAT.

    Args:
        images: for each image, its entry in a COCO json and its objects.
        classes: names of the classes.
        path: file to write.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "labels")
    for name in classes:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for number, (entry, objects) in enumerate(images):
        image = ElementTree.SubElement(
            root,
            "image",
            id=str(number),
            name=entry["file_name"],
            width=str(entry["width"]),
            height=str(entry["height"]),
        )
        for each in objects:
            rows, columns = each.mask.shape
            ElementTree.SubElement(
                image,
                "mask",
                label=each.label,
                source="auto",
                occluded="0",
                rle=", ".join(map(str, _runs(each.mask))),
                left=str(each.left),
                top=str(each.top),
                width=str(columns),
                height=str(rows),
                z_order="0",
            )
    ElementTree.indent(root)
    with replacing(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _runs(mask: Any) -> list[int]:
    """Return the run lengths of a mask, row by row; the first run is background."""
    flat = np.concatenate([[False], mask.ravel()])
    borders = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(run) for run in np.diff(borders, prepend=0, append=mask.size)]
