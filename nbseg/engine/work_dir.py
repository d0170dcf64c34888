"""The layout of a work directory: every path of a run has one name here."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from nbseg.errors import StageError

# Prediction and labeling make one folder together.
FOLDERS = {"predict": "pseudo_labels", "label": "pseudo_labels"}
# Folders of earlier versions, and their names now.
RENAMED = {"supervised": "control", "pseudo": "pseudo_labels"}


@dataclass(frozen=True)
class WorkDir:
    """The paths of one run.

    Attributes:
        path: the work directory.
    """

    path: Path

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage."""
        return self.path / FOLDERS.get(stage, stage)

    def manifest(self, stage: str) -> Path:
        """Return the json file that records how a stage was run."""
        return self.folder(stage) / f"{stage}.manifest.json"

    def config(self, stage: str) -> Path:
        """Return the plain MMDetection config that a stage ran."""
        return self.folder(stage) / "config.py"

    def checkpoint(self, stage: str) -> Path:
        """Return the published weights of a training stage."""
        return self.folder(stage) / f"{stage}.pth"

    def test_results(self, stage: str) -> Path:
        """Return the prefix of the COCO result files of a training stage's test."""
        return self.folder(stage) / "predictions"

    @property
    def predictions(self) -> Path:
        """The prediction store: the teacher's raw predictions on the unlabeled images."""
        return self.folder("predict") / "predictions"

    @property
    def pseudo_labels(self) -> Path:
        """The COCO json of the pseudo-labels."""
        return self.folder("label") / "pseudo_labels.json"

    @property
    def splits(self) -> Path:
        """The folder of the labeled and unlabeled annotation files."""
        return self.path / "splits"

    @property
    def metrics(self) -> Path:
        """The json file with the test metrics of every trained stage."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """The folder of the report page and the pictures."""
        return self.path / "report"

    def clear(self, stage: str) -> None:
        """Delete checkpoints or partial predictions so that a stage starts from scratch."""
        patterns = ["iter_*.pth", "epoch_*.pth", "last_checkpoint"]
        if stage == "predict":
            patterns = [f"{self.predictions.name}/part-*"]
        for pattern in patterns if stage != "label" else []:
            for file in self.folder(stage).glob(pattern):
                file.unlink()

    def refuse_earlier_layout(self) -> None:
        """Refuse a work directory that an earlier version of nbseg made.

        Raises:
            StageError: names the folder and its name now.
        """
        for old, new in RENAMED.items():
            if next((self.path / old).glob("*.manifest.json"), None):
                raise StageError(
                    f"{self.path / old} was made by an earlier version of nbseg, which named "
                    f"this folder {old!r} instead of {new!r}; choose another --work-dir"
                )


def default_work_dir(config: Config, file: str | Path) -> Path:
    """Return ``work_dir`` of a config, or the folder of its file's name below work_dirs/."""
    return Path(config.get("work_dir") or Path("work_dirs") / Path(file).stem)
