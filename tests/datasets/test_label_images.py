"""Label images of cellpose, napari and others, against masks that pycocotools decodes."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco_mask
from tool_runs import run_tool

from nbseg.datasets.converters.label_images import LabelImages, convert_label_images
from nbseg.datasets.converters.summary import describe

TOOL = Path(__file__).parents[2] / "tools/prepare_data.py"
HEIGHT, WIDTH = 40, 56


def labels(numbers=(3, 300, 70000)):
    """A ring, an object in two parts, and a line of one pixel that touches the ring."""
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    ids[4:20, 5:25] = numbers[0]
    ids[9:12, 11:16] = 0
    ids[4:20, 25] = numbers[2]
    ids[30:36, 2:9] = numbers[1]
    ids[22:28, 40:50] = numbers[1]
    return ids


def spots(numbers):
    """Nine squares that do not touch, numbered in turn."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, (row, column) in enumerate(np.ndindex(3, 3)):
        number = numbers[place % len(numbers)]
        ids[row * 12 + 2 : row * 12 + 8, column * 16 + 2 : column * 16 + 9] = number
    return ids


def write_photo(path, size=(HEIGHT, WIDTH), seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def write_labels(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)


@pytest.fixture
def folders(tmp_path):
    write_photo(tmp_path / "images/a.jpg")
    (tmp_path / "masks").mkdir()
    return tmp_path / "images", tmp_path / "masks"


def convert(folders, class_name="cell", **options):
    images, masks = folders
    out = masks.parent / "out.json"
    source = LabelImages(masks, images, class_name, **options)
    prepared = convert_label_images(source, out, force=True)
    return json.loads(out.read_text()), prepared


def prepare(*arguments):
    said = io.StringIO()
    return run_tool(TOOL, arguments, said, said), said.getvalue()


def masks_of(content):
    """Decode the masks by image and category name, and check the values next to them."""
    images = {image["id"]: image for image in content["images"]}
    names = {category["id"]: category["name"] for category in content["categories"]}
    found = {}
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
        assert mask.shape == (image["height"], image["width"])
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box and annotation["area"] == mask.sum()
        assert annotation["iscrowd"] == 0
        key = (image["file_name"], names[annotation["category_id"]])
        found.setdefault(key, []).append(mask)
    return found


def assert_lossless(content, ids):
    (masks,) = masks_of(content).values()
    numbers = np.unique(ids[ids > 0])
    assert len(masks) == len(numbers)
    for mask, number in zip(masks, numbers, strict=True):
        np.testing.assert_array_equal(mask, ids == number)


DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "int64", "uint64", "float32")
# tifffile writes LZW only with imagecodecs, and Pillow writes no 64-bit integers.
TIFFS = [(dtype, compression) for dtype in DTYPES for compression in (None, "zlib")]
TIFFS += [(dtype, "lzw") for dtype in ("uint8", "uint16", "int32", "float32")]


@pytest.mark.parametrize(("dtype", "compression"), TIFFS)
def test_tiffs_of_any_dtype_are_lossless(folders, dtype, compression):
    numbers = {"uint8": (3, 250, 251), "uint16": (3, 300, 9), "int16": (3, 300, 9)}
    ids = labels(numbers.get(dtype, (3, 300, 70000)))
    path = folders[1] / "a.tif"
    if compression == "lzw":
        Image.fromarray(ids.astype(dtype)).save(path, compression="tiff_lzw")
    else:
        tifffile.imwrite(path, ids.astype(dtype), compression=compression)
    content, _ = convert(folders)
    assert_lossless(content, ids)


def test_pngs_of_8_and_16_bits_and_with_a_palette_are_lossless(folders):
    for ids in (labels((3, 250, 251)).astype(np.uint8), labels((3, 300, 65535)).astype(np.uint16)):
        write_labels(folders[1] / "a.png", ids)
        assert_lossless(convert(folders)[0], ids)
    indexed = Image.fromarray(labels((1, 2, 3)).astype(np.uint8), "L").convert("P")
    indexed.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10, 10, 10, 200])
    indexed.save(folders[1] / "a.png")
    assert_lossless(convert(folders)[0], labels((1, 2, 3)))


def test_an_object_on_every_pixel_leaves_no_background(folders):
    ids = np.full((HEIGHT, WIDTH), 7, np.uint8)
    ids[:20] = 9
    write_labels(folders[1] / "a.png", ids)
    assert_lossless(convert(folders)[0], ids)


def test_names_of_images_and_label_images(tmp_path):
    """Label images next to their images, as cellpose writes them, and in folders of their own."""
    ids = labels((1, 2, 3)).astype(np.uint16)
    images = tmp_path / "images"
    write_photo(images / "x.png")
    write_photo(images / "sub/y.jpg")
    write_photo(images / "t_img.tif")
    write_photo(images / "z_labels.jpg")  # an image in spite of its name: there is no image z
    write_photo(images / "unlabeled.tif")
    write_labels(images / "x_cp_masks.png", ids)
    write_labels(images / "sub/y_mask.png", ids * 0)
    write_labels(images / "t_masks.tif", ids)
    write_labels(images / "z_labels_masks.png", ids)
    content, prepared = convert((images, images))
    names = [image["file_name"] for image in content["images"]]
    assert names == ["sub/y.jpg", "t_img.tif", "x.png", "z_labels.jpg"]
    assert {key[0] for key in masks_of(content)} == {"t_img.tif", "x.png", "z_labels.jpg"}
    assert prepared.notes == ["1 images have no label image and are left out"]
    assert "4 images, 1 without instances; 9 instances" in describe(prepared)

    masks = images / "truth"  # inside the image folder
    write_labels(masks / "x.png", ids)
    write_labels(masks / "sub/w.png", ids)
    content, prepared = convert((images, masks))
    assert [image["file_name"] for image in content["images"]] == ["x.png"]
    assert f"label images without an image: 1, the first: {masks / 'sub/w.png'}" in prepared.notes
    assert any("move the label images elsewhere" in note for note in prepared.notes)


def test_label_images_without_objects(folders):
    write_labels(folders[1] / "a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    content, prepared = convert(folders)
    assert len(content["images"]) == 1 and not content["annotations"]
    assert "1 without instances" in describe(prepared)


def test_init_does_not_train_on_label_images(tmp_path):
    images = tmp_path / "images"
    for number in range(3):
        write_photo(images / f"{number}.png", seed=number)
    for number in range(2):
        write_labels(images / f"{number}_cp_masks.png", labels((1, 2, 3)).astype(np.uint8))
    out = tmp_path / "labeled.json"
    command = ("import", images, "--images", images, "--class", "cell", "--out", out)
    assert prepare(*command)[0] == 0
    status, said = prepare("init", out, "--images", images, "--out", tmp_path / "my.py")
    assert status == 0 and "2 files" in said and "0_cp_masks.png" in said
    unlabeled = json.loads((tmp_path / "my-unlabeled.json").read_text())
    assert [image["file_name"] for image in unlabeled["images"]] == ["2.png"]


def test_folders_are_classes(folders):
    """A class whose label images do not number objects does not hide behind another class."""
    write_labels(folders[1] / "nucleus/a.png", labels((1, 2, 3)).astype(np.uint8))
    write_labels(folders[1] / "cell/a_masks.png", spots([255]))
    with pytest.raises(ValueError, match=r"of the class cell, such as .* 9\.0 connected parts per"):
        convert(folders, class_name=None)
    write_labels(folders[1] / "a.png", spots([1]))
    content, prepared = convert(folders, class_name=None, parts=True)
    assert prepared.notes == [
        f"label images outside the folders of the classes, left out: 1, the first: "
        f"{folders[1] / 'a.png'}"
    ]
    found = masks_of(content)
    assert {key: len(masks) for key, masks in found.items()} == {
        ("a.jpg", "cell"): 9,
        ("a.jpg", "nucleus"): 3,  # one of them in two parts
    }


@pytest.mark.parametrize("numbers", [[255], [1, 2]])
def test_masks_of_the_foreground_or_of_classes_are_refused_or_split(folders, numbers):
    ids = spots(numbers)
    write_labels(folders[1] / "a.png", ids)
    with pytest.raises(ValueError, match=r"a\.png, have [49]\.. connected parts per.*--parts"):
        convert(folders)
    content, _ = convert(folders, parts=True)
    (masks,) = masks_of(content).values()
    assert [mask.sum() for mask in masks] == [42] * 9
    np.testing.assert_array_equal(np.sum(masks, axis=0), ids > 0)


def test_an_object_in_two_parts_may_be_all_there_is(folders):
    write_labels(folders[1] / "a.png", (labels((0, 1, 0)) > 0).astype(np.uint8))
    assert len(convert(folders)[0]["annotations"]) == 1


def test_smoothed_masks_are_refused(folders):
    smooth = cv2.GaussianBlur(spots([255]), (5, 5), 0)
    write_labels(folders[1] / "a.png", smooth)
    for parts in (False, True):
        with pytest.raises(ValueError, match="gray levels of smoothed masks"):
            convert(folders, parts=parts)
    (folders[1] / "a.png").unlink()
    cv2.imwrite(str(folders[1] / "a.jpg"), spots([255]))
    with pytest.raises(ValueError, match=r"a\.jpg is a JPEG"):
        convert(folders)


def test_a_changed_label_image_of_the_same_size_is_noticed(folders):
    images, masks = folders
    out = masks.parent / "masks.json"
    command = ("import", masks, "--images", images, "--class", "cell", "--out", out)
    tifffile.imwrite(masks / "a.tif", labels((1, 2, 3)).astype(np.uint16))
    assert prepare(*command)[0] == 0
    status, said = prepare(*command)
    assert status == 0 and "already there, not changed" in said
    tifffile.imwrite(masks / "a.tif", labels((1, 2, 2)).astype(np.uint16))
    status, said = prepare(*command)
    assert status == 2 and "made from other files" in said


BAD = {
    "a color image": (np.zeros((HEIGHT, WIDTH, 3), np.uint8), "(40, 56, 3); expected one page"),
    "a stack": (np.zeros((5, HEIGHT, WIDTH), np.uint16), "(5, 40, 56); expected one page"),
    "a negative number": (labels() - 1, "which range from -1 to 69999; expected 0"),
    "a fraction": (labels() * 0.5, "whole numbers above 0"),
    "another size": (labels()[:, :50], "50 x 40 pixels, but"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_label_images_are_refused(folders, name):
    pixels, expected = BAD[name]
    tifffile.imwrite(folders[1] / "a.tif", pixels)
    with pytest.raises(ValueError) as caught:
        convert(folders)
    assert expected in str(caught.value) and "a.tif" in str(caught.value)


def test_the_command_says_what_is_missing(folders):
    images, masks = folders
    command = ["import", masks, "--images", images, "--out", masks.parent / "masks.json"]
    status, said = prepare(*command)
    assert status == 2 and "masks: expected files; found no file" in said
    write_labels(masks / "b.png", labels((1, 2, 3)).astype(np.uint8))
    status, said = prepare(*command)
    assert status == 2 and "has no folders. Name the class" in said
    status, said = prepare(*command, "--class", "cell")
    assert status == 2 and "none of the 1 images in" in said
    assert "First images: a.jpg" in said and str(masks / "b.png") in said
    write_labels(masks / "a.png", labels((1, 2, 3)).astype(np.uint8))
    write_labels(masks / "a_mask.png", labels((1, 2, 3)).astype(np.uint8))
    status, said = prepare(*command, "--class", "cell")
    assert status == 2 and "a.jpg has two label images" in said
    (masks / "a_mask.png").write_bytes(b"no image")
    (masks / "a.png").unlink()
    status, said = prepare(*command, "--class", "cell")
    assert status == 2 and "a_mask.png cannot be read as an image" in said
    (masks / "a_mask.png").unlink()
    tifffile.imwrite(masks / "a.tif", labels((1, 2, 3)), compression="zlib")
    (masks / "a.tif").write_bytes((masks / "a.tif").read_bytes()[:-40])
    status, said = prepare(*command, "--class", "cell")
    assert status == 2 and "a.tif cannot be read as a TIFF" in said


def test_the_json_passes_the_check(folders):
    images, masks = folders
    write_labels(masks / "a.png", labels((1, 2, 3)).astype(np.uint8))
    command = ("import", masks, "--images", images, "--class", "cell")
    status, said = prepare(*command, "--out", masks.parent / "masks.json")
    assert status == 0 and "3 instances" in said
    assert (masks.parent / "masks.samples.jpg").is_file()
    assert prepare("check", masks.parent / "masks.json", "--images", images)[0] == 0
