"""Valid TIFFs of many kinds, each with the pixels that a formula gives for the file.

tifffile, Pillow and OpenCV write most of the files. ``rasterio/`` has files of GDAL, which
``make_rasterio_files.py`` wrote.
"""

import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 70, 90


class Tiff(NamedTuple):
    """One kind of file.

    ``pixels`` are the expected RGB values, (H, W, 3) uint8, within ``within`` gray levels. A
    message about a file without ``pixels`` contains ``refused``. ``options`` are image options.
    ``noted`` is a part of a note in the header.
    """

    name: str
    write: Callable[[Path], Any]
    pixels: np.ndarray | None
    options: dict[str, Any] = {}
    within: int = 0
    refused: str = ""
    noted: str = ""


def ramp(number: int = 0, top: int = 255, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a smooth picture with values from 0 to ``top``, another one for each number."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin((y * (1 + number % 3) + 2 * x + 9 * number) / 21)
    return np.rint((wave + 1) / 2 * top).astype(np.int64)


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1).astype(np.uint8)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale values with the arithmetic of float64, rounding halves up."""
    values = values.astype(np.float64)
    return np.floor(np.clip((values - low) * 255 / (high - low), 0, 255) + 0.5).astype(np.uint8)


RGB8 = np.stack([ramp(0), ramp(1), ramp(2)], -1).astype(np.uint8)
RGB16 = np.stack([ramp(0, 65535), ramp(1, 65535), ramp(2, 65535)], -1).astype(np.uint16)
GRAY8, GRAY16 = ramp().astype(np.uint8), ramp(0, 65535).astype(np.uint16)
GRAY12 = ramp(0, 4095).astype(np.uint16)
HIGH8 = (RGB16 >> 8).astype(np.uint8)
RANGE12 = {"value_range": (0, 4095)}
STACK = np.stack([ramp(n) for n in range(5)]).astype(np.uint8)
STACK16 = np.stack([ramp(n, 65535) for n in range(5)]).astype(np.uint16)
BITS, PAGES, LARGEST = "of which only the upper 8", "several frames or pages", "only the largest"
LOSSLESS = ("zlib", "adobe_deflate", "lzw", "packbits", "lzma", "zstd", "jpegxl", "jpeg2000")
LOSSLESS += ("webp", "png")


def save(values: np.ndarray, **options: Any) -> Callable[[Path], Any]:
    # tifffile changes compressionargs.
    return lambda path: tifffile.imwrite(path, values, **deepcopy(options))


def pillow(picture: Any, **options: Any) -> Callable[[Path], Any]:
    return lambda path: picture.copy().save(path, "TIFF", **options)


def opencv(values: np.ndarray, *flags: int) -> Callable[[Path], Any]:
    return lambda path: cv2.imwrite(str(path), values, flags)


def tiff_files() -> Iterator[Tiff]:
    """Yield all kinds of files."""
    yield from _layouts()
    yield from _compressions()
    yield from _values()
    yield from _colors()
    yield from _several_images()
    yield from _orientations()
    yield from _other_writers()
    yield from _rasterio()


def _layouts() -> Iterator[Tiff]:
    for order in "<>":
        for big in (False, True):
            form = dict(byteorder=order, bigtiff=big, photometric="minisblack")
            end = f"{'big' if order == '>' else 'little'}{' BigTIFF' if big else ''}"
            yield Tiff(f"gray 8 {end}", save(GRAY8, **form), gray(GRAY8))
            yield Tiff(f"gray 16 {end}", save(GRAY16, **form), gray(GRAY16 >> 8), noted=BITS)
            form["photometric"] = "rgb"
            yield Tiff(f"RGB 8 {end}", save(RGB8, **form), RGB8)
            yield Tiff(f"RGB 16 {end}", save(RGB16, **form), HIGH8, noted=BITS)
    # Neither side is a multiple of a tile, so the last tiles reach over the border.
    for side in (16, 32, 128):
        for compression in (None, "zlib", "lzw"):
            form = dict(tile=(side, side), compression=compression)
            end = f"tiles {side} {compression}"
            yield Tiff(f"gray 8 {end}", save(GRAY8, **form), gray(GRAY8))
            yield Tiff(f"gray 16 {end}", save(GRAY16, **form), gray(GRAY16 >> 8), noted=BITS)
            yield Tiff(f"RGB 8 {end}", save(RGB8, photometric="rgb", **form), RGB8)
    yield Tiff(
        "gray 16 big-endian tiles",
        save(GRAY16, tile=(32, 32), byteorder=">", compression="zlib", predictor=True),
        gray(GRAY16 >> 8),
        noted=BITS,
    )
    planar = np.moveaxis(RGB8, -1, 0)
    form = dict(photometric="rgb", planarconfig="separate")
    yield Tiff("planar RGB", save(planar, **form), RGB8)
    yield Tiff("planar RGB in tiles", save(planar, tile=(32, 32), **form), RGB8)
    yield Tiff("rows of 7", save(GRAY8, rowsperstrip=7), gray(GRAY8))


def _compressions() -> Iterator[Tiff]:
    for name in LOSSLESS:
        lossless = {"compressionargs": {"level": 0}} if name == "jpeg2000" else {}
        if name == "webp":
            lossless = {"compressionargs": {"lossless": True}}
        for tile in (None, (32, 32)):
            form = dict(compression=name, tile=tile, **lossless)
            end = f"{name}{' tiles' if tile else ''}"
            yield Tiff(f"RGB 8 {end}", save(RGB8, photometric="rgb", **form), RGB8)
            if name != "webp":
                yield Tiff(f"gray 16 {end}", save(GRAY16, **form), gray(GRAY16 >> 8), noted=BITS)
    for name in ("zlib", "lzw", "zstd"):
        form = dict(compression=name, predictor=True)
        yield Tiff(f"RGB 16 {name} predictor", save(RGB16, **form), HIGH8, noted=BITS)
    for tile in (None, (32, 32)):
        form = dict(photometric="rgb", compression="jpeg", tile=tile, subsampling=(1, 1))
        end = " tiles" if tile else ""
        args = {"level": 95}
        yield Tiff(f"JPEG{end}", save(RGB8, compressionargs=args, **form), RGB8, within=12)
        yield Tiff(
            f"gray JPEG{end}",
            save(GRAY8, compression="jpeg", tile=tile, compressionargs=args),
            gray(GRAY8),
            within=6,
        )
    yield Tiff(
        "lossy JPEG 2000",
        save(RGB8, photometric="rgb", compression="jpeg2000", compressionargs={"level": 60}),
        RGB8,
        within=6,
    )
    yield Tiff(
        "Aperio's JPEG 2000",
        save(RGB8, photometric="rgb", compression=33005, tile=(32, 32)),
        RGB8,
        within=6,
    )


def _values() -> Iterator[Tiff]:
    yield Tiff("one bit", save(GRAY8 > 99, photometric="minisblack"), gray(255 * (GRAY8 > 99)))
    for bits in (1, 2, 4):
        top = 2**bits - 1
        values = ramp(0, top).astype(np.uint8)
        for name in ("minisblack", "miniswhite"):
            picture = np.rint(values * (255 / top))
            yield Tiff(
                f"{bits} bits {name}",
                _packed(values, bits, name),
                gray(picture if name == "minisblack" else 255 - picture),
            )
    yield Tiff("packed 12 bits", _packed(GRAY12, 12, "minisblack"), gray(GRAY12 >> 4), noted=BITS)
    yield Tiff(
        "packed 12 bits with a range",
        _packed(GRAY12, 12, "minisblack"),
        gray(scaled(GRAY12, 0, 4095)),
        RANGE12,
    )
    yield Tiff("12 bits in 16", save(GRAY12), gray(GRAY12 >> 8), noted=BITS)
    yield Tiff("12 bits in 16 with a range", save(GRAY12), gray(scaled(GRAY12, 0, 4095)), RANGE12)
    rgb12 = (RGB16 >> 4).astype(np.uint16)
    yield Tiff(
        "RGB 12 bits with a range", save(rgb12, photometric="rgb"), scaled(rgb12, 0, 4095), RANGE12
    )
    yield Tiff("8 bits with a range", save(GRAY8), gray(GRAY8), RANGE12)
    for dtype in ("int8", "int16", "int32", "uint32", "float16", "float32", "float64"):
        signed = dtype != "uint32"
        values = (ramp(0, 200) - (100 if signed else 0)).astype(dtype)
        if dtype.startswith("float"):
            values = (values / np.array(3, dtype)).astype(dtype)
        ends = (-20.0, 50.0) if signed else (20, 180)
        expected = gray(scaled(values.astype(np.float64), *ends))
        needs = "set image_options.value_range"
        for tile in (None, (32, 32)):
            name = f"{dtype}{' tiles' if tile else ''}"
            yield Tiff(name, save(values, tile=tile), None, refused=needs)
            yield Tiff(
                f"{name} with a range", save(values, tile=tile), expected, {"value_range": ends}
            )
    holes = (ramp(0, 200) / 200).astype(np.float32)
    holes[5:9, 3:7] = np.nan
    black = gray(scaled(np.nan_to_num(holes), 0, 1))
    yield Tiff("float with NaN", save(holes), black, {"value_range": (0, 1)})
    yield Tiff(
        "predictor of floats",
        save(ramp(0, 9).astype(np.float32), compression="zlib", predictor=3),
        gray(scaled(ramp(0, 9), 0, 9)),
        {"value_range": (0, 9)},
    )
    for name, options in {"": {}, " of plane 1": {"plane": 1}}.items():
        two = np.stack([GRAY8 > 99, GRAY8 > 150])
        shown = gray(255 * two[options.get("plane", 0)])
        write = save(two, photometric="minisblack")
        which = "only plane 1 is read" if options else PAGES
        yield Tiff(f"pages of one bit{name}", write, shown, options, noted=which)
    mean = gray(np.rint(255 * np.stack([GRAY8 > 99, GRAY8 > 150]).astype(float).mean(axis=0)))
    yield Tiff("mean of pages of one bit", write, mean, {"plane": "mean"})
    partly = np.stack([ramp(0, 200), ramp(1, 200)]).astype(np.float32) / 200
    partly[0, 5:9, 3:7] = partly[1, 20:30, 3:7] = np.nan
    for name, combine in (("max", np.nanmax), ("mean", np.nanmean)):
        shown = gray(scaled(combine(partly.astype(np.float64), axis=0).astype(np.float32), 0, 1))
        ranged = {"plane": name, "value_range": (0, 1)}
        yield Tiff(f"{name} of planes with NaN", save(partly), shown, ranged)
    yield Tiff(
        "RGB of 5, 6 and 5 bits",
        lambda path: path.write_bytes(_rgb565()),
        None,
        refused="convert it to PNG",
    )
    yield Tiff("complex numbers", save(GRAY8.astype(np.complex64)), None, refused="complex64")


def _rgb565() -> bytes:
    """Return a TIFF whose channels have different numbers of bits."""
    tags = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 8 + 2 + 9 * 12 + 4), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 2), (273, 4, 1, 128), (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 1, 8)]
    return _head(tags) + b"\5\0\6\0\5\0" + bytes(8)


def _head(tags: list[tuple[int, int, int, int]]) -> bytes:
    """Return a TIFF's first bytes: each tag's number, type, count and value or offset."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def _packed(
    values: np.ndarray, bits: int, photometric: str, colors: np.ndarray | None = None
) -> Callable[[Path], Any]:
    """Write values of 1, 2, 4 or 12 bits by hand: one strip without compression."""

    def write(path: Path) -> None:
        height, width = values.shape
        digits = (values[..., None] >> np.arange(bits)[::-1]) & 1
        rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
        table = b"" if colors is None else colors.astype("<u2").tobytes()
        tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, bits), (259, 3, 1, 1)]
        tags.append((262, 3, 1, {"miniswhite": 0, "minisblack": 1, "palette": 3}[photometric]))
        start = 8 + 2 + (10 if table else 9) * 12 + 4
        tags += [(273, 4, 1, start + len(table)), (277, 3, 1, 1), (278, 3, 1, height)]
        tags.append((279, 4, 1, rows.size))
        if table:
            tags.append((320, 3, len(table) // 2, start))
        path.write_bytes(_head(tags) + table + rows.tobytes())

    return write


def _colors() -> Iterator[Tiff]:
    alpha = ramp(4)[..., None].astype(np.uint8)
    four = np.concatenate([RGB8, alpha], -1)
    note = "have 4 channels, of which only 0, 1, 2 are read"
    for kind in ("unassalpha", "assocalpha", "unspecified"):
        for tile in (None, (32, 32)):
            yield Tiff(
                f"RGB and {kind}{' tiles' if tile else ''}",
                save(four, photometric="rgb", extrasamples=[kind], tile=tile),
                RGB8,
                noted=note,
            )
    infrared = {"bands": (3, 0, 1)}
    mixed = np.concatenate([alpha, RGB8[..., :2]], -1)
    yield Tiff("infrared, red, green", save(four, photometric="rgb"), mixed, infrared)
    five = np.concatenate([RGB8, alpha, 255 - alpha], -1)
    yield Tiff("RGB and 2 samples", save(five, photometric="rgb"), RGB8, noted="have 5 channels")
    four16 = np.concatenate([RGB16, 257 * alpha.astype(np.uint16)], -1)
    yield Tiff("four bands of 16 bits", save(four16, photometric="rgb"), HIGH8, noted=BITS)
    yield Tiff(
        "gray and three samples",
        save(four, photometric="minisblack", planarconfig="contig", extrasamples=[0, 0, 0]),
        RGB8,
        noted=note,
    )
    yield Tiff(
        "gray and alpha",
        save(
            np.stack([GRAY8, alpha[..., 0]], -1),
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
        ),
        gray(GRAY8),
        noted="have 2 channels, of which only 0 is read",
    )
    only = {"bands": (1,)}
    yield Tiff("one of three bands", save(RGB8, photometric="rgb"), gray(RGB8[..., 1]), only)
    missing = "has 3 channels, but image_options.bands is (5,)"
    yield Tiff(
        "no such band", save(RGB8, photometric="rgb"), None, {"bands": (5,)}, refused=missing
    )
    for bits in (8, 16):
        values = GRAY8 if bits == 8 else GRAY16
        white = gray(255 - (GRAY8 if bits == 8 else GRAY16 >> 8))
        for tile in (None, (32, 32)):
            yield Tiff(
                f"MINISWHITE {bits}{' tiles' if tile else ''}",
                save(values, photometric="miniswhite", tile=tile),
                white,
                noted=BITS if bits == 16 else "",
            )
    table = (np.arange(256) * np.array([[1], [3], [7]]) % 256).astype(np.uint16)
    colors = table.T[GRAY8].astype(np.uint8)
    yield Tiff("palette", save(GRAY8, photometric="palette", colormap=table * 257), colors)
    yield Tiff("palette of 8 bits", save(GRAY8, photometric="palette", colormap=table), colors)
    two_colors = np.array([[10, 200], [20, 100], [30, 0]], np.uint16) * 257
    bit = (GRAY8 > 99).astype(np.uint8)
    yield Tiff(
        "palette of one bit",
        _packed(bit, 1, "palette", two_colors),
        (two_colors >> 8).T[bit].astype(np.uint8),
    )
    no_bands = "so single channels cannot be read"
    indexed = save(GRAY8, photometric="palette", colormap=table * 257)
    yield Tiff("channels of a palette", indexed, None, {"bands": (0,)}, refused=no_bands)
    pages = save(STACK, photometric="palette", colormap=table * 257)
    yield Tiff(
        "mean of color numbers", pages, None, {"plane": "mean"}, refused="cannot be combined"
    )
    cmyk = np.concatenate([RGB8, alpha // 2], -1)
    inks = save(cmyk, photometric="separated", extratags=[(332, "H", 1, 2, True)])
    yield Tiff("spot inks", inks, None, refused="color space SEPARATED")
    many = save(np.concatenate([cmyk, alpha], -1), photometric="separated", extrasamples=[0])
    yield Tiff("five inks", many, None, refused="color space SEPARATED")
    yield Tiff(
        "channels of CMYK",
        save(cmyk, photometric="separated"),
        None,
        {"bands": (3,)},
        refused=no_bands,
    )
    light = 255 - cmyk.astype(np.int64)
    ink = (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
    yield Tiff("CMYK", save(cmyk, photometric="separated"), ink)
    lab = "color space CIELAB"
    yield Tiff("CIELAB", save(RGB8, photometric="cielab"), None, refused=lab)
    yield Tiff("camera mosaic", save(GRAY16, photometric="cfa"), None, refused="color space CFA")


def _several_images() -> Iterator[Tiff]:
    first, high = gray(STACK[0]), gray(STACK16[0] >> 8)
    mean = gray(np.rint(STACK.astype(np.float64).mean(axis=0)))
    brightest, third = gray(STACK.max(axis=0)), gray(STACK[2])
    writers = {
        "pages": save(STACK, photometric="minisblack"),
        "OME stack": save(STACK, ome=True, metadata={"axes": "ZYX"}),
        "ImageJ stack": save(STACK, imagej=True, metadata={"axes": "ZYX"}),
        "OME times": save(STACK, ome=True, metadata={"axes": "TYX"}),
        "stack in tiles": save(STACK, photometric="minisblack", tile=(32, 32), compression="zlib"),
    }
    for name, write in writers.items():
        yield Tiff(name, write, first, noted=PAGES)
        yield Tiff(f"{name}, plane 2", write, third, {"plane": 2}, noted="only plane 2 is read")
        yield Tiff(f"{name}, brightest", write, brightest, {"plane": "max"})
        yield Tiff(f"{name}, mean", write, mean, {"plane": "mean"})
    white = save(STACK, photometric="miniswhite")
    yield Tiff("brightest of MINISWHITE", white, 255 - gray(STACK.min(axis=0)), {"plane": "max"})
    grid = np.stack([STACK, 255 - STACK])[:, :3]
    unnamed = save(grid, photometric="minisblack")
    yield Tiff("two unnamed axes", unnamed, gray(grid[1, 1]), {"plane": 4}, noted="plane 4")
    yield Tiff("brightest of two axes", unnamed, gray(grid.max(axis=(0, 1))), {"plane": "max"})
    missing = "has 6 planes, but image_options.plane is 6"
    yield Tiff("no such plane of two axes", unnamed, None, {"plane": 6}, refused=missing)
    form = dict(volumetric=True, tile=(16, 32, 32), photometric="minisblack")
    yield Tiff("volume", save(STACK, **form), third, {"plane": 2}, noted="only plane 2")
    volumes = save(grid, **form)
    yield Tiff("two volumes", volumes, gray(grid[1, 1]), {"plane": 4}, noted="only plane 4")
    virtual = save(STACK16, photometric="minisblack", truncate=True)
    yield Tiff(
        "one page for all planes", virtual, gray(STACK16[3] >> 8), {"plane": 3}, noted="plane 3"
    )
    for name, write in writers.items():
        yield Tiff(f"cut {name}", _cut(write), None, refused="cut off")
    yield Tiff(
        "no such plane", writers["pages"], None, {"plane": 5}, refused="image_options.plane is 5"
    )
    three = save(STACK[:3], photometric="minisblack")
    yield Tiff("three pages are no colors", three, first, noted=PAGES)
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "Cy3", "far"]}}
    channels = save(STACK[:4], ome=True, photometric="minisblack", metadata=names)
    colors = np.stack(list(STACK[:3]), -1)
    yield Tiff("OME channels", channels, colors, noted="have 4 channels")
    named = {"bands": ("DAPI",)}
    yield Tiff("an OME channel by name", channels, first, named)
    second = gray(STACK[1])
    of_second = {"bands": ("A",)}
    yield Tiff("names of the larger image", _second_series, second, of_second, noted=LARGEST)
    swapped = {"bands": ("Cy3", "FITC", "DAPI")}
    yield Tiff("OME channels by name", channels, colors[..., ::-1], swapped)
    unknown = "has no channel 'GFP'; its channels are ['DAPI', 'FITC', 'Cy3', 'far']"
    yield Tiff("unknown channel", channels, None, {"bands": ("GFP",)}, refused=unknown)
    hyper = np.arange(4 * 3 * 2).reshape(4, 3, 2)[..., None, None]
    values = ((ramp()[None, None, None] + 7 * hyper) % 256).astype(np.uint8)
    expected = np.stack([values[1, 1, c] for c in (0, 1)], -1)
    for kind in ("ome", "imagej"):
        form = {kind: True, "metadata": {"axes": "TZCYX"}, "photometric": "minisblack"}
        yield Tiff(f"{kind} hyperstack", save(values, **form), gray(values[0, 0, 0]), noted=PAGES)
        yield Tiff(
            f"{kind} hyperstack, second time and focus",
            save(values, **form),
            np.concatenate([expected, expected[..., :1]], -1),
            {"plane": 4, "bands": (0, 1, 0)},
            noted="only plane 4 is read",
        )
    imagej16 = save(STACK16[:2], imagej=True, metadata={"axes": "CYX", "mode": "composite"})
    yield Tiff("ImageJ channels", imagej16, high, noted="have 2 channels")
    signed = save(STACK16, imagej=True, metadata={"axes": "TYX"})
    yield Tiff("ImageJ times of 16 bits", signed, high, noted=BITS)
    yield Tiff("thumbnail first", _thumbnail_first, RGB8)
    yield Tiff("two sizes", _two_sizes, gray(GRAY8), noted=LARGEST)
    yield Tiff("SubIFD pyramid", _sub_ifds, gray(GRAY16 >> 8), noted=BITS)
    yield Tiff("level 1", _sub_ifds, gray(GRAY16[::2, ::2] >> 8), {"level": 1}, noted=BITS)
    yield Tiff("no such level", _sub_ifds, None, {"level": 4}, refused="image_options.level is 4")
    yield Tiff("Aperio slide", _aperio, RGB8, within=60)
    yield Tiff("one file of an OME set", _part_of_a_set, first, noted="")


def _cut(write: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Write a file without its last pages, as a copy that was interrupted."""

    def write_a_part(path: Path) -> None:
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 5 // 8])

    return write_a_part


def _second_series(path: Path) -> None:
    """Write an OME file whose second image is larger and has its channels in another order."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for planes, names in ((STACK[:2, ::2, ::2], ["A", "B"]), (STACK[:2], ["B", "A"])):
            metadata = {"axes": "CYX", "Channel": {"Name": names}}
            file.write(planes, photometric="minisblack", metadata=metadata)


def _thumbnail_first(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(RGB8[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(RGB8, photometric="rgb")


def _two_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(GRAY8[::3, ::3])
        file.write(GRAY8)


def _sub_ifds(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(GRAY16, subifds=1, tile=(32, 32))
        file.write(GRAY16[::2, ::2], subfiletype=1, tile=(32, 32))


def _aperio(path: Path) -> None:
    """Write a slide as scanners of Aperio do: the slide, a thumbnail, a smaller level, a label."""
    form = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    text = f"Aperio Image Library v1\r\n{WIDTH}x{HEIGHT} [0,0 {WIDTH}x{HEIGHT}] (32x32) JPEG"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB8, tile=(32, 32), description=f"{text}|AppMag = 40|MPP = 0.25", **form)
        file.write(RGB8[::4, ::4], description=text, **form)
        file.write(RGB8[::2, ::2], tile=(32, 32), description=text, **form)
        file.write(255 - RGB8[::3, ::3], description="Aperio label 30x24", **form)


def _part_of_a_set(path: Path) -> None:
    """Write one file of an OME data set; its metadata name a second file that is missing."""
    uuid = "urn:uuid:00000000-0000-0000-0000-00000000000"
    planes = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{path.name if t == 0 else "other.ome.tif"}">{uuid}{t}</UUID></TiffData>'
        for t in (0, 1)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{uuid}0"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        f'Type="uint8" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeZ="1" SizeC="1" SizeT="2">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, STACK[0], description=text, metadata=None)


def _orientations() -> Iterator[Tiff]:
    upright = {
        1: RGB8,
        2: RGB8[:, ::-1],
        3: np.rot90(RGB8, 2),
        4: RGB8[::-1],
        5: RGB8.transpose(1, 0, 2),
        6: np.rot90(RGB8, -1),
        7: np.rot90(RGB8, 2).transpose(1, 0, 2),
        8: np.rot90(RGB8, 1),
    }
    for number, picture in upright.items():
        tag = [(274, "H", 1, number, True)]
        yield Tiff(f"orientation {number}", save(RGB8, photometric="rgb", extratags=tag), picture)
    tag = [(274, "H", 1, 6, True)]
    turned = gray(np.rot90(GRAY16, -1) >> 8)
    yield Tiff("orientation 6, 16 bits", save(GRAY16, extratags=tag), turned, noted=BITS)


def _other_writers() -> Iterator[Tiff]:
    picture = Image.fromarray(RGB8)
    for name in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"):
        yield Tiff(f"Pillow {name}", pillow(picture, compression=name), RGB8)
    one_bit = Image.fromarray(GRAY8 > 99).convert("1")
    for name in ("group3", "group4", "tiff_ccitt"):
        fax = gray(255 * (GRAY8 > 99))
        yield Tiff(f"Pillow {name}", pillow(one_bit, compression=name), fax)
    yield Tiff("Pillow JPEG", pillow(picture, compression="jpeg", quality=95), RGB8, within=12)
    yield Tiff("Pillow 16 bits", pillow(Image.fromarray(GRAY16)), gray(GRAY16 >> 8), noted=BITS)
    palette = picture.quantize(16)
    colors = np.asarray(palette.convert("RGB"))
    yield Tiff("Pillow palette", pillow(palette), colors)
    cmyk = picture.convert("CMYK")
    yield Tiff("Pillow CMYK", pillow(cmyk), RGB8)
    ycbcr = pillow(picture.convert("YCbCr"))
    yield Tiff("Pillow YCbCr", ycbcr, np.asarray(picture.convert("YCbCr").convert("RGB")), within=3)
    compressions = {"none": 1, "LZW": 5, "deflate": 32946, "packbits": 32773}
    for name, number in compressions.items():
        flags = (cv2.IMWRITE_TIFF_COMPRESSION, number)
        yield Tiff(f"OpenCV {name}", opencv(RGB8[..., ::-1], *flags), RGB8)
        yield Tiff(f"OpenCV 16 bits {name}", opencv(RGB16[..., ::-1], *flags), HIGH8, noted=BITS)
    yield Tiff(
        "OpenCV floats with three channels",  # OpenCV compresses them as LogLuv
        opencv(RGB8 / np.float32(255)),
        None,
        {"value_range": (0, 1)},
        refused="color space LOGLUV",
    )


def _rasterio() -> Iterator[Tiff]:
    folder = Path(__file__).parent / "rasterio"

    def copied(name: str) -> Callable[[Path], Any]:
        return lambda path: path.write_bytes((folder / name).read_bytes())

    four = "have 4 channels, of which only 0, 1, 2 are read"
    yield Tiff("GDAL RGB", copied("rgb.tif"), RGB8)
    yield Tiff("GDAL RGB and infrared", copied("rgbn.tif"), RGB8, noted=four)
    yield Tiff("GDAL RGB and infrared, tiles", copied("rgbn_tiles.tif"), RGB8, noted=four)
    yield Tiff("GDAL four bands of 16 bits", copied("rgbn16.tif"), HIGH8, noted=four)
    yield Tiff("GDAL 16 bits in tiles", copied("gray16_tiles.tif"), gray(GRAY16 >> 8), noted=BITS)
    yield Tiff("GDAL COG", copied("cog16.tif"), gray(GRAY16 >> 8), noted=BITS)
    yield Tiff("GDAL RGB COG, JPEG", copied("cog_jpeg.tif"), RGB8, within=40)
    yield Tiff("GDAL 12 bits packed", copied("nbits12.tif"), gray(GRAY12 >> 4), noted=BITS)
    heights = ramp(0, 2000) - 500
    ends = {"value_range": (-500, 1500)}
    yield Tiff("GDAL heights", copied("heights.tif"), gray(scaled(heights, -500, 1500)), ends)
    yield Tiff("GDAL nodata", copied("nodata.tif"), gray(GRAY16 >> 8), noted="without a value (0)")
    yield Tiff("GDAL with a mask", copied("mask.tif"), RGB8)
    yield Tiff("GDAL floats, LERC", copied("lerc.tif"), gray(scaled(heights, -500, 1500)), ends)
    yield Tiff("GDAL JPEG of bands", copied("jpeg_bands.tif"), RGB8, within=12)
    yield Tiff("GDAL planar JPEG", copied("jpeg_planar.tif"), RGB8, within=12)
    yield Tiff("GDAL planar in tiles", copied("planar.tif"), RGB8)
    sparse = RGB8.copy()
    sparse[:64] = 0
    yield Tiff("GDAL without the black tiles", copied("sparse.tif"), sparse)
