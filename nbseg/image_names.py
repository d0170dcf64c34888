"""Find image files in folders, and check their names."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Slides of Aperio scanners (.svs) are TIFFs.
TIFF_SUFFIXES = (".svs", ".tif", ".tiff")
# Formats of microscopes, slides and satellites that nbseg does not read.
FOREIGN_SUFFIXES = (
    *(".dicom", ".ims", ".jp2", ".lif", ".lsm", ".mrxs", ".nd2", ".ndpi"),
    *(".nrrd", ".oib", ".oif", ".vsi", ".zarr"),
)
# Formats of nbseg.microscopes.
MICROSCOPE_SUFFIXES = (".czi", ".dcm")
IMAGE_SUFFIXES = (
    *(".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"),
    *TIFF_SUFFIXES,
    *MICROSCOPE_SUFFIXES,
)


def files_below(folder: Path, suffixes: tuple[str, ...] = ()) -> list[str]:
    """Return the sorted paths of all wanted files below a folder, relative to this folder.

    Hidden files and folders, such as ``._x.png`` and ``.ipynb_checkpoints``, are left out. Links
    are followed, except a link to a folder that contains the link. If ``suffixes`` has all image
    formats of nbseg, a warning counts the files in other image formats, such as ``.nd2``.

    Args:
        folder: the folder to search, with all its sub-folders.
        suffixes: suffixes of the wanted files, in lower case; if empty, all files are wanted.

    Raises:
        FileNotFoundError: there is no wanted file; the message counts the other files by suffix.
        OSError: the folder or one of its sub-folders cannot be listed.
    """
    names = sorted(Path(path).relative_to(folder).as_posix() for path in _walk(folder))
    chosen = [name for name in names if not suffixes or Path(name).suffix.lower() in suffixes]
    if not chosen:
        counts = Counter(Path(name).suffix.lower() or "without a suffix" for name in names)
        others = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
        wanted = "image" if set(IMAGE_SUFFIXES) & set(suffixes) else "usable file"
        expected = f"files ending in {', '.join(suffixes)}" if suffixes else "files"
        found = f"other files ({others}). Convert them, or name" if others else "no file. Name"
        raise FileNotFoundError(
            f"there is no {wanted} in {folder}: expected {expected}; found {found} another folder"
        )
    if set(IMAGE_SUFFIXES) <= set(suffixes):
        _warn_of_foreign_files(folder, names)
    return chosen


def _warn_of_foreign_files(folder: Path, names: Sequence[str]) -> None:
    counts = Counter(Path(name).suffix.lower() for name in names)
    # An OME-Zarr image is a folder with many files.
    inside = {name[: name.index(".zarr/")] for name in names if ".zarr/" in name}
    counts[".zarr"] += len(inside)
    if found := [f"{counts[suffix]} {suffix}" for suffix in FOREIGN_SUFFIXES if counts[suffix]]:
        warnings.warn(
            f"{folder} also has files that nbseg does not read ({', '.join(found)}); they are left "
            "out. Convert them to OME-TIFF to use them",
            stacklevel=3,
        )


def image_names(folder: Path) -> list[str]:
    """Return the sorted paths of all images below a folder, relative to this folder.

    Raises:
        FileNotFoundError: there is no image.
        ValueError: a path is not UTF-8, so that jsons, logs and reports cannot name the image.
    """
    names = files_below(folder, IMAGE_SUFFIXES)
    if others := other_encodings(names):
        raise ValueError(
            f"{folder} has {len(others)} file names that are not UTF-8, the first: {others[0]!a}; "
            "rename these files, for example with the program convmv"
        )
    return names


def other_encodings(names: Sequence[str]) -> list[str]:
    """Return the names that are not UTF-8. In Python, such names contain lone surrogates."""
    return [name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name)]


def _walk(folder: str | Path, above: frozenset[str] = frozenset()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        # DirEntry.is_dir() raises for a link to itself.
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            yield from _walk(entry.path, above | {real})
        else:
            yield entry.path


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return ``count`` items, evenly spread over a sequence; all items if there are fewer."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def opencv_path(path: Path) -> str:
    """Return a path as a string that OpenCV's video functions accept.

    Raises:
        ValueError: the path is not UTF-8, and OpenCV 4.12 would crash.
    """
    if other_encodings([str(path)]):
        raise ValueError(f"the path {str(path)!a} is not UTF-8; rename the file or the folder")
    return str(path)
