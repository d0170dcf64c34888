"""Benchmark reading image files: nbseg against OpenCV."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from benchmarks.case import Case

from nbseg.images import read_image

SIDE = 2048
TIFFS: dict[str, dict[str, Any]] = {
    "strips": {},
    "strips, deflate": {"compression": "zlib"},
    "strips, LZW": {"compression": "lzw"},
    "tiles": {"tile": (256, 256)},
    "tiles, deflate": {"tile": (256, 256), "compression": "zlib"},
}


def scene(top: int) -> npt.NDArray[np.int64]:
    """Return a smooth gray image with a little noise, (H, W), with values from 0 to ``top``."""
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = (np.sin(x / 50) + np.cos(y / 70) + 2) / 4
    noise = np.random.default_rng(0).normal(0, 0.004, wave.shape)
    return np.rint((wave + noise).clip(0, 1) * top).astype(np.int64)


def with_opencv(path: Path) -> Any:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)


def cases(threads: int, device: str) -> Iterator[Case]:
    cv2.setNumThreads(threads)
    gray = scene(65535).astype(np.uint16)
    writers: dict[str, Callable[[Path], Any]] = {
        f"16-bit TIFF in {name}": partial(tifffile.imwrite, data=gray, **options)
        for name, options in TIFFS.items()
    }
    color = np.stack([scene(255)] * 3, -1).astype(np.uint8)
    for suffix in ("png", "jpg"):
        writers[f"8-bit {suffix}"] = lambda path: cv2.imwrite(str(path), color)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, write) in enumerate(writers.items()):
            suffix = "tif" if "TIFF" in name else name[-3:]
            path = Path(folder) / f"{number}.{suffix}"
            write(path)
            yield Case(
                name=f"{SIDE}x{SIDE} {name}",
                nbseg=partial(read_image, path),
                peers={"OpenCV": partial(with_opencv, path)},
                agree=np.array_equal,
            )
