"""Define the layout of a work directory: the name of every path in a run."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from nbseg.errors import StageError

# The stages predict and label share a folder.
FOLDERS = {"predict": "pseudo_labels", "label": "pseudo_labels"}
# Former names of folders, and their current names.
RENAMED = {"supervised": "control", "pseudo": "pseudo_labels"}


@dataclass(frozen=True)
class WorkDir:
    """This class returns the paths of one run.

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
        """Return the prediction store with the teacher's predictions on the unlabeled images."""
        return self.folder("predict") / "predictions"

    @property
    def pseudo_labels(self) -> Path:
        """Return the COCO json of the pseudo-labels."""
        return self.folder("label") / "pseudo_labels.json"

    @property
    def splits(self) -> Path:
        """Return the folder of the labeled and unlabeled annotation files."""
        return self.path / "splits"

    @property
    def metrics(self) -> Path:
        """Return the json file with the test metrics of every trained stage."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """Return the folder of the report page and the pictures."""
        return self.path / "report"

    def clear(self, stage: str) -> None:
        """Delete checkpoints or partial predictions so that a stage starts from scratch."""
        patterns = [
            "iter_*.pth",
            "epoch_*.pth",
            "best_*.pth",
            "non_finite_*.pth",
            "last_checkpoint",
        ]
        if stage == "predict":
            patterns = [f"{self.predictions.name}/{name}" for name in ("part-*", "images.json")]
        for pattern in patterns if stage != "label" else []:
            for file in self.folder(stage).glob(pattern):
                file.unlink()

    def refuse_earlier_layout(self) -> None:
        """Refuse a work directory that an earlier version of nbseg made.

        Raises:
            StageError: the folder has an earlier layout; the message names the old folder.
        """
        for old, new in RENAMED.items():
            if next((self.path / old).glob("*.manifest.json"), None):
                raise StageError(
                    f"{self.path / old} was made by an earlier version of nbseg, which named "
                    f"this folder {old!r} instead of {new!r}; choose another --work-dir"
                )


def default_work_dir(config: Config, file: str | Path) -> Path:
    """Return the config's ``work_dir``, or work_dirs/NAME for a config file NAME.py."""
    return Path(config.get("work_dir") or Path("work_dirs") / Path(file).stem)
