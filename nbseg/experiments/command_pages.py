"""Updates the training commands in the README files below configs/.

The commands train the rows of the tables of the Noisy Boundaries paper. The README files have
marker comments, for example ``<!-- commands: table 3, 20% -->`` for 20% labeled images.
``tools/reproduce.py --write-pages`` replaces the text between a marker and the next
``<!-- end of commands -->`` with the commands for the rows in ``nbseg.experiments.tables``.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbseg.experiments.job_queue import in_order
from nbseg.experiments.paper_scale import paper_setup
from nbseg.experiments.row_runs import IN_RUN, Setup, run_of_row
from nbseg.experiments.run import Run
from nbseg.experiments.tables import TABLES, Table
from nbseg.files import replacing

BLOCK = re.compile(
    r"(?P<start><!-- commands: table (?P<table>\d+), (?P<percent>\d+)% -->\n)"
    r".*?(?P<end><!-- end of commands -->)",
    re.DOTALL,
)
WIDTH = 100
LABELS = (
    f'labels="label.ann_file=$shared/{IN_RUN.pseudo_labels}\n'
    f'  teacher.checkpoint=$shared/{IN_RUN.checkpoint("teacher")}"'
)


@dataclass(frozen=True)
class Page:
    """Describes the training commands of one README file.

    Attributes:
        data: folder of the data set.
        shared: for each table number, the work directory of the teacher and its pseudo-labels. In
            this path, ``{percent}`` stands for the percentage of labeled images.
        seed: the seed of all commands.
        gpus: number of GPUs of each training.
    """

    data: str
    shared: Mapping[int, str]
    seed: int
    gpus: int


FINE = "work_dirs/cityscapes-{percent}-seed0"
PAGES = {
    "configs/README.md": Page(
        "data/cityscapes", {1: FINE, 2: "work_dirs/cityscapes-coarse-seed0", 3: FINE}, 0, 1
    ),
    "configs/coco/README.md": Page("data/coco", {4: "work_dirs/coco-{percent}"}, 1, 8),
    "configs/bdd100k/README.md": Page("data/bdd100k", {5: "work_dirs/bdd100k"}, 0, 8),
}


def write_pages(repository: Path) -> None:
    """Replace the commands in all README files that ``PAGES`` lists.

    Args:
        repository: root folder of nbseg's repository.
    """
    for name, page in PAGES.items():
        text = (repository / name).read_text(encoding="utf-8")
        with replacing(repository / name) as temporary:
            temporary.write_text(with_commands(text, page), encoding="utf-8")


def with_commands(text: str, page: Page) -> str:
    """Return the text of a README file with new commands between the marker comments.

    If two tables share a command, the command is written only below the first table's marker.

    Args:
        text: the present text of the file.
        page: the settings of the commands.
    """
    last_header = ""
    written: set[tuple[str, str]] = set()

    def block(match: re.Match[str]) -> str:
        nonlocal last_header
        header, commands = _commands(page, TABLES[int(match["table"])], int(match["percent"]))
        lines = [] if written else [_train_function(page.gpus)]
        if header != last_header:
            lines += [header, ""]
            last_header = header
        for command, title in commands.items():
            if (header, command) not in written:
                lines += [f"# {title}", command] if title else [command]
        written.update((header, command) for command in commands)
        return "\n".join([f"{match['start']}```bash", *lines, f"```\n{match['end']}"])

    return BLOCK.sub(block, text)


def _train_function(gpus: int) -> str:
    tool = f"tools/dist_train.sh $config {gpus}" if gpus > 1 else "python tools/train.py $config"
    return f"train() {{ {tool} --work-dir $1 --stages $2 --cfg-options $options ${{@:3}}; }}"


def _commands(page: Page, table: Table, percent: int) -> tuple[str, dict[str, str]]:
    """Return the bash code for the table rows with ``percent`` percent labeled images.

    Returns:
        - The lines that set bash variables.
        - A dictionary from each training command to the title of the table row that the command
          trains. If the command only trains a model from which the training of a row starts, the
          title is "for the row" and the title of this row.
    """
    shared: dict[str, str] = {}  # row titles by stages, for the shared work directory
    others: dict[str, str] = {}
    rows = [row for row in table.rows if row.percent == percent]
    setup = paper_setup(table, rows[0], Path(page.data), gpus=None)
    for row in filter(setup.trains, rows):
        of_row = run_of_row(table, row, page.seed, setup).run
        for run in in_order([of_row]):
            if _is_shared(run, setup):
                shared.setdefault(",".join(run.stages), row.title if run is of_row else "")
            elif run is of_row:
                others[_command(run, setup, percent)] = row.title
            else:
                others.setdefault(_command(run, setup, percent), f"for the row {row.title}")

    commands: dict[str, str] = {}
    stages: list[str] = []
    for stage, title in shared.items():
        stages.append(stage)
        if title:  # stages that measure no row share a command with the stages of the next row
            commands[f"train $shared {','.join(stages)}"] = title
            stages = []
    commands |= others
    every_run = {**setup.options, "seed": page.seed}
    options = " ".join(f"{key}={value}" for key, value in every_run.items())
    lines = [
        f"config={setup.config}",
        "\n  ".join(textwrap.wrap(f'options="{options}"', WIDTH, break_on_hyphens=False)),
        f"shared={page.shared[table.number].format(percent=percent)}",
    ]
    if any(" $labels" in command for command in commands):
        lines.append(LABELS)
    return "\n".join(lines), commands


def _further_options(run: Run, setup: Setup) -> dict[str, Any]:
    """Return the options of a run that its setup lacks or sets differently, except the seed."""
    return {k: v for k, v in run.options.items() if k != "seed" and setup.options.get(k) != v}


def _is_shared(run: Run, setup: Setup) -> bool:
    """Return whether a run belongs in the shared work directory.

    The shared work directory holds the teacher, its pseudo-labels, and the student that is trained
    with the options of the setup alone (the paper's method with all its parts). One command trains
    both the teacher and this student.
    """
    full_method = run.stages == ("student",) and not _further_options(run, setup)
    return run.folder.startswith("shared/") or full_method


def _command(run: Run, setup: Setup, percent: int) -> str:
    options = [f"{key}={value}" for key, value in _further_options(run, setup).items()]
    if "label.ann_file" in run.inputs:
        options.insert(0, "$labels")
    else:
        options += [
            f"{key}={_folder(source, percent)}/{file}" for key, (source, file) in run.inputs.items()
        ]
    return " ".join(["train", _folder(run, percent), ",".join(run.stages), *options])


def _folder(run: Run, percent: int) -> str:
    """Return the work directory of a run as a bash expression, such as ``$shared-baseline``."""
    if run.folder.startswith("shared/"):
        return "$shared"
    name = run.folder.split("/", 2)[2].replace(f"-{percent}", "").replace("/", "-")
    return f"$shared-{name.removeprefix('supervised-').removeprefix('ours-')}"
