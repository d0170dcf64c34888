"""The options of reading images: their values, their way through configs, and the 8 bits."""

import cv2
import numpy as np
import pytest
import tifffile
from mmcv.transforms import LoadImageFromFile
from PIL import Image
from tiff_files import GRAY12, RGB8, scaled

from nbseg.datasets.loading import LoadImage
from nbseg.datasets.value_range import measure_value_range
from nbseg.image_headers import image_header
from nbseg.image_options import FOR_DISPLAY, ImageOptions, options_in, to_uint8
from nbseg.images import read_image


@pytest.mark.parametrize(
    "wrong",
    [
        {"value_range": (5, 5)},
        {"value_range": (9, 2)},
        {"value_range": (0, float("nan"))},
        {"value_range": (1,)},
        {"bands": ()},
        {"bands": {}},
        {"value_range": 4095},
        {"value_range": "abc"},
        {"value_range": (None, 5)},
        {"bands": (-1,)},
        {"bands": (0.5,)},
        {"plane": -1},
        {"plane": "median"},
        {"level": True},
        {"range": (0, 1)},
    ],
)
def test_wrong_options_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"image_options.*{next(iter(wrong))}"):
        ImageOptions.of(wrong)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int8", "uint32", "float32", "float64"])
def test_values_are_scaled_and_rounded_as_in_float64(dtype):
    random = np.random.default_rng(3)
    values = (random.normal(20, 60, (50, 40)).clip(0 if dtype[0] == "u" else -128, 127)).astype(
        dtype
    )
    found = to_uint8(values, 8 * values.dtype.itemsize, (-7.5, 61))
    assert np.array_equal(found, scaled(values, -7.5, 61))


def test_values_that_are_not_finite_are_black_or_white():
    values = np.array([np.nan, -np.inf, np.inf, 0.5], np.float32)
    assert to_uint8(values, 32, (0, 1)).tolist() == [0, 0, 255, 128]


def test_the_options_are_found_in_a_pipeline():
    options = {"value_range": (0, 4095)}
    load = {"type": "LoadImage", "options": options}
    assert options_in([load]) == ImageOptions(value_range=(0, 4095))
    views = {"type": "TestTimeAug", "transforms": [[{"type": "Resize"}], [load]]}
    assert options_in([{"type": "Other"}, views]) == ImageOptions.of(options)
    assert options_in([{"type": "LoadImageFromFile"}]) == ImageOptions()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_other_formats_are_read_as_by_mmcv(tmp_path, suffix):
    path = str(tmp_path / f"image{suffix}")
    cv2.imwrite(path, RGB8)
    found, peer = (load({"img_path": path}) for load in (LoadImage(), LoadImageFromFile()))
    assert np.array_equal(found["img"], peer["img"])
    assert found["img_shape"] == peer["img_shape"] and found["ori_shape"] == peer["ori_shape"]
    assert LoadImage(to_float32=True)({"img_path": path})["img"].dtype == np.float32


def test_training_and_deployment_read_alike(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, GRAY12, tile=(32, 32), compression="zlib")
    options = {"value_range": (100, 3000)}
    trained = LoadImage(options)({"img_path": str(path)})["img"]
    deployed = read_image(path, options=ImageOptions.of(options))
    assert np.array_equal(trained, deployed)
    assert np.array_equal(deployed[..., 0], scaled(GRAY12, 100, 3000))


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_channels_of_other_formats(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    alpha = RGB8[::-1, ::-1, :1]
    four = np.concatenate([RGB8, alpha], -1)
    Image.fromarray(four).save(path, lossless=True, exact=True)

    def read(*bands):
        options = ImageOptions(bands=bands)
        pixels = read_image(path, options=options)
        assert image_header(path, options)[:2] == pixels.shape[:2]
        return pixels

    assert np.array_equal(read(1), np.repeat(RGB8[..., 1:2], 3, axis=-1))
    assert np.array_equal(read(2, 0, 1)[..., ::-1], RGB8[..., [2, 0, 1]])
    assert np.array_equal(read(3, 1, 0)[..., ::-1], four[..., [3, 1, 0]])
    assert np.array_equal(read(0, 1, 2, 3), four)
    assert np.array_equal(read(1, 3), four[..., [1, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": (3,)}, r"has 3 channels, but image_options.bands is \(3,\)"),
        ({"bands": ("DAPI",)}, "has no channel 'DAPI'; its channels are not named"),
        ({"plane": 7}, "has 1 plane, but image_options.plane is 7"),
        ({"level": 2}, "has 1 resolution, but image_options.level is 2"),
    ],
)
def test_parts_that_other_formats_lack_are_refused(tmp_path, options, message):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), RGB8)
    chosen = ImageOptions.of(options)
    for read in (image_header, lambda path, options: read_image(path, options=options)):
        with pytest.raises(ValueError, match=message):
            read(path, chosen)


def test_one_channel_may_be_a_number_or_a_word():
    assert ImageOptions.of({"bands": 2}).bands == (2,)
    assert ImageOptions.of({"bands": "DAPI"}).bands == ("DAPI",)
    with pytest.raises(ValueError, match="image_options must be a dictionary"):
        ImageOptions.of([("bands", 2)])


def test_an_unreadable_image_is_none_if_allowed(tmp_path):
    path = tmp_path / "image.tif"
    path.write_bytes(b"II*\0 and nothing more")
    assert LoadImage(ignore_empty=True)({"img_path": str(path)}) is None
    with pytest.raises(ValueError, match="cannot be read as an image"):
        LoadImage()({"img_path": str(path)})


def test_a_model_never_sees_each_images_own_range():
    with pytest.raises(ValueError, match="different brightness"):
        LoadImage({"value_range": "own"})


def test_people_see_values_of_any_range(tmp_path):
    path = tmp_path / "image.tif"
    for values in (GRAY12, GRAY12.astype(np.int16) - 2000, GRAY12 / np.float32(4095)):
        tifffile.imwrite(path, values)
        pixels = read_image(path, options=FOR_DISPLAY)
        assert pixels.min() == 0 and pixels.max() == 255 and 100 < np.median(pixels) < 155


def test_the_range_is_that_of_all_images(tmp_path):
    paths = []
    for number, top in enumerate((1000, 4000, 3000)):
        values = np.linspace(0, top, 40_000).reshape(200, 200).astype(np.uint16)
        values[0, 0] = 65535  # a single hot pixel
        paths.append(tmp_path / f"{number}.tif")
        tifffile.imwrite(paths[-1], values)
    cv2.imwrite(str(tmp_path / "eight.png"), RGB8)
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    paths += [tmp_path / "eight.png", tmp_path / "broken.tif"]
    found = measure_value_range(paths)
    assert (found.measured, found.deep) == (5, 3)
    assert found.low < 20 and 3900 < found.high <= 4000
    assert measure_value_range(paths[3:]) is None


def test_a_value_that_marks_missing_pixels_is_not_measured(tmp_path):
    values = np.linspace(-200, 300, 40_000).reshape(200, 200).astype(np.float32)
    values[:50] = -9999
    path = tmp_path / "heights.tif"
    tifffile.imwrite(path, values, extratags=[(42113, "s", 0, "-9999", True)])
    found = measure_value_range([path])
    assert -80 < found.low < -70 and 295 < found.high < 300
    header = image_header(path, ImageOptions(value_range=(0, 1)))
    assert header.notes == ("have pixels without a value (-9999), which are read as stored",)
