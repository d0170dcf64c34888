"""Print the counts of converted sets, and draw samples to check them by eye."""

from collections.abc import Iterable
from pathlib import Path

from nbseg.datasets.converters.coco_json import Prepared
from nbseg.datasets.converters.samples import write_samples
from nbseg.datasets.converters.summary import describe


def report(results: Iterable[Prepared], folder: Path) -> None:
    """Print the counts of each json, and draw its samples to ``folder``/NAME.samples.jpg.

    Nothing is drawn for a json that was not written, nor if ``folder`` is the json's image folder
    or inside it: the picture would become an image of the set.

    Args:
        results: the jsons that a converter made or found.
        folder: folder to draw the samples to.
    """
    for prepared in results:
        print(describe(prepared))
        if prepared.summary and prepared.summary.samples:
            picture = folder / f"{prepared.path.stem}.samples.jpg"
            if picture.resolve().is_relative_to(prepared.image_folder.resolve()):
                continue
            write_samples(prepared, picture)
            print(f"  samples: {picture}")
