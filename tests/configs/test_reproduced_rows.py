"""A row is the same training by its documented command and by tools/reproduce.py."""

import json
from pathlib import Path

import pytest
from documented_commands import REPOSITORY, documented_commands
from nbseg.config.stage_config import stage_config
from tiny_runs import loaded

from nbseg.engine.manifest import TRAINING_KEYS, relevant_keys
from nbseg.experiments.arms import arm_of
from nbseg.experiments.paper_scale import paper_source
from nbseg.experiments.schedule import in_order
from nbseg.experiments.tables import TABLES

# By page: its tables, those of its rows that it gives as an example, and the GPUs of its commands.
PAGES = {
    "configs/README.md": ({1: "-20", 2: "", 3: ""}, "data/cityscapes", 0, 1),
    "configs/coco/README.md": ({4: ""}, "data/coco", 1, 8),
    "configs/bdd100k/README.md": ({5: ""}, "data/bdd100k", 0, 8),
}


def training(config, stage):
    """What decides a training but for its seed, as text; of paths only what they end in."""
    keys = relevant_keys(stage_config(config, stage, "run"), TRAINING_KEYS, Path("run"))
    ends = {
        key: Path(value).name if isinstance(value, str) and "/" in value else value
        for key, value in keys.items()
        if key != "randomness.seed"
    }
    return json.dumps(ends, sort_keys=True, indent=0, default=str)


@pytest.mark.parametrize("page", PAGES)
def test_pages_and_tool_train_alike(page, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    tables, data, seed, gpus = PAGES[page]
    documented = {
        training(loaded(command.config, command.cfg_options), stage)
        for command in documented_commands(page)
        for stage in command.stages
        if stage in ("teacher", "student", "oracle")
    }
    configs = {}
    reproduced = set()
    for number, ending in tables.items():
        table = TABLES[number]
        for row in table.rows:
            if row.arm == "quoted" or not row.name.endswith(ending):
                continue
            source = paper_source(table, row, Path(data), gpus)
            for run in in_order([arm_of(table, row, seed, source).run]):
                config = run.parsed(Path("runs"), configs)
                trained = {"teacher", "student", "oracle"} & set(run.stages)
                reproduced |= {training(config, stage) for stage in trained}
    differing = [documented - reproduced, reproduced - documented]
    for alone in map(sorted, differing):
        assert not alone, alone[0]
