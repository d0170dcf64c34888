"""Split COCO jsons into labeled and unlabeled images: at random, or by a list of images."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.coco import read_coco, write_coco


def split_indices(count: int, percent: float, seed: int) -> npt.NDArray[np.int64]:
    """Choose at random which of ``count`` images are labeled.

    The image indices are shuffled, and the first ``int(percent / 100 * count)`` of them are
    labeled. These are the same images that the released code of the paper Noisy Boundaries (arXiv
    2203.13427) chooses with numpy's global generator. This function uses a separate generator, so
    that the global generator does not change.

    Args:
        count: number of images.
        percent: percentage of the images to label, between 0 and 100 (exclusive).
        seed: seed of the shuffle, 0 to 2**32 - 1.

    Returns:
        Indices of the labeled images, int64, in shuffled order.

    Raises:
        ValueError: an argument is out of range, or no image or every image would be labeled.
    """
    if not 0 < percent < 100:
        raise ValueError(f"percent must be greater than 0 and less than 100, found {percent}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be between 0 and 2**32 - 1, found {seed}")
    labeled = int(percent / 100 * count)
    if not 0 < labeled < count:
        raise ValueError(
            f"{percent}% of {count} images, rounded down, is {labeled}, but the labeled and the "
            "unlabeled part each need at least one image; choose another percent"
        )
    indices = np.arange(count)
    np.random.RandomState(seed).shuffle(indices)
    return indices[:labeled]


def write_split(
    ann_file: str | Path, percent: float, seed: int, out_dir: str | Path | None = None
) -> tuple[Path, Path]:
    """Split a COCO json into a labeled and an unlabeled json.

    Images and annotations keep their order, as in the splits of the released code of the paper
    Noisy Boundaries (arXiv 2203.13427). All other keys of the json are copied to both jsons.

    The unlabeled json keeps the true annotations of its images. Training on pseudo-labels never
    reads these annotations. They serve to measure the errors of pseudo-labels, and to train a model
    on all true labels for comparison (the stage ``oracle``).

    Args:
        ann_file: a COCO json.
        percent: percentage of its images to label, between 0 and 100 (exclusive).
        seed: seed of the shuffle, see :func:`split_indices`.
        out_dir: folder to write the two jsons to; None means the folder of ``ann_file``.

    Returns:
        Paths of the labeled json ``{stem}.{seed}@{percent}.json`` and of the unlabeled json
        ``{stem}.{seed}@{percent}-unlabeled.json``. ``stem`` is the file name of ``ann_file``
        without ``.json``.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: ``ann_file`` is not a COCO json, ``percent`` or ``seed`` is out of range, or no
            image or every image would be labeled.
    """
    ann_file = Path(ann_file)
    content = read_coco(ann_file)
    images = content["images"]
    chosen = set(split_indices(len(images), percent, seed).tolist())
    out_dir = ann_file.parent if out_dir is None else Path(out_dir)
    name = f"{ann_file.stem}.{seed}@{int(percent) if percent == int(percent) else percent}"
    paths = out_dir / f"{name}.json", out_dir / f"{name}-unlabeled.json"
    _write_parts(content, {images[i]["id"] for i in chosen}, paths)
    return paths


def write_chosen_split(
    ann_files: Sequence[str | Path], labeled: Iterable[str], paths: tuple[Path, Path]
) -> None:
    """Split COCO jsons into a labeled and an unlabeled json by the images' file names.

    Args:
        ann_files: COCO jsons with the same categories. No two images may have the same id, and no
            two annotations may have the same id, even in different jsons. Keys other than
            ``images``, ``annotations`` and ``categories`` are copied from the first json.
        labeled: file names of the images to label, as the jsons have them.
        paths: the labeled and the unlabeled json to write.

    Raises:
        FileNotFoundError: a json does not exist.
        ValueError: a json is not a COCO json; the jsons have different categories or the same ids;
            a file name in ``labeled`` does not occur exactly once in the jsons; or the labeled or
            the unlabeled json would have no image.
    """
    contents = [read_coco(path) for path in ann_files]
    content = _joined(contents, ann_files)
    counts = Counter(image["file_name"] for image in content["images"])
    names = set(labeled)
    for name in sorted(names):
        if counts[name] != 1:
            raise ValueError(
                f"the chosen image {name!r} occurs {counts[name]} times in "
                f"{', '.join(map(str, ann_files))}; give file names that occur once"
            )
    if not 0 < len(names) < len(content["images"]):
        raise ValueError(
            f"{len(names)} of {len(content['images'])} images would be labeled, but the labeled "
            "and the unlabeled part each need at least one image; choose other images"
        )
    _write_parts(content, {i["id"] for i in content["images"] if i["file_name"] in names}, paths)


def _joined(contents: Sequence[dict[str, Any]], paths: Sequence[str | Path]) -> dict[str, Any]:
    """Return one COCO json with the images and annotations of several jsons.

    Args:
        contents: the jsons; keys other than ``images`` and ``annotations`` come from the first.
        paths: paths of the jsons, for messages.

    Raises:
        ValueError: the jsons have different categories, or two images or two annotations have the
            same id.
    """
    joined = dict(contents[0])
    for content, path in zip(contents[1:], paths[1:], strict=True):
        if content["categories"] != joined["categories"]:
            raise ValueError(f"{paths[0]} and {path} have different categories; make them equal")
        for table in ("images", "annotations"):
            joined[table] = joined[table] + content[table]
            if len({row["id"] for row in joined[table]}) < len(joined[table]):
                raise ValueError(
                    f"{table} of {path} have the same ids as {table} of {paths[0]} or of another "
                    f"earlier json; give all {table} different ids"
                )
    return joined


def _write_parts(
    content: dict[str, Any], labeled_ids: Collection[Any], paths: tuple[Path, Path]
) -> None:
    """Write a COCO json in two parts, each with the annotations of its images.

    The images with the ids ``labeled_ids`` are written to the first path, and all other images to
    the second path.
    """
    for path, labeled in zip(paths, (True, False), strict=True):
        part = dict(content)
        part["images"] = [i for i in content["images"] if (i["id"] in labeled_ids) == labeled]
        part["annotations"] = [
            a for a in content["annotations"] if (a["image_id"] in labeled_ids) == labeled
        ]
        write_coco(path, part.items())
