"""Write and find the checkpoints of a training that can be killed at any time."""

import logging
import re
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log

from nbseg.checkpoint import read_checkpoint
from nbseg.errors import StageError
from nbseg.files import replacing


@register_backend("AtomicBackend")
class AtomicBackend(LocalBackend):
    """Writes local files under a temporary name and renames them when they are complete.

    ``CheckpointHook(backend_args=dict(backend="AtomicBackend"))`` writes checkpoints with this
    class.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``; if writing fails or is interrupted, keep the old file."""
        with replacing(filepath) as temporary:
            temporary.write_bytes(obj)


def latest_checkpoint(folder: Path) -> str | None:
    """Return the path of the latest readable checkpoint in a training's folder.

    Damaged checkpoints are skipped with a warning. The folder may have been moved since the
    training.

    Returns:
        The checkpoint's path; None if the folder has no checkpoint.

    Raises:
        StageError: the folder has checkpoints, but none of them can be read.
    """
    problems = []
    for path in latest_first(folder):
        try:
            read_checkpoint(path)
        except StageError as error:
            problems.append(str(error))
            continue
        if problems:
            message = ". ".join([*problems, f"{path} is used instead"])
            print_log(message, logger="current", level=logging.WARNING)
        return str(path)
    if problems:
        raise StageError(
            f"no checkpoint in {folder} can be read. {'. '.join(problems)}. Restore one of these "
            "files from a backup, or run without --resume to start this stage from zero"
        )
    return None


def latest_first(folder: Path) -> list[Path]:
    """Return the paths of the checkpoints in a training's folder, the latest first."""
    numbers = {
        path: int(match[1])
        for path in folder.glob("*.pth")
        if (match := re.fullmatch(r"(?:iter|epoch)_(\d+)\.pth", path.name))
    }
    paths = sorted(numbers, key=numbers.__getitem__, reverse=True)
    record = folder / "last_checkpoint"
    if record.exists():
        # A user's CheckpointHook may name its files differently.
        named = folder / Path(record.read_text().strip()).name
        if named.is_file() and named not in numbers:
            paths.insert(0, named)
    return paths
