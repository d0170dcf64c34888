"""Define ``StageTask``, the argument of the functions that run a stage."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from nbseg.engine.manifest import Manifest
from nbseg.engine.work_dir import WorkDir


@dataclass(frozen=True)
class StageTask:
    """Holds the config and the paths with which a stage runs.

    Attributes:
        stage: name of the stage.
        config: a plain MMDetection config; for the stage ``label``, the settings of this stage.
        work_dir: the run's paths.
        teacher_checkpoint: path of the weights that the predict stage loads.
    """

    stage: str
    config: Config
    work_dir: WorkDir
    teacher_checkpoint: Path

    @property
    def manifest(self) -> Manifest:
        """Read the stage's record from its file, and return the record.

        The record holds the stage's settings and input files, and whether the stage finished.
        """
        return Manifest(self.work_dir.manifest(self.stage))
