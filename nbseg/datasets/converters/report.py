"""Print the counts of converted sets, and draw sample images for a check by eye."""

from collections.abc import Iterable
from pathlib import Path

from nbseg.datasets.converters.coco_json import Prepared
from nbseg.datasets.converters.samples import write_samples
from nbseg.datasets.converters.summary import describe


def report(results: Iterable[Prepared], folder: Path) -> None:
    """Print the counts of each json, and draw its samples to ``folder``/NAME.samples.jpg.

    NAME is the json's file name without ``.json``. No picture is drawn in two cases:

    - The json already existed and was not written again.
    - ``folder`` is the json's image folder or a folder inside it. There, the picture would become
      an image of the set.

    Args:
        results: the jsons that a converter wrote, checked or found.
        folder: folder of the pictures.
    """
    for prepared in results:
        print(describe(prepared))
        if prepared.summary and prepared.summary.samples:
            picture = folder / f"{prepared.path.stem}.samples.jpg"
            if picture.resolve().is_relative_to(prepared.image_folder.resolve()):
                continue
            write_samples(prepared, picture)
            print(f"  samples: {picture}")
