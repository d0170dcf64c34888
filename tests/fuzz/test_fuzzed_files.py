"""Damaged images and prediction stores are read, or refused by an error that names them."""

import io
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nbseg.image_headers import image_header
from nbseg.images import read_image
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore, PredictionWriter

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")


def encoded(kind):
    pixels = np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


ENCODED = {kind: encoded(kind) for kind in FORMATS}


@st.composite
def damaged(draw, content):
    """Change, remove or insert up to four stretches of bytes."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(start + draw(st.integers(0, 8)), len(content))
        content[start:end] = draw(st.binary(max_size=8))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(st.sampled_from(FORMATS).flatmap(lambda kind: damaged(ENCODED[kind])))
@pytest.mark.filterwarnings("ignore")
def test_damaged_images(folder, content):
    path = folder / "picture.png"
    path.write_bytes(content)
    for read in (image_header, read_image):
        try:
            read(path)
        except ValueError as error:
            assert "picture.png" in str(error)


@st.composite
def stored_images(draw):
    names = draw(st.lists(st.text(min_size=1, max_size=9), max_size=6, unique=True))
    images = []
    for number, name in enumerate(names):
        count = draw(st.integers(0, 3))
        rng = np.random.default_rng(number)
        images.append(
            ImagePredictions(
                draw(st.integers(0, 2**40)) * 8 + number,
                name.replace("\0", "0") + ".png",
                *(draw(st.integers(1, 2**20)) for _ in range(2)),
                rng.random((count, 4), np.float32),
                rng.random(count, np.float32),
                rng.integers(0, 5, count),
                rng.integers(0, 256, (count, 3, 3), dtype=np.uint8),
            )
        )
    return images


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(stored_images(), st.integers(1, 3), st.integers(1, 3))
def test_the_store_returns_what_was_written(folder, images, images_per_part, ranks):
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    writers = [PredictionWriter(store, ["a", "b"], images_per_part, r) for r in range(ranks)]
    for number, image in enumerate(images):
        writers[number % ranks].append([image])
    for writer in writers:
        writer.flush()
    found = list(PredictionStore(store))
    expected = sorted(images, key=lambda image: image.image_id)
    assert len(found) == len(expected)
    assert all(map(same, found, expected))
