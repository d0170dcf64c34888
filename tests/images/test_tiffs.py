"""Each kind of TIFF is read exactly, or refused by its header."""

import warnings

import numpy as np
import pytest
from tiff_files import tiff_files

from nbseg.image_headers import image_header
from nbseg.image_options import ImageOptions
from nbseg.images import decode_image, read_image

FILES = {file.name: file for file in tiff_files()}
READ = [name for name, file in FILES.items() if file.pixels is not None]
REFUSED = [name for name, file in FILES.items() if file.pixels is None]


def test_the_set_is_large():
    assert len(FILES) >= 128


@pytest.mark.parametrize("name", READ)
def test_a_tiff_is_read_exactly(tmp_path, name):
    file, path = FILES[name], tmp_path / "image.tif"
    file.write(path)
    options = ImageOptions.of(file.options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*nearly black")
        pixels = read_image(path, options=options)
        again = decode_image(np.fromfile(path, np.uint8), path, options)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert pixels.shape == file.pixels.shape
    difference = np.abs(pixels[..., ::-1].astype(int) - file.pixels.astype(int))
    assert difference.max() <= file.within
    assert np.array_equal(pixels, again)
    header = image_header(path, options)
    assert header[:2] == pixels.shape[:2]
    assert file.noted in " ".join(header.notes)
    if not file.noted:
        assert not header.notes


@pytest.mark.parametrize("name", REFUSED)
def test_a_tiff_is_refused_by_its_header(tmp_path, name):
    file, path = FILES[name], tmp_path / "image.tif"
    file.write(path)
    options = ImageOptions.of(file.options)
    for read in (image_header, lambda path, options: read_image(path, options=options)):
        with pytest.raises(ValueError) as error:
            read(path, options)
        assert file.refused in str(error.value) and str(error.value).startswith(str(path))
