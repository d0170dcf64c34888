"""Record the settings and input files of a stage, and whether the stage finished."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.errors import StageError
from nbseg.files import file_hash, read_json, write_json
from nbseg.image_names import image_names

# Config keys that do not change the result of a stage.
IRRELEVANT_PARTS = {
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "prefetch_factor",
    "val_interval",
    "val_begin",
    "dynamic_intervals",
    "feature_budget",
    "images_per_part",
}
MISSING = object()
# Names of the predict stage's image inputs begin with this text. These inputs may gain and
# lose images: the stage then keeps the stored predictions and predicts the new images.
GROWING = "unlabeled images"


class Manifest:
    """Records the config keys and the inputs of a stage, and whether the stage finished.

    Args:
        path: json file of the record. The method ``start`` creates this file.

    Raises:
        StageError: the file is json, but not the record of a stage.
        ValueError: the file is not json.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content: Any = read_json(path) if path.exists() else {}
        self.content: dict[str, Any] = content
        if not isinstance(content, dict) or content and "stage" not in content:
            raise StageError(
                f"{path} is not the record of a stage; delete this file, so that the stage runs "
                "again from the start"
            )

    @property
    def finished(self) -> bool:
        """Return whether the stage finished."""
        return bool(self.content.get("finished"))

    @property
    def started(self) -> bool:
        """Return whether the stage ever started."""
        return bool(self.content)

    def changes(self, keys: dict[str, Any]) -> list[str]:
        """Return a line for each key whose value differs from the recorded value.

        Args:
            keys: current settings, {dotted config key: value}.

        Returns:
            Lines such as "train_cfg.max_iters: was 100, is 200".
        """
        recorded = self.content.get("keys", {})
        keys = json.loads(json.dumps(keys, default=str))
        return [
            f"{key}: was {_shown(key, recorded)}, is {_shown(key, keys)}"
            for key in sorted(recorded.keys() | keys.keys())
            if recorded.get(key, MISSING) != keys.get(key, MISSING)
        ]

    def changed_inputs(self, inputs: dict[str, Path]) -> list[str]:
        """Return the inputs that have changed since the stage started, each as "name (path)".

        Args:
            inputs: current input files or folders, by name.
        """
        recorded = self.content.get("inputs", {})
        return [
            f"{name} ({path})"
            for name, path in inputs.items()
            if recorded.get(name) != (_fingerprint(path) if path.exists() else MISSING)
        ]

    def has_other_images(self, inputs: dict[str, Path]) -> bool:
        """Return whether the unlabeled images have changed since the stage started."""
        return any(change.startswith(GROWING) for change in self.changed_inputs(inputs))

    def refuse_changes(
        self, keys: dict[str, Any] | None = None, inputs: dict[str, Path] | None = None
    ) -> None:
        """Refuse to keep or continue a stage that was run with other settings or files.

        Args:
            keys: current settings; None skips their check.
            inputs: current input files, by name; None skips their check. The unlabeled images are
                not checked, because they may change.

        Raises:
            StageError: settings or files changed; the message names the changes and what to do.
        """
        changes = [] if keys is None else self.changes(keys)
        changes += [c for c in self.changed_inputs(inputs or {}) if not c.startswith(GROWING)]
        if changes:
            stage = self.content["stage"]
            more = f" (and {len(changes) - 5} more)" if len(changes) > 5 else ""
            raise StageError(
                f"stage {stage} in {self.path.parent} was run with different settings or files. "
                f"Changes since then: {'; '.join(changes[:5])}{more}. Re-run the stage (--redo "
                f"{stage}, or delete {self.path}), or choose another --work-dir"
            )

    def refuse_missing(self, stage: str, inputs: dict[str, Path]) -> None:
        """Refuse a stage whose input files are missing.

        Raises:
            FileNotFoundError: some files are missing; the message names them.
        """
        absent = [f"{what}: {path}" for what, path in inputs.items() if not path.exists()]
        if absent:
            raise FileNotFoundError(
                f"stage {stage}: missing input file(s): {'; '.join(absent)}. Run the stage that "
                "creates them, or correct their paths in the config"
            )

    def start(self, stage: str, keys: dict[str, Any], inputs: dict[str, Path]) -> None:
        """Record the start of the stage, with its settings and the hashes of its inputs."""
        text = json.dumps(keys, sort_keys=True, default=str)
        self.content = {
            "stage": stage,
            "finished": False,
            "hash": hashlib.sha256(text.encode()).hexdigest(),
            "keys": json.loads(text),
            "inputs": {name: _fingerprint(path) for name, path in inputs.items()},
        }
        write_json(self.path, self.content, indent=1)

    def finish(self, **results: Any) -> None:
        """Record that the stage finished, with its results."""
        self.content.update(finished=True, **results)
        write_json(self.path, self.content, indent=1)


def _shown(key: str, values: dict[str, Any]) -> str:
    return repr(values[key]) if key in values else "not set"


def _fingerprint(path: Path) -> str:
    """Return the SHA-256 hash of a file's content, or of the names of all images in a folder."""
    if path.is_dir():
        return hashlib.sha256("\n".join(image_names(path)).encode()).hexdigest()
    return file_hash(path)


def relevant_keys(
    content: Config | dict[str, Any], keys: Sequence[str], work_dir: Path
) -> dict[str, Any]:
    """Return {dotted path: value} of all values of a config that lie below ``keys``.

    Keys that do not change a stage's result, such as ``num_workers``, are left out. If a string
    begins with the path of the work directory, ``{work_dir}`` replaces this path. Thus the values
    still match after the work directory is moved. Strings in lists of strings are not changed.

    Args:
        content: the config.
        keys: top-level keys of the config.
        work_dir: the work directory.
    """
    flat: dict[str, Any] = {}
    inside_work_dir = re.compile(rf"^{re.escape(str(work_dir))}(?=/|$)")

    def visit(value: Any, path: tuple[str, ...]) -> None:
        if IRRELEVANT_PARTS & set(path):
            return
        if isinstance(value, dict):
            for key, entry in value.items():
                visit(entry, (*path, str(key)))
        elif isinstance(value, (list, tuple)) and any(isinstance(v, (dict, list)) for v in value):
            for index, entry in enumerate(value):
                visit(entry, (*path, str(index)))
        elif isinstance(value, str):
            flat[".".join(path)] = inside_work_dir.sub("{work_dir}", value)
        else:
            flat[".".join(path)] = value

    for key in keys:
        visit(content.get(key), (key,))
    return flat
