"""Find images by the names and paths that labeling tools store."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from nbseg.image_names import IMAGE_SUFFIXES, image_names


class ImageFinder:
    """Finds images in a folder by the names that labeling tools store.

    Args:
        folder: folder to search, with its sub-folders.

    Attributes:
        names: sorted paths of all images, relative to ``folder``.
        file_names: the images' names without their folders.

    Raises:
        FileNotFoundError: ``folder`` does not exist.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; correct the path")
        self.folder = folder
        self.names = image_names(folder)
        self._by_name = defaultdict(list)
        self._by_stem = defaultdict(list)
        for name in self.names:
            path = _path(name)
            self._by_name[path.name].append(name)
            self._by_stem[path.stem].append(name)

        self.file_names = self._by_name.keys()

    def has(self, stem: str) -> bool:
        """Return whether there is an image whose file name, without its suffix, is ``stem``."""
        return _path(stem).name in self._by_stem

    def find(self, given: str, source: object, near: Collection[str] = ()) -> str:
        """Find the image with a given name or path; return its path relative to ``folder``.

        An image fits if it has the given file name, and if its path ends with the given path or the
        given path ends with its path. For example, ``set/sub/x.png`` fits the images ``sub/x.png``
        and ``x.png``, but not ``other/x.png``. If no image has the file name, an image that differs
        only in its suffix fits, because some tools do not store the suffix.

        If several images fit, the choice depends on ``given``:

        - If ``given`` has folders, the image with exactly this path is chosen. If no image has this
          path, the image in the deepest folder is chosen.
        - If ``given`` has no folder, the image in one of the folders ``near`` is chosen.

        Args:
            given: path or file name of an image.
            source: file that names the image, for error messages.
            near: sub-folders, relative to ``folder``; only used if ``given`` has no folder.

        Raises:
            FileNotFoundError: no image fits, or several images fit equally well.
        """
        path = _path(given)
        same = self._by_name.get(path.name) or self._by_stem.get(path.name, [])
        if not same and path.suffix.lower() in IMAGE_SUFFIXES:
            same = self._by_stem.get(path.stem, [])
        fitting = [name for name in same if _ends_alike(_path(name), path)]
        parents = {name: _path(name).parent.parts for name in fitting}
        if not path.parent.parts:
            longest = [name for name in fitting if str(_path(name).parent) in near] or fitting
        else:
            exact = [name for name in fitting if parents[name] == path.parent.parts]
            most = max((len(parts) for parts in parents.values()), default=0)
            longest = exact or [name for name in fitting if len(parents[name]) == most]
        if len(longest) != 1:
            raise FileNotFoundError(
                f"{source} is for the image {given}, but {self.folder} has {_found(longest)} of "
                "this name; give the folder of the images that the labels were drawn on (--images)"
            )
        return longest[0]


def _path(name: str) -> PurePosixPath:
    """Return a name as a path, with slashes for backslashes, and without ``..`` or a root.

    Accented letters become one character each, because macOS writes them as two characters.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))
    return PurePosixPath(*(part for part in path.parts if part not in ("/", "..")))


def _ends_alike(a: PurePosixPath, b: PurePosixPath) -> bool:
    """Return whether the folders of two paths agree, compared from the end.

    For example, the folders of "a/b/x" agree with those of "b/x" and "x", but not with "a/x".
    """
    short, long = sorted((a.parent.parts, b.parent.parts), key=len)
    return long[len(long) - len(short) :] == short


def _found(names: Sequence[str]) -> str:
    return f"several images, {' and '.join(names[:2])}," if names else "no image"
