"""Name the formats of labels that can be imported, and the suffixes of their files."""

from nbseg.image_names import IMAGE_SUFFIXES

SUFFIXES = {
    "cvat": (".xml",),
    "geojson": (".geojson", ".json"),
    "coco": (".json",),
    "labelme": (".json",),
    "label-studio": (".json",),
    "yolo": (".txt",),
    "label-images": IMAGE_SUFFIXES,
}
FORMATS = tuple(sorted(SUFFIXES))
