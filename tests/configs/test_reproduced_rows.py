"""A row's documented command and tools/reproduce.py run the same training."""

import functools
import json
from pathlib import Path

import pytest
from documented_commands import REPOSITORY, documented_commands
from tiny_runs import loaded

from nbseg.engine.manifest import relevant_keys
from nbseg.engine.stages import TRAINED_WITH, stage_config
from nbseg.experiments.job_queue import in_order
from nbseg.experiments.paper_scale import paper_setup
from nbseg.experiments.row_runs import runs_of_rows
from nbseg.experiments.tables import TABLES

# By page: its tables with the ending of the rows it shows, the data, the seed, and the GPUs.
PAGES = {
    "configs/README.md": ({1: "-20", 2: "", 3: ""}, "data/cityscapes", 0, 1),
    "configs/coco/README.md": ({4: ""}, "data/coco", 1, 8),
    "configs/bdd100k/README.md": ({5: ""}, "data/bdd100k", 0, 8),
}


def training(config, stage):
    """Return the keys that decide a training as text, without the seed and folders of paths."""
    keys = relevant_keys(stage_config(config, stage, "run"), TRAINED_WITH, Path("run"))
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
        rows = [row for row in table.rows if row.name.endswith(ending)]
        setup = functools.partial(paper_setup, table, data=Path(data), gpus=gpus)
        of_rows = runs_of_rows(table, rows, [seed], setup)
        for run in in_order(of_row.run for of_row in of_rows):
            config = run.parsed(Path("runs"), configs)
            trained = {"teacher", "student", "oracle"} & set(run.stages)
            reproduced |= {training(config, stage) for stage in trained}
    differing = [documented - reproduced, reproduced - documented]
    for alone in map(sorted, differing):
        assert not alone, alone[0]
