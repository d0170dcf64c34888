"""Turns a row of a table of the Noisy Boundaries paper into the runs that measure the row.

A run is one call of tools/train.py. The options that switch parts of the method on or off have the
same names at every scale; ``configs/_base_/models/`` defines these options. Students with the same
data set, percentage of labeled images and seed share one teacher and its pseudo-labels, even across
tables.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbseg.engine.work_dir import WorkDir
from nbseg.experiments.run import Run
from nbseg.experiments.tables import Row, Table

# OWN_LABELS: comparison methods that make their own pseudo-labels. ONLINE_METHODS: comparison
# methods that need no stored pseudo-labels.
OWN_LABELS = ("data-distillation", "stac")
ONLINE_METHODS = ("csd", "cct", "unbiased-teacher")
IN_RUN = WorkDir(Path())  # the files of a run, relative to its work directory


@dataclass(frozen=True)
class Setup:
    """Describes the training of those rows of a table that have the same share of labeled images.

    Attributes:
        name: name of the shared teacher's folder.
        config: path of the config file.
        options: options of all runs, except the seed.
        student: additional options of the student.
        supervised_stage: the stage that measures the supervised rows. ``control`` trains for as
            many iterations as teacher and student together; ``teacher`` is the teacher itself.
        joint: options that make the stage ``oracle``, which trains the student's model without
            pseudo-labels, use fine and coarse labels together.
        coarse: options that replace the fine labels with coarse labels.
        whole: options for a supervised run that continues an earlier run for as many iterations as
            the student trains.
        half: options for a supervised run that continues an earlier run for half as many iterations
            as the student trains.
        other_gain: value of ``mask_gain``, the mean weight of a pixel in the mask loss, for the
            rows with ``other_gain=True``.
        methods: paths of the configs of comparison methods, by the name of the method. Only the
            methods in this dictionary can be trained.
    """

    name: str
    config: str
    options: Mapping[str, Any]
    student: Mapping[str, Any] = field(default_factory=dict)
    supervised_stage: str = "control"
    joint: Mapping[str, Any] = field(default_factory=dict)
    coarse: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    half: Mapping[str, Any] = field(default_factory=dict)
    other_gain: float = 3.0
    methods: Mapping[str, str] = field(default_factory=dict)

    def trains(self, row: Row) -> bool:
        """Return whether nbseg trains the row; if not, the row only quotes the paper's values."""
        if row.recipe == "method":
            return row.method in self.methods
        return row.recipe != "quoted"


@dataclass(frozen=True)
class RowRun:
    """Holds a row, a seed, and the run and stage that measure the row with this seed."""

    row: Row
    seed: int
    run: Run
    stage: str


def runs_of_rows(
    table: Table, rows: Iterable[Row], seeds: Iterable[int], setup: Callable[[Row], Setup]
) -> list[RowRun]:
    """Return the runs that measure the rows, seed by seed.

    Rows for which :meth:`Setup.trains` returns False, such as quoted results, are left out.

    Args:
        table: the rows' table.
        rows: rows of the table.
        seeds: seeds of the splits and of the trainings.
        setup: function that returns the training setup of a row.

    Raises:
        ValueError: a row that is not left out has an unknown ``recipe``.
    """
    pairs = [(row, setup(row)) for row in rows]
    trained = [(row, of_row) for row, of_row in pairs if of_row.trains(row)]
    return [run_of_row(table, row, seed, of_row) for seed in seeds for row, of_row in trained]


def run_of_row(table: Table, row: Row, seed: int, setup: Setup) -> RowRun:
    """Return the run that measures a row, and the stage whose metrics are the row's result.

    The attributes ``needs`` and ``inputs`` of the run name the runs that must finish before.

    Args:
        table: the row's table.
        row: a row.
        seed: seed of the split and of the training.
        setup: the training setup of the row's table and percentage.

    Raises:
        ValueError: the row's ``recipe`` is unknown, or :meth:`Setup.trains` returns False for the
            row.
    """
    folder = f"table-{table.number}/seed-{seed}/{row.name}"
    options = {**setup.options, "seed": seed}
    teacher_folder = f"shared/{setup.name}/seed-{seed}"
    teacher = Run(teacher_folder, setup.config, ("teacher",), options)
    teacher_file = str(IN_RUN.checkpoint("teacher"))
    if row.recipe == "student" or (row.recipe == "method" and row.method in setup.methods):
        labels = Run(teacher_folder, setup.config, ("predict", "label"), options, needs=(teacher,))
        given = {"label.ann_file": (labels, str(IN_RUN.pseudo_labels))}
        chooses = row.method in OWN_LABELS
        run = Run(
            folder,
            setup.methods.get(row.method, setup.config),
            ("predict", "label", "student") if chooses else ("student",),
            {**options, **setup.student, **_student_switches(row, setup)},
            {
                **({} if chooses or row.method in ONLINE_METHODS else given),
                "teacher.checkpoint": (teacher, teacher_file),
            },
        )
        return RowRun(row, seed, run, "student")

    stage = setup.supervised_stage
    if row.recipe == "supervised":
        if stage == "teacher" and not row.strong:
            return RowRun(row, seed, teacher, stage)
        strong = {f"{stage}.train_pipeline": "{strong_pipeline}"} if row.strong else {}
        run = Run(folder, setup.config, (stage,), {**options, **strong})
        return RowRun(row, seed, run, stage)

    if row.recipe == "coarse":
        joint = {**options, **setup.joint, **_student_switches(row, setup)}
        return RowRun(row, seed, Run(folder, setup.config, ("oracle",), joint), "oracle")
    coarse = {**options, **setup.coarse}
    start = f"{stage}.load_from"
    if row.recipe == "coarse-fine":
        first = Run(f"{folder}/coarse", setup.config, ("teacher",), coarse)
        chain = {start: (first, teacher_file)}
        run = Run(folder, setup.config, (stage,), {**options, **setup.whole}, chain)
        return RowRun(row, seed, run, stage)
    if row.recipe == "fine-coarse-fine":
        second = Run(
            f"{folder}/coarse",
            setup.config,
            (stage,),
            {**coarse, **setup.half},
            {start: (teacher, teacher_file)},
        )
        chain = {start: (second, str(IN_RUN.checkpoint(stage)))}
        run = Run(folder, setup.config, (stage,), {**options, **setup.half}, chain)
        return RowRun(row, seed, run, stage)
    raise ValueError(
        f"the row {row.name} cannot be trained: nbseg has no config for the training recipe "
        f"{row.recipe!r} on the data set of {setup.config}; leave this row out"
    )


def _student_switches(row: Row, setup: Setup) -> dict[str, Any]:
    """Return the options by which a row's student differs from the student in the config."""
    options: dict[str, Any] = {}
    if row.recipe == "method":
        return options
    if not row.strong:
        options["train_pipeline"] = "{weak_pipeline}"
    if not row.ntm:
        options["mask_head"] = "{plain_mask_head}"
    if row.focal:
        options["box_loss"] = "{softmax_focal_loss}"
    if row.bpm is None:
        options["mask_loss"] = "{plain_mask_loss}"
    elif row.bpm == "released":
        options["mask_loss"] = "{released_mask_loss}"
    elif row.bpm == "distance":
        options["mask_loss.type"] = "DistanceToBoundaryLoss"
    elif row.bpm == "zeros":
        options["mask_loss.border"] = "zeros"
    if row.other_gain:
        options["mask_gain"] = setup.other_gain
    return options
