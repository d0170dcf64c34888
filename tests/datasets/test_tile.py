"""Tiles of large images, against the pixels and masks of the whole images."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from tool_runs import run_tool

from nbseg.datasets.converters.tile import cut_tiles

TOOL = Path(__file__).parents[2] / "tools/prepare_data.py"
HEIGHT, WIDTH = 150, 200


@pytest.fixture
def large(tmp_path):
    """Two images of 150 x 200 pixels, with an object that has a hole, a crowd and a corner."""
    (tmp_path / "images/sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number, name in enumerate(("sub/a.tif", "b.png"), start=7):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / name), pixels)
        images.append(
            {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, "kind": name}
        )
        ring = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.circle(ring, (90 + number, 70), 40, 1, -1)
        cv2.circle(ring, (90 + number, 70), 15, 0, -1)
        corner = np.zeros_like(ring)
        corner[120:, 150:] = 1
        for mask, crowd in ((ring, 0), (corner, 1), (corner, 0)):
            rle = coco_mask.encode(np.asfortranarray(mask))
            annotation = {"id": len(annotations) + 1, "image_id": number, "iscrowd": crowd}
            annotation |= {"segmentation": {**rle, "counts": rle["counts"].decode()}}
            annotation |= {"category_id": 3, "bbox": [0, 0, 1, 1], "area": 9, "note": "x"}
            annotations.append(annotation)
    content = {"images": images, "annotations": annotations, "origin": "a tool"}
    content["categories"] = [{"id": 3, "name": "cell"}]
    (tmp_path / "all.json").write_text(json.dumps(content))
    return tmp_path


def test_tiles_hold_the_pixels_and_the_parts_of_the_objects(large):
    made = cut_tiles(large / "images", large / "out", 96, 20, large / "all.json")
    tiles = json.loads((large / "out/tiles.json").read_text())
    whole = json.loads((large / "all.json").read_text())
    assert tiles["origin"] == "a tool" and tiles["categories"] == whole["categories"]
    assert len(tiles["images"]) == 2 * 2 * 3 == made.summary.images
    truth = {image["file_name"]: image["id"] for image in whole["images"]}
    for tile in tiles["images"]:
        stem, top, left = tile["file_name"].removesuffix(".png").rsplit("_", 2)
        window = np.s_[int(top) : int(top) + 96, int(left) : int(left) + 96]
        pixels = cv2.imread(str(large / "images" / tile["kind"]))[window]
        assert tile["kind"].startswith(stem) and (tile["height"], tile["width"]) == (96, 96)
        np.testing.assert_array_equal(
            cv2.imread(str(large / "out/images" / tile["file_name"])), pixels
        )
        expected = []
        for annotation in whole["annotations"]:
            if annotation["image_id"] != truth[tile["kind"]]:
                continue
            mask = coco_mask.decode(annotation["segmentation"])
            part = mask[window]
            if part.any():
                small = part.sum() < 0.25 * min(mask.sum(), 96 * 96)
                expected.append((part.tobytes(), int(annotation["iscrowd"] or small)))
        found = [a for a in tiles["annotations"] if a["image_id"] == tile["id"]]
        masks = [np.ascontiguousarray(coco_mask.decode(a["segmentation"])) for a in found]
        assert [(m.tobytes(), a["iscrowd"]) for m, a in zip(masks, found, strict=True)] == expected
        for mask, annotation in zip(masks, found, strict=True):
            assert annotation["area"] == mask.sum() and annotation["note"] == "x"
    assert {a["iscrowd"] for a in tiles["annotations"]} == {0, 1}


def test_the_command(large):
    def run(*arguments):
        said = io.StringIO()
        return run_tool(TOOL, ("tile", *arguments), said, said), said.getvalue()

    command = (large / "images", "--size", "128", "--overlap", "0", "--out", large / "tiles")
    status, said = run(*command)
    assert status == 0 and "8 images" in said and "from 2 images" in said
    assert len([*(large / "tiles/images").rglob("*.png")]) == 8
    status, said = run(*command)
    assert status == 0 and "already there, not changed" in said
    status, said = run(*command[:2], "64", *command[3:])
    assert status == 2 and "made from other files or options" in said
    status, said = run(large / "images", "--out", large / "images/tiles")
    assert status == 2 and "the tiles would lie in the image folder" in said
    status, said = run(large / "images", "--size", "16", "--out", large / "small")
    assert status == 2 and "at least 32 pixels" in said and not (large / "small").exists()


def test_large_objects_and_objects_without_a_pixel(tmp_path):
    """An object that fills its tiles is trained on, whatever its size."""
    (tmp_path / "images").mkdir()
    names = ["a.png", "a.jpg", str(tmp_path / "images/b.png")]
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    for number, name in enumerate(names, start=1):
        cv2.imwrite(str(tmp_path / "images" / name), np.full((200, 200, 3), number, np.uint8))
        content["images"].append({"id": number, "file_name": name, "height": 200, "width": 200})
    for polygon in ([0, 0, 200, 0, 200, 200, 0, 200], [5.1, 5.1, 5.3, 5.1, 5.3, 5.3]):
        annotation = {"id": len(content["annotations"]) + 1, "image_id": 1, "category_id": 1}
        annotation |= {"segmentation": [polygon], "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
        content["annotations"].append(annotation)
    (tmp_path / "all.json").write_text(json.dumps(content))
    made = cut_tiles(tmp_path / "images", tmp_path / "out", 64, 0, tmp_path / "all.json")
    tiles = json.loads((tmp_path / "out/tiles.json").read_text())
    assert [a["iscrowd"] for a in tiles["annotations"]] == [0] * 16
    assert "objects without a pixel, left out: 1" in made.notes
    files = {path.name for path in (tmp_path / "out/images").iterdir()}
    assert files == {image["file_name"] for image in tiles["images"]} and len(files) == 48
    assert {"a.png_0_0.png", "a.jpg_0_0.png", "b_0_0.png"} <= files

    # Tiles of another size replace the earlier ones.
    cut_tiles(tmp_path / "images", tmp_path / "out", 128, 0, tmp_path / "all.json", force=True)
    tiles = json.loads((tmp_path / "out/tiles.json").read_text())
    files = {path.name for path in (tmp_path / "out/images").iterdir()}
    assert files == {image["file_name"] for image in tiles["images"]} and len(files) == 12
