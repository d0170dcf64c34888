"""Define the layout of a work directory: the paths of all files of a run."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from nbseg.errors import StageError
from nbseg.files import remove_partial_files

# The stages predict and label share a folder.
FOLDERS = {"predict": "pseudo_labels", "label": "pseudo_labels"}
# Former names of folders, and their current names.
RENAMED = {"supervised": "control", "pseudo": "pseudo_labels"}


@dataclass(frozen=True)
class WorkDir:
    """Gives the paths of one run's files and folders.

    Attributes:
        path: the work directory.
    """

    path: Path

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage."""
        return self.path / FOLDERS.get(stage, stage)

    def manifest(self, stage: str) -> Path:
        """Return the path of the json that records how a stage was run."""
        return self.folder(stage) / f"{stage}.manifest.json"

    def config(self, stage: str) -> Path:
        """Return the path of the plain MMDetection config with which a stage runs."""
        return self.folder(stage) / "config.py"

    def checkpoint(self, stage: str) -> Path:
        """Return the path of the weights that a training stage writes when it finishes."""
        return self.folder(stage) / f"{stage}.pth"

    def test_results(self, stage: str) -> Path:
        """Return the prefix of the paths of the COCO result files that a stage's test writes.

        MMDetection appends an ending such as ".segm.json" to this prefix.
        """
        return self.folder(stage) / "predictions"

    def log(self, stage: str) -> Path:
        """Return the path of the log to which a stage in a second process writes its output."""
        return self.folder(stage) / "log.txt"

    @property
    def predictions(self) -> Path:
        """Return the folder of the teacher's predictions on the unlabeled images."""
        return self.folder("predict") / "predictions"

    @property
    def pseudo_labels(self) -> Path:
        """Return the path of the COCO json of the pseudo-labels."""
        return self.folder("label") / "pseudo_labels.json"

    @property
    def splits(self) -> Path:
        """Return the folder of the two COCO jsons into which a run splits its images.

        One json lists the labeled images, the other the unlabeled images.
        """
        return self.path / "splits"

    @property
    def metrics(self) -> Path:
        """Return the path of the json with the test metrics of every trained stage."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """Return the folder of the report page and the pictures."""
        return self.path / "report"

    def clear(self, stage: str) -> None:
        """Delete a stage's checkpoints or predictions, so that the stage starts from scratch.

        The stage ``label`` continues from no files, so nothing is deleted for this stage.
        """
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

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other runs out of this folder during a ``with`` block.

        Before the block, the temporary files of killed runs are deleted. In processes other than
        the main process, this method does nothing.

        Raises:
            StageError: another process works in this folder.
        """
        file = None
        if is_main_process():
            with suppress(OSError):  # writing the run's first file will fail and name the reason
                self.path.mkdir(parents=True, exist_ok=True)
                file = (self.path / ".lock").open("a")
        if file is None:
            yield
            return
        with file:
            try:
                # Unlike flock, lockf is not inherited by workers, which may outlive a killed run.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise StageError(
                    f"another process is running in {self.path}; wait until it ends, or choose "
                    "another --work-dir"
                ) from error
            except OSError:
                pass  # a network drive without locks
            remove_partial_files(self.path)
            yield

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
    """Return the config's ``work_dir``; by default work_dirs/NAME for a config file NAME.py."""
    return Path(config.get("work_dir") or Path("work_dirs") / Path(file).stem)
