"""Bare folders of unlabeled images, through MMDetection's own pipeline."""

import warnings

import cv2
import numpy as np
import pytest
from mmdet.structures import DetDataSample
from PIL import Image

import nbseg.datasets.image_folder  # noqa: F401  registers the data set
from nbseg.registry import DATASETS

PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "mmdet.Resize", "scale": (64, 48), "keep_ratio": True},
    {
        "type": "mmdet.PackDetInputs",
        "meta_keys": ("img_id", "img_path", "file_name", "ori_shape", "img_shape", "scale_factor"),
    },
]


def _build(folder, **options):
    config = {
        "type": "ImageFolderDataset",
        "data_root": str(folder.parent),
        "data_prefix": {"img": folder.name},
        "metainfo": {"classes": ("star", "gear")},
        "pipeline": PIPELINE,
        "test_mode": True,
    }
    return DATASETS.build(config | options)


def _save(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    _save(folder / "b.png", 40, 60)
    _save(folder / "a" / "z.JPG", 30, 50)
    _save(folder / "c.bmp", 20, 10)
    _save(folder / "d.webp", 21, 11)
    _save(folder / "e.tiff", 22, 12)
    (folder / "notes.txt").write_text("no image")
    _save(folder / ".cache" / "thumbnail.png", 8, 8)
    return folder


def test_images_are_listed_by_relative_path_with_their_sizes(folder):
    dataset = _build(folder)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [i["file_name"] for i in infos] == ["a/z.JPG", "b.png", "c.bmp", "d.webp", "e.tiff"]
    assert [i["img_id"] for i in infos] == [1, 2, 3, 4, 5]
    assert [i["img_path"] for i in infos] == [str(folder / i["file_name"]) for i in infos]
    assert all(i["instances"] == [] for i in infos)
    assert dataset.metainfo["classes"] == ("star", "gear")
    for info in infos:
        assert cv2.imread(info["img_path"]).shape[:2] == (info["height"], info["width"])


def test_items_go_through_the_test_pipeline(folder):
    item = _build(folder)[1]
    sample = item["data_samples"]
    assert isinstance(sample, DetDataSample)
    assert item["inputs"].shape == (3, 43, 64)
    assert sample.img_id == 2
    assert sample.file_name == "b.png"
    assert sample.ori_shape == (40, 60)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_size_is_that_of_the_upright_photograph(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / f"photo.{suffix}", exif=exif)
    dataset = _build(tmp_path / "images")
    info = dataset.get_data_info(0)
    assert dataset[0]["data_samples"].ori_shape == (info["height"], info["width"])


def test_unreadable_files_are_named_and_left_out(folder):
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "torn.png").write_bytes((folder / "b.png").read_bytes()[:20])
    with pytest.warns(UserWarning, match="3 of 8 images.*broken.png, empty.jpg, torn.png"):
        dataset = _build(folder)
    assert len(dataset) == 5
    assert [dataset.get_data_info(i)["img_id"] for i in range(5)] == [1, 2, 3, 4, 5]


def test_readable_folder_gives_no_warning(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _build(folder)


def test_wrong_folders_are_named(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="there is no image folder .*missing"):
        _build(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="there is no image folder ''"):
        _build(folder, data_root="", data_prefix={})
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no image in .*empty.*found no file"):
        _build(tmp_path / "empty")
    with pytest.raises(ValueError, match="ann_file is .*x.json'; remove"):
        _build(folder, ann_file="x.json")


def test_subset_and_metainfo_options_of_the_base_class_work(folder):
    assert len(_build(folder, indices=2)) == 2
