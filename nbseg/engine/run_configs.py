"""Derive the plain MMDetection configs of all stages of a run, and check them."""

from collections.abc import Sequence

from mmengine.config import Config

from nbseg.config.plain_config import coco_evaluator
from nbseg.engine.config_checks import check_stage
from nbseg.engine.processes import distribute
from nbseg.engine.stages import STAGES, stage_config
from nbseg.engine.training import set_training_options
from nbseg.engine.work_dir import WorkDir


def run_configs(
    config: Config,
    stages: Sequence[str],
    work_dir: WorkDir,
    launcher: str,
    amp: bool,
    auto_scale_lr: bool,
) -> dict[str, Config]:
    """Return {stage: config}, with the options of the command line set in the configs.

    The config of the stage ``label`` holds the settings of this stage. All other configs are plain
    MMDetection configs.

    Args:
        config: the user's config, with sections.
        stages: names of the stages.
        work_dir: paths of the run.
        launcher: the launcher that started the processes of the run: ``"none"`` for a single
            process, ``"pytorch"`` or ``"slurm"``.
        amp: whether to turn on mixed precision; False keeps the choice in the config.
        auto_scale_lr: whether to scale the learning rate with the batch size; False keeps the
            choice in the config.

    Raises:
        ValueError: a config or an option is invalid.
    """
    configs = {}
    for name in stages:
        plain = configs[name] = stage_config(config, name, work_dir)
        if name != "label":
            distribute(plain, launcher)
            check_stage(name, plain)
        if STAGES[name].trains:
            set_training_options(plain, amp, auto_scale_lr)
            coco_evaluator(plain).outfile_prefix = str(work_dir.test_results(name))
    return configs
