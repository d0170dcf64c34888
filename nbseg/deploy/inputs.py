"""Find and read the inputs that a command line names: images, folders, patterns and videos."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from nbseg.image_names import IMAGE_SUFFIXES, files_below, opencv_path, spread
from nbseg.image_options import FOR_DISPLAY, Image
from nbseg.images import read_image

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")


def find_files(inputs: Sequence[str]) -> list[Path]:
    """Return the files that the inputs name, without duplicates, in the order of the inputs.

    A folder stands for all images and videos in it and its subfolders, sorted by name; hidden files
    are left out. A pattern (``*``, ``**``, ``?``) stands for all files and folders that match the
    pattern. If nothing matches an input, the input is returned as a path; an attempt to read this
    path then raises an error.

    Raises:
        FileNotFoundError: a folder has neither images nor videos.
        OSError: a folder cannot be listed.
    """
    files: dict[Path, None] = {}
    for text in inputs:
        named = [Path(text)]
        if not named[0].exists():
            named = [Path(name) for name in sorted(glob.glob(text, recursive=True))] or named
        for path in named:
            if path.is_dir():
                below = files_below(path, IMAGE_SUFFIXES + VIDEO_SUFFIXES)
                files.update(dict.fromkeys(path / name for name in below))
            else:
                files[path] = None
    return list(files)


def pick_images(inputs: Sequence[str], number: int) -> list[Path]:
    """Return up to ``number`` image files, evenly spread over all images that the inputs name.

    Videos are skipped.

    Raises:
        FileNotFoundError: a picked image is missing, or a folder has neither images nor videos.
        ValueError: ``number`` is less than 1, the inputs name only videos, or a picked image cannot
            be decoded.
    """
    if number < 1:
        raise ValueError(f"the number of images must be at least 1, found {number}")
    images = [path for path in find_files(inputs) if not is_video(path)]
    if not images:
        raise ValueError(
            f"there is no image in {', '.join(inputs)}, but only videos; name images, or folders "
            "with images"
        )
    picked = spread(images, number)
    for path in picked:
        # Whether a file can be decoded does not depend on the model's range of values.
        read_image(path, options=FOR_DISPLAY)
    return picked


def is_video(path: Path) -> bool:
    """Return whether a file is a video, judged by its suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_frames(path: Path) -> Iterator[Image]:
    """Yield the frames of a video, each (H, W, 3) uint8 in BGR order.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: OpenCV cannot decode any frame, or the path is not UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no video {path}; correct the path")
    video = cv2.VideoCapture(opencv_path(path))
    try:
        good, frame = video.read()
        if not good:
            raise ValueError(
                f"OpenCV cannot decode the video {path}; convert it, for example to MP4 with H.264"
            )
        while good:
            yield np.asarray(frame, np.uint8)
            good, frame = video.read()
    finally:
        video.release()


def frame_rate(path: Path) -> float:
    """Return a video's frames per second; 25 if the file does not store this number."""
    video = cv2.VideoCapture(opencv_path(path))
    rate = float(video.get(cv2.CAP_PROP_FPS))
    video.release()
    return rate or 25.0
