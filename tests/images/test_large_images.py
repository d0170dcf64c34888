"""Windows of TIFFs equal the parts of the whole image, and large images are never read whole."""

import json
import warnings

import cv2
import numpy as np
import pytest
import tifffile
from tiff_files import GRAY12, RGB8, tiff_files

from nbseg.datasets.converters.tile import cut_tiles
from nbseg.deploy.detections import Detections
from nbseg.deploy.tiling import TiledSegmenter
from nbseg.image_options import ImageOptions
from nbseg.images import read_image
from nbseg.large_images import LargeImage, open_image
from nbseg.rle import encode_rle

READ = {file.name: file for file in tiff_files() if file.pixels is not None}
# Not in windows: turned images, volumes in tiles, and what OpenCV decodes.
WHOLE = [name for name in READ if name.startswith("orientation") and not name.endswith(" 1")]
WHOLE += ["Pillow YCbCr", "volume", "two volumes"]


@pytest.mark.parametrize("name", READ)
def test_a_window_equals_the_part_of_the_image(tmp_path, name):
    file, path = READ[name], tmp_path / "image.tif"
    file.write(path)
    options = ImageOptions.of(file.options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*nearly black")
        whole = read_image(path, options=options)
    image = LargeImage(path, options)
    assert image.shape == whole.shape and image.is_windowed == (name not in WHOLE)
    if not image.is_windowed:
        return
    height, width = whole.shape[:2]
    windows = [(0, height, 0, width), (0, 1, 0, 1), (height - 1, height, width - 3, width)]
    windows += [(5, 33, 31, 65), (30, height, 0, 40)]
    for top, bottom, left, right in windows:
        part = image[top:bottom, left:right]
        assert np.array_equal(part, whole[top:bottom, left:right])
    image.close()


class Bright:
    """Finds each bright part of an image."""

    classes, providers = ("spot",), ("none",)
    image_options = ImageOptions(value_range=(0, 4095))

    def __init__(self):
        self.sizes = []

    def __call__(self, image):
        self.sizes.append(image.shape[:2])
        count, parts = cv2.connectedComponents((image[..., 0] > 200).astype(np.uint8))
        masks = [parts == number for number in range(1, count)]
        places = [np.nonzero(mask) for mask in masks]
        boxes = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in places]
        rles = [encode_rle(mask) for mask in masks]
        for rle in rles:
            rle["counts"] = rle["counts"].encode()
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.ones(len(boxes), np.float32),
            np.zeros(len(boxes), np.int64),
            rles,
        )


def write_slide(path, side, spots, **options):
    """Write a gray 12-bit slide tile by tile, with spots of 20 x 20 pixels."""

    def tiles():
        for top in range(0, side, 512):
            for left in range(0, side, 512):
                tile = np.full((512, 512), 100, np.uint16)
                for y, x in spots:
                    if top <= y < top + 512 and left <= x < left + 512:
                        tile[y - top : y - top + 20, x - left : x - left + 20] = 4000
                yield tile

    tifffile.imwrite(path, tiles(), shape=(side, side), dtype=np.uint16, tile=(512, 512), **options)


def test_a_large_slide_is_predicted_by_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr("nbseg.large_images.LARGE", 2**20)
    path, side = tmp_path / "slide.tif", 512 * 6
    spots = [(30, 40), (1000, 2000), (3000, 100)]
    write_slide(path, side, spots, compression="zlib")
    bright = Bright()
    segmenter = TiledSegmenter(bright, 1024, 64)
    image = segmenter.read(path)
    assert isinstance(image, LargeImage) and image.shape == (side, side, 3)
    found = segmenter(image)
    image.close()
    assert sorted((int(y), int(x)) for x, y, _, _ in found.boxes) == spots
    assert max(bright.sizes) == (1024, 1024)


def test_small_images_and_other_formats_are_arrays(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY12)
    cv2.imwrite(str(tmp_path / "a.png"), RGB8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("a.tif", "a.png"):
            assert np.array_equal(open_image(tmp_path / name), read_image(tmp_path / name))


def test_tiles_of_a_large_image_are_those_of_the_whole(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", GRAY12, tile=(32, 32))
    options = ImageOptions(value_range=(0, 4095))
    cut_tiles(tmp_path / "images", tmp_path / "whole", 40, 8, options=options)
    monkeypatch.setattr("nbseg.large_images.LARGE", 1)
    cut_tiles(tmp_path / "images", tmp_path / "windows", 40, 8, options=options)
    listed = json.loads((tmp_path / "whole/tiles.json").read_text())["images"]
    names = [image["file_name"] for image in listed]
    assert len(names) == 6
    for name in names:
        folders = tmp_path / "whole/images", tmp_path / "windows/images"
        whole, part = (cv2.imread(str(folder / name)) for folder in folders)
        assert np.array_equal(whole, part) and whole.max() > 250


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    class Huge(LargeImage):
        def __init__(self):
            self.shape = (2**16, 2**16, 3)

    with pytest.raises(ValueError, match="too many pixels for COCO's run lengths"):
        TiledSegmenter(Bright(), 1024, 64)(Huge())
