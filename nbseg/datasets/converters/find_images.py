"""Find the image that a labeling tool's file names."""

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from nbseg.images import image_names


class ImageFinder:
    """Finds images in a folder by the names that labeling tools store.

    Args:
        folder: folder of the images and its sub-folders.

    Attributes:
        names: sorted paths of all images, relative to ``folder``.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; correct the path")
        self.folder = folder
        self.names = image_names(folder)
        self._by_name = defaultdict(list)
        self._by_stem = defaultdict(list)
        for name in self.names:
            self._by_name[PurePosixPath(name).name].append(name)
            self._by_stem[PurePosixPath(name).stem].append(name)

    def find(self, given: str, source: object, near: Collection[str] = (".",)) -> str:
        """Return the path of an image, relative to the folder.

        An image in one of the folders ``near`` comes first. Then follow the image with exactly the
        given path, and the only image with the given file name. If no image has this name, another
        suffix fits, too: some tools do not store the suffix.

        Args:
            given: path or file name of an image.
            source: file that names the image, for error messages.
            near: sub-folders that are searched first, relative to the folder.

        Raises:
            FileNotFoundError: no image fits, or several do.
        """
        path = PurePosixPath(given.replace("\\", "/"))
        same = (
            self._by_name.get(path.name)
            or self._by_stem.get(path.name)
            or self._by_stem.get(path.stem, [])
        )
        choices = [
            [name for name in same if PurePosixPath(name).parent.as_posix() in near],
            [name for name in same if PurePosixPath(name).parent == path.parent],
            same,
        ]
        chosen = next((choice for choice in choices if len(choice) == 1), None)
        if chosen is None:
            found = f"several images, {' and '.join(same[:2])}," if same else "no image"
            raise FileNotFoundError(
                f"{source} is for the image {given}, but {self.folder} has {found} of this name; "
                "give the folder of the labeled images"
            )
        return chosen[0]
