"""Check reading and resizing against MMCV's transforms."""

import re
import struct

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import Resize
from small_detectors import decided_detector, export, pictures, small_config

import nbseg.models.wide_input  # noqa: F401  (registers WideInput and WideDataPreprocessor)
from nbseg.datasets.loading import LoadImage
from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter
from nbseg.deploy.preprocessing import INTERPOLATIONS, ResizeRule, check_image
from nbseg.deploy.runtime import Segmenter
from nbseg.image_options import ImageOptions
from nbseg.images import read_image

RULES = {
    "as it is": {"scale_factor": 1.0, "keep_ratio": True},
    "factor": {"scale_factor": 0.37, "keep_ratio": True},
    "two factors": {"scale_factor": (1.5, 0.5)},
    "fit": {"scale": (133, 80), "keep_ratio": True},
    "fit, order of no matter": {"scale": (80, 133), "keep_ratio": True},
    "width and height": {"scale": (90, 50)},
}


@pytest.mark.parametrize("options", RULES.values(), ids=list(RULES))
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resizing_gives_the_pixels_of_mmdetection(options, interpolation):
    transform = Resize(**options, interpolation=interpolation)
    factor = options.get("scale_factor", 1.0)
    rule = ResizeRule(
        scale=options.get("scale"),
        scale_factor=factor if isinstance(factor, tuple) else (factor, factor),
        keep_ratio=options.get("keep_ratio", False),
        interpolation=interpolation,
    )
    for image in pictures((60, 101), (101, 60), (47, 47), (5, 333)):
        expected = transform({"img": image})["img"]
        np.testing.assert_array_equal(rule(image), expected)
        assert rule.size(*image.shape[:2]) == expected.shape[:2]


def test_an_image_that_would_vanish_is_refused():
    with pytest.raises(ValueError, match="2000x1 pixels would be resized to 100x0"):
        ResizeRule(scale=(100, 100))(np.zeros((1, 2000, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("kind", ["color", "gray", "transparent", "16 bit"])
def test_files_are_read_as_in_the_test_pipeline(tmp_path, kind, suffix):
    if suffix == ".jpg" and kind in ("transparent", "16 bit"):
        pytest.skip("JPEG has neither")
    image = pictures((40, 30))[0]
    if kind == "gray":
        image = image[:, :, 0]
    elif kind == "transparent":
        image = np.dstack([image, image[:, :, 0]])
    elif kind == "16 bit":
        image = image.astype(np.uint16) * 257
    path = tmp_path / f"image{suffix}"
    assert cv2.imwrite(str(path), image)
    expected = LoadImageFromFile().transform({"img_path": str(path)})["img"]
    found = read_image(path)
    np.testing.assert_array_equal(found, expected)
    assert check_image(found) is found


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF segment with the camera's orientation."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0" * 3
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


def test_the_cameras_orientation_is_applied(tmp_path):
    image = pictures((40, 30))[0]
    path = tmp_path / "image.jpg"
    path.write_bytes(with_orientation(cv2.imencode(".jpg", image)[1].tobytes(), 6))
    expected = LoadImageFromFile().transform({"img_path": str(path)})["img"]
    found = read_image(path)
    assert found.shape == (30, 40, 3)
    np.testing.assert_array_equal(found, expected)


def test_print_colors_are_converted(tmp_path):
    picture = PIL.Image.fromarray(pictures((40, 30))[0]).convert("CMYK")
    path = tmp_path / "image.jpg"
    picture.save(path)
    expected = LoadImageFromFile().transform({"img_path": str(path)})["img"]
    found = read_image(path)
    assert found.shape == (40, 30, 3)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_files(tmp_path, suffix):
    """The decodable part is used, as in the test pipeline; without any it is an error."""
    content = cv2.imencode(suffix, pictures((400, 300))[0])[1].tobytes()
    path = tmp_path / f"image{suffix}"
    for length in (len(content) - 2, len(content) // 2, 20):
        path.write_bytes(content[:length])
        try:
            expected = LoadImageFromFile().transform({"img_path": str(path)})["img"]
        except AssertionError:
            with pytest.raises(ValueError, match="cannot be read as an image"):
                read_image(path)
        else:
            np.testing.assert_array_equal(read_image(path), expected)


def test_files_that_are_no_images(tmp_path):
    path = tmp_path / "image.jpg"
    for content in (b"no image", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(f"{path} cannot be read as an image")):
            read_image(path)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.jpg")


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((8, 9), np.uint8), ValueError, r"found \(8, 9\); .*COLOR_GRAY2BGR"),
        (np.zeros((8, 9, 1), np.uint8), ValueError, r"found \(8, 9, 1\); .*COLOR_GRAY2BGR"),
        (np.zeros((8, 9, 4), np.uint8), ValueError, r"found \(8, 9, 4\); .*COLOR_BGRA2BGR"),
        (
            np.zeros((3, 8, 9), np.uint8),
            ValueError,
            r"one pixel, found \(3, 8, 9\); pass an array of this shape$",
        ),
        (np.zeros((0, 9, 3), np.uint8), ValueError, r"found \(0, 9, 3\)"),
        (np.zeros((8, 9, 3), np.uint16), TypeError, "uint8 .* found an array of uint16"),
        (np.zeros((8, 9, 3), np.float32), TypeError, "found an array of float32"),
        ("image.jpg", TypeError, "found an object of type str; .*read_image"),
    ],
)
def test_other_arrays_are_refused(image, error, message):
    with pytest.raises(error, match=message):
        check_image(image)


def _tiled_tiff(gray, side=32):
    """Return a gray 16-bit TIFF, uncompressed, in one row of square tiles."""
    height, width = gray.shape
    padded = np.zeros((side, -(-width // side) * side), "<u2")
    padded[:height, :width] = gray
    tiles = [padded[:, left : left + side].tobytes() for left in range(0, width, side)]
    size, count = len(tiles[0]), len(tiles)
    lists = 8 + size * count  # the offsets and the lengths of the tiles, then the tags
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 277: 1, 322: side, 323: side}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 324, 4, count, lists))
    entries.append(struct.pack("<HHII", 325, 4, count, lists + 4 * count))
    offsets = [8 + size * number for number in range(count)]
    return b"".join(
        [
            struct.pack("<2sHI", b"II", 42, lists + 8 * count),
            *tiles,
            struct.pack(f"<{2 * count}I", *offsets, *[size] * count),
            struct.pack("<H", len(entries)),
            *entries,
            bytes(4),
        ]
    )


def test_gray_16_bit_tiles_whose_last_column_is_cut(tmp_path):
    """OpenCV's IMREAD_COLOR, MMDetection's way, returns other pixels at the right border."""
    gray = np.random.default_rng(0).integers(0, 2**16, (32, 80), np.uint16)
    (tmp_path / "a.tif").write_bytes(_tiled_tiff(gray))
    found = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, np.stack([gray >> 8] * 3, -1))


@pytest.mark.slow
def test_an_exported_model_reads_deep_images_as_the_training(tmp_path):
    config = small_config("mask-rcnn_r50_fpn", {"type": "FCNMaskHead"})
    wide = {"type": "WideDataPreprocessor", "mean": [100.0] * 4, "std": [50.0] * 4}
    config.model.data_preprocessor.update(**wide, bgr_to_rgb=False)
    config.model.backbone.update(type="WideInput", narrow_type="ResNet", in_channels=4)
    detector = decided_detector(config, pictures((112, 160), channels=4))
    options = {"value_range": (0, 4095), "plane": 1, "bands": (0, 1, 2, 3)}
    config.test_dataloader.dataset.pipeline[0] = {"type": "LoadImage", "options": options}
    model = export(tmp_path, detector, config)
    assert model.info.image_options == ImageOptions.of(options)
    segmenter = Segmenter(model.onnx)
    assert segmenter.info == model.info
    (picture,) = pictures((112, 160), channels=4)
    path = tmp_path / "image.tif"
    deep = np.stack([np.zeros_like(picture), picture]).astype(np.uint16) * 16
    tifffile.imwrite(path, deep, photometric="rgb")
    image = segmenter.read(path)
    assert np.array_equal(image, np.floor(picture * (16.0 * 255 / 4095) + 0.5))
    with_checkpoint = CheckpointSegmenter(config, model.checkpoint)
    assert np.array_equal(with_checkpoint.read(path), image)
    loaded = LoadImage(options)({"img_path": str(path)})["img"]
    assert np.array_equal(loaded, image)
    found, wanted = segmenter(image), with_checkpoint(image)
    assert len(wanted.scores) > 3
    assert np.array_equal(found.labels, wanted.labels)
    assert np.allclose(found.boxes, wanted.boxes, atol=0.01)
