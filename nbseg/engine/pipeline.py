"""Run the stages of a run, such as the training of the teacher, in order.

Finished stages are kept. Interrupted stages continue, if this is requested by ``resume``. An error
is raised if a stage that would be kept or continued was run with other settings or input files.
"""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from nbseg.config.reading import import_custom_modules
from nbseg.engine.config_checks import check_config
from nbseg.engine.coverage import coverage_lines
from nbseg.engine.preflight.run import preflight
from nbseg.engine.processes import announce, init_processes
from nbseg.engine.run_configs import run_configs
from nbseg.engine.run_summary import finished_metrics
from nbseg.engine.second_process import check_jobs, in_two_processes
from nbseg.engine.splitting import split_annotations
from nbseg.engine.stages import (
    STAGES,
    left_out,
    refuse_outdated,
    stage_config,
    teacher_checkpoint,
    with_dependents,
)
from nbseg.engine.task import StageTask
from nbseg.engine.weights import check_weights
from nbseg.engine.work_dir import WorkDir
from nbseg.files import write_json


class Pipeline:
    """Runs the stages of one work directory.

    Args:
        config: the user's config, with sections (``nbseg.config.sections``).
        work_dir: folder of the whole run.
        stages: names of the stages to run; they run in the order of ``STAGES``.
        resume: ``"auto"`` continues interrupted stages. The path of a checkpoint does the same,
            except that the first training stage continues from this checkpoint. None restarts
            interrupted stages.
        redo: finished stages to run again, together with all stages that depend on them.
        launcher: the launcher that started the processes of the run: ``"none"`` for a single
            process, ``"pytorch"`` or ``"slurm"``.
        amp: whether to turn on mixed precision; False keeps the choice in the config.
        auto_scale_lr: whether to scale the learning rate with the batch size; False keeps the
            choice in the config.
        jobs: 2 runs the stage ``control`` in a second process, at the same time as the other
            stages; 1 runs all stages one after the other.

    Raises:
        ValueError: the config or an option is invalid, a stage is unknown, an earlier version of
            nbseg made the work directory, or a stage that would be kept or continued was run with
            other settings.
    """

    def __init__(
        self,
        config: Config,
        work_dir: str | Path,
        stages: Sequence[str],
        resume: str | None = None,
        redo: Sequence[str] = (),
        launcher: str = "none",
        amp: bool = False,
        auto_scale_lr: bool = False,
        jobs: int = 1,
    ) -> None:
        if unknown := sorted({*stages, *redo} - set(STAGES)):
            raise ValueError(f"unknown stages {unknown}; choose among {', '.join(STAGES)}")
        check_jobs(jobs, launcher, resume)
        self.config = config
        self.work_dir = WorkDir(Path(work_dir))
        self.work_dir.refuse_earlier_layout()
        self.resume, self.launcher, self.jobs = resume, launcher, jobs
        self.stages = [n for n in STAGES if n in stages and not left_out(config, n)]
        self.redo = with_dependents(redo)
        self.teacher_checkpoint = teacher_checkpoint(config, self.work_dir)
        self.settings = stage_config(config, "label", self.work_dir)
        check_config(config, self.settings)
        self.configs = run_configs(config, self.stages, self.work_dir, launcher, amp, auto_scale_lr)
        for task in self._kept_or_continued:
            task.manifest.refuse_changes(keys=STAGES[task.stage].settings(task))

    def check_inputs(self) -> None:
        """Refuse (by a StageError) to keep or continue stages whose input files have changed."""
        for task in self._kept_or_continued:
            task.manifest.refuse_changes(inputs=STAGES[task.stage].inputs(task))

    def prepare(self) -> list[str]:
        """Check configs, data and weights before any stage starts; return a plan and warnings.

        If the config has a section ``split``, this method also writes the two jsons of the split.

        Returns:
            Lines of text. The first lines say, for each stage, whether the stage would start or is
            finished. In the main process, lines about the data sets and warnings follow.

        Raises:
            StageError: a stage would fail or give wrong results.
            FileNotFoundError: a stage would lack a file.
        """
        # Before the processes are connected, each of them believes that it has rank 0.
        init_processes(self.launcher, self.config)
        if is_main_process():
            split_annotations(self.settings, self.work_dir)
        barrier()
        tasks = self.waiting
        starting = {task.stage for task in tasks}
        plan = [f"[{n}] {'would start' if n in starting else 'is finished'}" for n in self.stages]
        if is_main_process():
            self.check_inputs()
            refuse_outdated(self.stages, starting)
            plan += preflight(self.config, self.settings, tasks)
        barrier()
        import_custom_modules(self.config)
        check_weights([task for task in tasks if task.stage != "label"])
        return plan + coverage_lines(self.config, tasks)

    @property
    def waiting(self) -> list[StageTask]:
        """Return the stages that would run now.

        A finished stage is left out, with two exceptions: a stage that ``redo`` makes run again,
        and the stage ``predict`` if the json or folder of the unlabeled images has changed.
        """
        return [self._task(name) for name in self.stages if not self._up_to_date(name)]

    def run(self) -> dict[str, dict[str, float]]:
        """Run the unfinished stages; return {stage: {metric: value}} of all trained stages."""
        for warning in filter(lambda line: line.startswith("warning"), self.prepare()):
            announce(warning)
        with self.work_dir.claimed():
            if self.jobs > 1:
                starts = "control" in self.stages and not self._up_to_date("control")
                in_two_processes(self._run_stage, self.stages, starts, self.config, self.work_dir)
                write_json(self.work_dir.metrics, finished_metrics(self.work_dir), indent=1)
            else:
                for name in self.stages:
                    self._run_stage(name)
        return finished_metrics(self.work_dir)

    def _run_stage(self, name: str) -> None:
        stage, task = STAGES[name], self._task(name)
        manifest = task.manifest
        if self._up_to_date(name):
            announce(f"[{name}] is finished and kept ({manifest.path.parent})")
            return
        inputs = stage.inputs(task)
        if self._continues(name):  # an earlier stage of this run may have changed the inputs
            manifest.refuse_changes(inputs=inputs)
        if is_main_process():
            if not self._continues(name):
                self.work_dir.clear(name)
            manifest.start(name, stage.settings(task), inputs)
            if name != "label":
                task.config.dump(self.work_dir.config(name))
        barrier()
        announce(f"[{name}] starts in {manifest.path.parent}")
        results = stage.run(task, self.resume)
        if stage.trains and self.resume:
            self.resume = "auto"  # an explicit path applies to the first training only
        if is_main_process():
            manifest.finish(**results)
            write_json(self.work_dir.metrics, finished_metrics(self.work_dir), indent=1)
        barrier()

    @property
    def _kept_or_continued(self) -> list[StageTask]:
        names = [name for name in self.stages if self._kept(name) or self._continues(name)]
        return [self._task(name) for name in names]

    def _kept(self, name: str) -> bool:
        return self._task(name).manifest.finished and name not in self.redo

    def _continues(self, name: str) -> bool:
        """Return whether the stage would use checkpoints or predictions from an earlier start."""
        manifest = self._task(name).manifest
        interrupted = manifest.started and (self.resume or manifest.finished)
        return bool(interrupted and STAGES[name].resumes and name not in self.redo)

    def _up_to_date(self, name: str) -> bool:
        task = self._task(name)
        return self._kept(name) and not task.manifest.has_other_images(STAGES[name].inputs(task))

    def _task(self, name: str) -> StageTask:
        return StageTask(name, self.configs[name], self.work_dir, self.teacher_checkpoint)
