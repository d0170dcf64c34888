"""A run: one call of tools/train.py in a folder of its own, and what it left."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.config.options import override
from nbseg.engine.manifest import Manifest
from nbseg.engine.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Run:
    """Stages of one config with options.

    Attributes:
        folder: its work directory, below that of all runs.
        config: file of the config.
        stages: of tools/train.py.
        options: of ``--cfg-options``.
        inputs: options whose value is a file of another run: that run, and the file in its folder.
        needs: further runs that must be finished before.
    """

    folder: str
    config: str
    stages: tuple[str, ...]
    options: Mapping[str, Any]
    inputs: Mapping[str, tuple["Run", str]] = field(default_factory=dict)
    needs: tuple["Run", ...] = ()

    @property
    def name(self) -> str:
        """What no two runs share."""
        return f"{self.folder} ({', '.join(self.stages)})"

    def before(self) -> list["Run"]:
        """Return the runs that this one needs."""
        return [*self.needs, *(run for run, _ in self.inputs.values())]

    def all_options(self, work_dir: Path) -> dict[str, Any]:
        """Return ``options`` and ``inputs`` as config options."""
        files = {key: str(work_dir / run.folder / file) for key, (run, file) in self.inputs.items()}
        return {**self.options, **files}

    def arguments(self, work_dir: Path) -> list[str]:
        """Return the arguments of tools/train.py after the config."""
        return [
            *("--work-dir", str(work_dir / self.folder), "--stages", ",".join(self.stages)),
            *("--resume", "--cfg-options"),
            *(f"{key}={value}" for key, value in self.all_options(work_dir).items()),
        ]

    def command(self, work_dir: Path, tools: Path, gpus: int = 1) -> list[str]:
        """Return the whole command; on several GPUs what tools/dist_train.sh does."""
        train = [str(tools / "train.py"), self.config]
        if gpus > 1:
            train += ["--launcher", "pytorch"]
            launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}"]
        else:
            launch = []
        return [sys.executable, *launch, *train, *self.arguments(work_dir)]

    def parsed(self, work_dir: Path, configs: dict[str, Config]) -> Config:
        """Return the config with the run's options.

        Args:
            work_dir: of all runs.
            configs: parsed config files, filled as they are needed.
        """
        if self.config not in configs:
            configs[self.config] = Config.fromfile(self.config)
        config = Config(configs[self.config].to_dict())
        override(config, self.all_options(work_dir))
        return config

    def check(self, work_dir: Path, configs: dict[str, Config]) -> None:
        """Refuse a bad config, and a finished stage made with other options or from other files.

        Arguments as of :meth:`parsed`.

        Raises:
            ValueError: says which, and what to do.
        """
        Pipeline(self.parsed(work_dir, configs), work_dir / self.folder, self.stages).check_inputs()

    def manifest(self, work_dir: Path, stage: str) -> Manifest:
        """Return the record of one of its stages."""
        folder = "pseudo" if stage == "labels" else stage
        return Manifest(work_dir / self.folder / folder / f"{stage}.manifest.json")

    def finished(self, work_dir: Path) -> bool:
        """Whether all of its stages are."""
        return all(self.manifest(work_dir, stage).finished for stage in self.stages)

    def metrics(self, work_dir: Path, stage: str) -> dict[str, float]:
        """Return what a finished stage measured, fractions; nothing of an unfinished one."""
        path = work_dir / self.folder / "metrics.json"
        if not (self.manifest(work_dir, stage).finished and path.is_file()):
            return {}
        return json.loads(path.read_text()).get(stage, {})

    def iterations(self, work_dir: Path, stage: str) -> int | None:
        """Return for how many iterations a finished stage trained."""
        manifest = self.manifest(work_dir, stage)
        return manifest.content["keys"].get("train_cfg.max_iters") if manifest.finished else None
