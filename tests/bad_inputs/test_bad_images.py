"""Every kind of image file: how it is read, and what the tools say about it."""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from PIL import Image

from nbseg.images import read_image

# Red, green, blue and white quadrants, RGB.
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
PIXELS = COLORS.reshape(2, 2, 3).repeat(32, axis=0).repeat(32, axis=1)
PICTURE = Image.fromarray(PIXELS)
GRAY = np.asarray(PICTURE.convert("L"))
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
# The order of the quadrants when a camera's orientation is applied.
TURNED = {
    **{1: (0, 1, 2, 3), 2: (1, 0, 3, 2), 3: (3, 2, 1, 0), 4: (2, 3, 0, 1)},
    **{5: (0, 2, 1, 3), 6: (2, 0, 3, 1), 7: (3, 1, 2, 0), 8: (1, 3, 0, 2)},
}


class Kind(NamedTuple):
    """One kind of file: its name, how to write it, and what becomes of it.

    ``colors`` are the quadrants' RGB as read, where that is known. ``refused`` is what the message
    of a refusal says, and ``noted`` what is said about a file that is read all the same. The
    headers of files that are ``broken_inside`` are sound. An image is ``too_thin`` if nothing
    remains of it at the size of the exported model.
    """

    file: str
    write: object
    size: tuple[int, int] = (64, 64)
    colors: object = None
    refused: str = ""
    noted: str = ""
    warned: str = ""
    broken_inside: bool = False
    too_thin: bool = False


def save(picture, **options):
    # A copy: Pillow keeps the settings of one save for the next one.
    return lambda path: picture.copy().save(path, **options)


def save_frames(**options):
    """Write two frames."""
    return lambda path: PICTURE.copy().save(
        path, save_all=True, append_images=[Image.fromarray(NOISE)], **options
    )


def encode(array):
    return lambda path: cv2.imwrite(str(path), array)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(PICTURE, exif=exif)


def part(suffix, share):
    encoded = cv2.imencode(suffix, NOISE)[1].tobytes()
    return lambda path: path.write_bytes(encoded[: int(len(encoded) * share)])


def flipped(path):
    encoded = bytearray(cv2.imencode(".png", NOISE)[1].tobytes())
    encoded[len(encoded) // 2] ^= 255
    path.write_bytes(encoded)


def content(data):
    return lambda path: path.write_bytes(data)


def as_format(name):
    return save(PICTURE, format=name)


def exif(data):
    """Write a JPEG with these bytes as its Exif block."""

    def write(path):
        PICTURE.save(path, "JPEG", quality=95)
        encoded, block = path.read_bytes(), b"Exif\0\0" + data
        length = (len(block) + 2).to_bytes(2, "big")
        path.write_bytes(encoded[:2] + b"\xff\xe1" + length + block + encoded[2:])

    return write


def netpbm(header, pixels):
    return content(header.encode() + b"\n" + pixels.tobytes())


PAM = "P7\nWIDTH 64\nHEIGHT 64\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR"
UNREADABLE = "cannot be read as an image; replace or remove it"
VALUES = "floating-point or 32-bit values"
BITS = "have 16 bits per channel, of which only the upper 8 are read"
FIRST = "have several frames or pages, of which only the first is read"
DARK = "its brightest value becomes 15 of 255"

KINDS = {
    "gray": Kind("a.png", save(PICTURE.convert("L")), colors=np.stack([GRAY] * 3, -1)[::32, ::32]),
    "gray and alpha": Kind(
        "a.png", save(PICTURE.convert("LA")), colors=np.stack([GRAY] * 3, -1)[::32, ::32]
    ),
    "transparent": Kind("a.png", encode(np.dstack([PIXELS[..., ::-1], GRAY * 0])), colors=COLORS),
    "print colors": Kind("a.jpg", save(PICTURE.convert("CMYK"), quality=95), colors=COLORS),
    "palette": Kind("a.png", save(PICTURE.quantize(8)), colors=COLORS),
    "palette with a transparent color": Kind(
        "a.png", save(PICTURE.quantize(8), transparency=0), colors=COLORS
    ),
    "one bit": Kind(
        "a.png", save(Image.fromarray(GRAY > 100).convert("1")), colors=[[0] * 3, [255] * 3] * 2
    ),
    "16 bits, gray": Kind("a.png", encode(GRAY.astype(np.uint16) << 8), noted=BITS),
    "16 bits, colors": Kind(
        "a.png", encode(PIXELS[..., ::-1].astype(np.uint16) * 257), colors=COLORS, noted=BITS
    ),
    "12 bits in 16, png": Kind(
        "a.png", encode(GRAY.astype(np.uint16) * 16), noted=BITS, warned=DARK
    ),
    "12 bits in 16, tiff": Kind(
        "a.tif", encode(GRAY.astype(np.uint16) * 16), noted=BITS, warned=DARK
    ),
    "floats, gray": Kind("a.tif", save(Image.fromarray(GRAY / np.float32(255))), refused=VALUES),
    "floats, colors": Kind("a.tif", encode(PIXELS / np.float32(255)), refused="color space LOGLUV"),
    "32-bit integers": Kind("a.tif", save(Image.fromarray(GRAY.astype(np.int32))), refused=VALUES),
    **{
        f"orientation {number}": Kind("a.jpg", turned(number), colors=COLORS[list(order)])
        for number, order in TURNED.items()
    },
    "a side turned up": Kind(
        "a.jpg",
        lambda path: PICTURE.resize((64, 32)).save(path, exif=_exif(6)),
        size=(64, 32),
        colors=COLORS[list(TURNED[6])],
    ),
    "one pixel": Kind("a.png", save(Image.new("RGB", (1, 1))), size=(1, 1)),
    "20,000 pixels wide": Kind(
        "a.png", save(Image.new("RGB", (20_000, 2))), size=(2, 20_000), too_thin=True
    ),
    "20,000 pixels high": Kind(
        "a.png", save(Image.new("RGB", (2, 20_000))), size=(20_000, 2), too_thin=True
    ),
    "70,000 pixels high": Kind(
        "a.png", save(Image.new("L", (2, 70_000))), size=(70_000, 2), too_thin=True
    ),
    "a JPEG named png": Kind("a.png", as_format("JPEG"), colors=COLORS),
    "a WebP named jpg": Kind("a.jpg", save(PICTURE, format="WEBP", quality=95), colors=COLORS),
    "progressive": Kind("a.jpg", save(PICTURE, progressive=True), colors=COLORS),
    "two pictures in a JPEG": Kind("a.jpg", save_frames(format="MPO")),
    "animated, gif": Kind("a.gif", save_frames(), colors=COLORS, noted=FIRST),
    "animated, webp": Kind("a.webp", save_frames(lossless=True), noted=FIRST),
    "animated, png": Kind("a.png", save_frames(), colors=COLORS, noted=FIRST),
    "pages": Kind("a.tif", save_frames(), colors=COLORS, noted=FIRST),
    "broken Exif": Kind("a.jpg", exif(b"garbage!"), colors=COLORS),
    "an Exif block of two bytes": Kind("a.jpg", exif(b"MM"), colors=COLORS),
    "bytes behind the image": Kind(
        "a.png",
        lambda path: path.write_bytes(cv2.imencode(".png", PIXELS[..., ::-1])[1].tobytes() * 2),
        colors=COLORS,
    ),
    "one pixel high": Kind(
        "a.png", save(Image.new("L", (70_000, 1))), size=(1, 70_000), too_thin=True
    ),
    "ppm": Kind("a.ppm", netpbm("P6\n# made by hand\n64 64\n255", PIXELS), colors=COLORS),
    "ppm, 16 bits": Kind(
        "a.ppm", netpbm("P6 64 64 65535", PIXELS.astype(">u2") * 257), colors=COLORS, noted=BITS
    ),
    "ppm, 10 bits": Kind(
        "a.ppm",
        netpbm("P6 64 64 1023", PIXELS.astype(">u2") * 4),
        refused="values up to 1023",
        broken_inside=True,
    ),
    "pam": Kind("a.ppm", netpbm(PAM, PIXELS), refused="the format PAM"),
    "text": Kind("a.png", content(b"not an image"), refused=UNREADABLE),
    "a web page": Kind("a.jpg", content(b"<html>404</html>"), refused=UNREADABLE),
    "zero bytes": Kind("a.png", content(b""), refused=UNREADABLE),
    "a cut header": Kind("a.png", part(".png", 0.002), refused=UNREADABLE),
    "a cut tiff": Kind("a.tif", part(".tif", 0.5), refused="cannot be read as an image"),
    "a cut webp": Kind("a.webp", part(".webp", 0.5), refused=UNREADABLE),
    "a cut body": Kind("a.png", part(".png", 0.5), refused=UNREADABLE, broken_inside=True),
    "a changed byte": Kind("a.png", flipped, refused=UNREADABLE, broken_inside=True),
    "a cut JPEG": Kind("a.jpg", part(".jpg", 0.9), refused=UNREADABLE, broken_inside=True),
    "a link to nothing": Kind("a.png", lambda p: p.symlink_to("nowhere.png")),
    "a folder": Kind("a.png", Path.mkdir),
    "a pipe": Kind("a.png", os.mkfifo),
}
NO_FILES = ("a link to nothing", "a folder", "a pipe")
REFUSED = [n for n, kind in KINDS.items() if kind.refused or n in NO_FILES]
READ = [n for n in KINDS if n not in REFUSED]


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def put(root, name, file="labeled.json", edit=None):
    """Write the kind's file and add it to a json, with an object if it is the labeled one."""
    kind = KINDS[name]
    path = root / "train" / kind.file
    kind.write(path)
    height, width = kind.size
    box = [0, 0, min(width, 20), min(height, 20)]
    corners = [0, 0, box[2], 0, box[2], box[3], 0, box[3]]

    def add(content):
        content["images"].append(
            {"id": 99, "file_name": kind.file, "height": height, "width": width}
        )
        content["annotations"].append(
            {"id": 999, "image_id": 99, "category_id": content["categories"][0]["id"], "bbox": box}
            | {"area": box[2] * box[3], "iscrowd": 0, "segmentation": [corners]}
        )

    edit(root / file, add)
    return path


@pytest.mark.parametrize("name", READ)
def test_what_is_read(root, name):
    kind, path = KINDS[name], root / KINDS[name].file
    kind.write(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = read_image(path)
    assert [kind.warned in str(warning.message) for warning in caught] == [True] * bool(kind.warned)
    assert image.shape == (*kind.size, 3)
    if kind.colors is not None:
        height, width = kind.size
        rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
        found = image[np.ix_(rows, columns)][..., ::-1].reshape(4, 3).astype(int)
        assert np.abs(found - np.reshape(kind.colors, (4, 3))).max() <= 12


@pytest.mark.parametrize("name", READ)
def test_a_file_that_can_be_read(root, name, check, train, infer, edit):
    path = put(root, name, edit=edit)
    checked = check("labeled.json")
    assert checked.status == 0, checked.says
    assert (f"1 images {KINDS[name].noted}" in checked.says) == bool(KINDS[name].noted)
    assert ("1 images have" in checked.says) == bool(KINDS[name].noted)
    started = train("--stages", "teacher")
    assert started.status == 0, started.says
    inferred = infer(path)
    if KINDS[name].too_thin:
        assert inferred.status == 1 and "would be resized to" in inferred.says
        assert str(path) in inferred.says
        return
    assert inferred.status == 0, inferred.says
    assert "1 images, 0 objects" in inferred.says
    assert KINDS[name].warned in inferred.says


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read(root, name, check, infer, edit):
    kind, path = KINDS[name], put(root, name, edit=edit)
    checked = check("labeled.json")
    assert checked.status == 2 and kind.file in checked.says
    if kind.broken_inside:
        assert "images that cannot be decoded" in checked.says
    else:
        assert kind.refused in checked.says
    inferred = infer(path, "val/000000.png") if name != "a folder" else infer(path)
    assert inferred.status == 1 and kind.file in inferred.says
    if name != "a folder":
        assert "1 of 2 files could not be read" in inferred.says and kind.refused in inferred.says
        assert "1 images, 0 objects" in inferred.says


@pytest.mark.parametrize("name", REFUSED)
def test_no_training_starts_with_it(root, name, train, edit):
    path = put(root, name, edit=edit)
    refusal = train("--stages", "teacher")
    assert refusal.status == 1 and path.name in refusal.says, refusal.says


def test_a_broken_unlabeled_image_is_counted_once(root, train):
    """One of two images is sound, so the set is not refused."""
    (root / "train/000004.png").write_bytes(b"not an image")
    plan = train("--dry-run")
    assert plan.status == 0, plan.says
    expected = f"1 images that cannot be read, the first: train/000004.png {UNREADABLE}. "
    assert expected in plan.says


def test_every_kind_is_answered():
    assert len(KINDS) == len(READ) + len(REFUSED) >= 40
