"""Split the COCO json of a run into a json of labeled and a json of unlabeled images."""

from mmengine.config import Config

from nbseg.datasets.splits import write_split
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError


def split_annotations(settings: Config, work_dir: WorkDir) -> None:
    """Split a json into labeled and unlabeled images, if the config has a section ``split``.

    The two jsons are written to ``work_dir.splits``.

    Args:
        settings: the settings of the stage ``label``, as ``stage_config`` returns them. The
            dictionary ``split`` in them holds the arguments of ``write_split``.
        work_dir: the run's paths.

    Raises:
        StageError: the annotations are missing or cannot be split with these settings.
    """
    split = settings.get("split")
    if not split:
        return
    try:
        write_split(**split, out_dir=work_dir.splits)
    except ValueError as error:
        raise StageError(str(error)) from error
    except FileNotFoundError as error:
        raise StageError(
            f"there is no annotation file {split.ann_file} to split; correct data_root or "
            "split.ann_file (--cfg-options data_root=DIR)"
        ) from error
