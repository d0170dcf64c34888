"""Whatever the files of Cityscapes and BDD100K hold, the converters read or refuse them by name."""

import contextlib
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from json_mutations import mutated

from nbseg.datasets.converters.bdd100k import convert_bdd100k
from nbseg.datasets.converters.cityscapes_polygons import rasterize_polygons

SQUARE = [[1, 1], [9, 1], [9, 9], [1, 9]]
CITYSCAPES = {
    "imgHeight": 12,
    "imgWidth": 16,
    "objects": [
        {"label": "road", "polygon": [[0, 0], [15, 0], [15, 11]]},
        {"label": "car", "polygon": SQUARE},
        {"label": "cargroup", "polygon": SQUARE, "deleted": 1},
    ],
}
LABEL = {"id": "1", "category": "car", "attributes": {"crowd": False}}
RLES = [
    {
        "name": "a.jpg",
        "labels": [
            {**LABEL, "rle": {"size": [12, 16], "counts": "Z25c00Vd0"}},
            {**LABEL, "rle": {"size": [12, 16], "counts": "01_5"}},
        ],
    }
]
POLYGONS = [
    {
        "name": "a.jpg",
        "labels": [
            {**LABEL, "poly2d": [{"vertices": SQUARE, "types": "LLLL", "closed": True}]},
            {**LABEL, "poly2d": [{"vertices": SQUARE, "types": "LCCC", "closed": False}]},
        ],
    }
]


@contextlib.contextmanager
def refused():
    """Accept an error whose message names one of the files."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        assert ".json" in str(error) or ".jpg" in str(error), error


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("bdd100k")
    for split in ("train", "val"):
        (root / "images/10k" / split).mkdir(parents=True)
        cv2.imwrite(str(root / "images/10k" / split / "a.jpg"), np.zeros((12, 16, 3), np.uint8))
        for masks in ("rles", "polygons"):
            (root / "labels/ins_seg" / masks).mkdir(parents=True, exist_ok=True)
    return root


@given(mutated(CITYSCAPES))
def test_polygons_of_cityscapes(tree, content):
    path = tree / "a_polygons.json"
    path.write_text(json.dumps(content))
    with refused():
        rasterize_polygons(path)


def convert(tree, masks, content):
    for split in ("train", "val"):
        path = tree / f"labels/ins_seg/{masks}/ins_seg_{split}.json"
        path.write_text(json.dumps(content))
    with refused():
        convert_bdd100k(tree, tree / "out", masks, force=True)


@given(mutated(RLES))
def test_run_lengths_of_bdd100k(tree, content):
    convert(tree, "rles", content)


@given(mutated(POLYGONS))
def test_polygons_of_bdd100k(tree, content):
    convert(tree, "polygons", content)
