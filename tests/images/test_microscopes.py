"""CZI and DICOM files, which pylibCZIrw and pydicom write, are read by their values."""

import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pylibCZIrw import czi
from tiff_files import GRAY8, GRAY12, GRAY16, HEIGHT, RGB8, WIDTH, gray, ramp, scaled

from nbseg.datasets.value_range import measure_value_range
from nbseg.image_headers import image_header, image_size
from nbseg.image_names import image_names
from nbseg.image_options import FOR_DISPLAY, ImageOptions
from nbseg.images import read_image


def read(path, **options):
    chosen = ImageOptions.of(options)
    pixels = read_image(path, options=chosen)
    assert image_header(path, chosen)[:2] == pixels.shape[:2] == (HEIGHT, WIDTH)
    assert image_size(path) == (HEIGHT, WIDTH)
    return pixels[..., ::-1] if pixels.shape[2] == 3 else pixels


@pytest.fixture
def stack(tmp_path):
    """Three focal planes and two channels of 12 bits, at a place that is not the origin."""
    planes = {(z, c): ramp(2 * z + c, 4095).astype(np.uint16) for z in range(3) for c in range(2)}
    path = tmp_path / "stack.czi"
    with czi.create_czi(str(path)) as file:
        for (z, c), values in planes.items():
            file.write(values[..., None], plane={"T": 0, "Z": z, "C": c}, location=(40, -20))
        file.write_metadata("stack", channel_names={0: "DAPI", 1: "GFP"})
    return path, planes


def test_a_stack_in_czi(stack):
    path, planes = stack
    ranged = {"value_range": (0, 4095)}
    shown = {key: gray(scaled(values, 0, 4095)) for key, values in planes.items()}
    assert np.array_equal(read(path, **ranged), shown[0, 0])
    assert np.array_equal(read(path, plane=2, bands=(1,), **ranged), shown[2, 1])
    assert np.array_equal(read(path, plane=1, bands=("GFP",), **ranged), shown[1, 1])
    both = np.stack([shown[0, 0][..., 0], shown[0, 1][..., 0]], -1)
    assert np.array_equal(read(path, bands=(0, 1), **ranged), both)
    brightest = np.max([planes[z, 0] for z in range(3)], axis=0)
    found = read(path, plane="max", **ranged)
    assert np.array_equal(found, gray(scaled(brightest, 0, 4095)))
    notes = " ".join(image_header(path).notes)
    for text in ("of which only the upper 8", "several frames or pages", "have 2 channels"):
        assert text in notes
    measured = measure_value_range([path])
    assert (measured.deep, measured.low) == (1, 0) and 4080 < measured.high <= 4095
    assert read_image(path, options=FOR_DISPLAY).max() == 255


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plane": 3}, "has 3 planes, but image_options.plane is 3"),
        ({"bands": (2,)}, r"has 2 channels, but image_options.bands is \(2,\)"),
        ({"bands": ("Cy5",)}, r"has no channel 'Cy5'; its channels are \['DAPI', 'GFP'\]"),
        ({"level": 1}, "is a CZI file, of which nbseg reads only the full resolution"),
    ],
)
def test_parts_that_a_czi_lacks_are_refused(stack, options, message):
    for call in (image_header, lambda path, options: read_image(path, options=options)):
        with pytest.raises(ValueError, match=message):
            call(stack[0], ImageOptions.of(options))


def test_colors_in_czi(tmp_path):
    path = tmp_path / "color.czi"
    with czi.create_czi(str(path)) as file:
        file.write(np.ascontiguousarray(RGB8[..., ::-1]))  # color cameras store B, G, R
    assert np.array_equal(read(path), RGB8)
    assert np.array_equal(read(path, bands=(2,)), gray(RGB8[..., 2]))


def write_dicom(path, values, **tags):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    bits = 8 * values.dtype.itemsize
    file.Rows, file.Columns = HEIGHT, WIDTH
    file.BitsAllocated = file.BitsStored = bits
    file.HighBit, file.SamplesPerPixel = bits - 1, 1
    file.PixelRepresentation = int(values.dtype.kind == "i")
    file.PhotometricInterpretation = "MONOCHROME2"
    for name, value in tags.items():
        setattr(file, name, value)
    file.PixelData = values.tobytes()
    file.save_as(path, enforce_file_format=True)
    return path


def test_values_in_dicom(tmp_path):
    path = tmp_path / "image.dcm"
    write_dicom(path, GRAY8)
    assert np.array_equal(read(path), gray(GRAY8))
    write_dicom(path, GRAY8, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read(path), gray(255 - GRAY8))
    write_dicom(path, GRAY16)
    assert np.array_equal(read(path), gray(GRAY16 >> 8))
    write_dicom(path, GRAY12, BitsStored=12, HighBit=11)
    assert np.array_equal(read(path), gray(GRAY12 >> 4))
    color = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    write_dicom(path, RGB8, **color)
    assert np.array_equal(read(path), RGB8)


def test_hounsfield_units(tmp_path):
    stored = ramp(0, 3000).astype(np.int16)
    slope = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    path = write_dicom(tmp_path / "ct.dcm", stored, **slope)
    expected = gray(scaled(stored.astype(np.float64) - 1024, -160, 240))
    assert np.array_equal(read(path, value_range=(-160, 240)), expected)
    with pytest.raises(ValueError, match="set image_options.value_range"):
        image_header(path)
    measured = measure_value_range([path])
    assert -1024 <= measured.low < -1000 and 1950 < measured.high <= 1976


def test_frames_of_dicom(tmp_path):
    frames = np.stack([ramp(number) for number in range(4)]).astype(np.uint8)
    path = write_dicom(tmp_path / "frames.dcm", frames, NumberOfFrames=4)
    assert np.array_equal(read(path, plane=3), gray(frames[3]))
    assert np.array_equal(read(path, plane="max"), gray(frames.max(axis=0)))
    assert "of which only the first is read" in " ".join(image_header(path).notes)


@pytest.mark.parametrize("name", ["image.czi", "image.dcm"])
def test_damaged_files_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no image" * 100)
    for call in (image_header, read_image):
        with pytest.raises(ValueError, match=r"image\.\w+ cannot be read as an image"):
            call(path)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / f"missing_{name}")


def test_without_the_extra_the_files_are_named(tmp_path, stack, monkeypatch):
    assert image_names(tmp_path) == ["stack.czi"]
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    with pytest.raises(ValueError, match=r"needs the extra nbseg\[microscopy\]"):
        image_header(stack[0])
