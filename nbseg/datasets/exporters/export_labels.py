"""Write annotations to files that a person can open and correct in a labeling tool."""

import json
from pathlib import Path

from nbseg.coco import load_coco
from nbseg.datasets.converters.parallel import with_progress
from nbseg.datasets.exporters.cvat_xml import write_cvat
from nbseg.datasets.exporters.file_stems import file_stems
from nbseg.datasets.exporters.label_studio import labeling_config, task_of
from nbseg.datasets.exporters.labelme import write_labelme
from nbseg.datasets.exporters.objects import choose_images, objects_of, read_names
from nbseg.files import refuse_existing, replacing

TOOLS = ("label-studio", "labelme", "cvat")


def export_labels(
    annotations: Path,
    images: Path,
    tool: str,
    out: Path,
    *,
    listed: Path | None = None,
    count: int | None = None,
    url: str | None = None,
    force: bool = False,
) -> tuple[int, list[Path]]:
    """Write the masks of a COCO json, without loss, to files that a labeling tool opens.

    Args:
        annotations: a COCO json, such as ``pseudo_labels.json``. Crowds are left out.
        images: folder of the images.
        tool: ``"label-studio"``, ``"labelme"`` or ``"cvat"``.
        out: folder to write to.
        listed: text file or csv file that lists the images to export, see
            :func:`nbseg.datasets.exporters.objects.read_names`. None exports all images; those
            whose objects have the lowest mean score come first.
        count: largest number of images to export; None exports all of the images above.
        url: for Label Studio, the text before the file name in the address of an image. If None,
            the tasks contain the images.
        force: replace files that exist, although they may hold corrections.

    Returns:
        The number of images, and the paths of the written files. For labelme, which gets one file
        for each image, only the first path is returned.

    Raises:
        FileNotFoundError: an image is missing.
        FileExistsError: a file to write exists, and ``force`` is False.
        ValueError: the json is malformed, or an image in ``listed`` is not in the json.
    """
    coco = load_coco(annotations, masks=True)
    names = None if listed is None else read_names(listed, images)
    chosen = choose_images(coco, names, count)
    missing = [name for i in chosen if not (images / (name := coco.imgs[i]["file_name"])).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(chosen)} images are not in {images}, the first: {missing[0]}; "
            "correct --images"
        )
    classes = [category["name"] for category in coco.cats.values()]
    pairs = (
        (coco.imgs[image], objects_of(coco, image))
        for image in with_progress(chosen, len(chosen), "writing")
    )
    names_of = {
        "labelme": [
            f"{stem}.json"
            for stem in file_stems([coco.imgs[image]["file_name"] for image in chosen], images)
        ],
        "cvat": ["annotations.xml"],
        "label-studio": ["tasks.json", "labeling_config.xml"],
    }
    paths = [out / name for name in names_of[tool]]
    refuse_existing(paths, force, ", and may hold corrections")
    out.mkdir(parents=True, exist_ok=True)
    if tool == "labelme":
        for pair, path in zip(pairs, paths, strict=True):
            write_labelme(*pair, images, path)
        return len(chosen), paths[:1]
    if tool == "cvat":
        write_cvat(pairs, classes, paths[0])
        return len(chosen), paths
    path, config = paths
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for position, pair in enumerate(pairs):
            file.write("[\n" if position == 0 else ",\n")
            json.dump(task_of(*pair, images, url), file)
        file.write("\n]\n" if chosen else "[]\n")
    with replacing(config) as temporary:
        temporary.write_text(labeling_config(classes), encoding="utf-8")
    return len(chosen), paths
