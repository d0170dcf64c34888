"""`check` names every TIFF that a training could not read, and those that show hardly anything."""

import json

import numpy as np
import tifffile
from tiff_files import GRAY8, GRAY12, HEIGHT, WIDTH, tiff_files

from nbseg.datasets.check_coco import check_coco
from nbseg.image_options import ImageOptions


def write_json(folder, names, height=HEIGHT, width=WIDTH):
    images = [
        {"id": number, "file_name": name, "height": height, "width": width}
        for number, name in enumerate(names, start=1)
    ]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cell"}]}
    (folder / "labeled.json").write_text(json.dumps(content))
    return folder / "labeled.json"


def test_every_refused_tiff_is_named_in_one_pass(tmp_path):
    files = [f for f in tiff_files() if not f.options and "orientation" not in f.name]
    names = {f"{number}.tif": file for number, file in enumerate(files)}
    for name, file in names.items():
        file.write(tmp_path / name)
    _, problems = check_coco(write_json(tmp_path, names), tmp_path)
    refused = {name for name, file in names.items() if file.pixels is None}
    assert set(problems) == {"images that cannot be read"}
    found = problems["images that cannot be read"]
    assert {text.split(" ")[0].rsplit("/", 1)[-1] for text in found} == refused
    assert len(found) == len(refused) >= 15


def test_pictures_that_show_hardly_anything(tmp_path):
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((HEIGHT, WIDTH), np.uint8))
    tifffile.imwrite(tmp_path / "dark.tif", GRAY12)
    tifffile.imwrite(tmp_path / "two.tif", (GRAY8 > 99).astype(np.uint8) * 255)
    path = write_json(tmp_path, ["black.tif", "dark.tif", "two.tif"])
    prepared, problems = check_coco(path, tmp_path)
    assert not problems
    notes = " ".join(prepared.notes)
    assert "1 images have the same value in all pixels, the first: black.tif" in notes
    assert "1 images become fewer than 32 gray levels" in notes and "first: dark.tif" in notes
    assert "two.tif" not in notes
    prepared, problems = check_coco(path, tmp_path, 2, ImageOptions(value_range=(0, 4095)))
    assert not problems and "gray levels" not in " ".join(prepared.notes)


def test_a_cut_tiff_is_found(tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", GRAY8, compression="zlib", rowsperstrip=10)
    content = (tmp_path / "image.tif").read_bytes()
    (tmp_path / "image.tif").write_bytes(content[:-200])
    _, problems = check_coco(write_json(tmp_path, ["image.tif"]), tmp_path)
    assert set(problems) == {"images that cannot be decoded"}
