"""tools/reproduce.py runs every table on a tiny generated set, resumes, reports and refuses."""

import csv
import functools
import json
import re
import runpy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tiny_config import NETWORK

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.stages import stage_config
from nbseg.experiments import small_scale
from nbseg.experiments.command_pages import BLOCK, PAGES
from nbseg.experiments.job_queue import in_order
from nbseg.experiments.nuclei_scale import nuclei_setup
from nbseg.experiments.paper_scale import paper_setup
from nbseg.experiments.results import RowResult
from nbseg.experiments.row_runs import runs_of_rows
from nbseg.experiments.run import Run
from nbseg.experiments.table_page import heading, markdown
from nbseg.experiments.tables import TABLES, Row, Table

# The config of the small scale, with smaller batches and a smaller network; few images to predict.
CONFIG = (
    """
_base_ = '{config}'
batch_size = 2
mask_head_cfg = dict(in_channels=16, conv_out_channels=8)
predict = dict(test_dataloader=dict(dataset=dict(indices=8)))
"""
    + NETWORK
)
# Of the tables with many rows, one row for each switch.
ROWS = {
    1: ["supervised-strong-20", "ours-focal-20", "stac-20", "dual-branch-20", "cct-20"],
    2: ["coarse", "coarse-fine", "fine-coarse-fine", "ours"],
    3: ["baseline", "da-ntm-bpm", "distance", "released", "zeros"],
    4: ["supervised-30", "ours-100"],
    5: ["supervised", "baseline", "grabcut"],
}


@pytest.fixture(scope="module")
def reproduce(repository, one_thread, tmp_path_factory):
    """Return the tool's main function, which returns the exit status, on a few small images.

    The runs are forks of this process.
    """
    main = runpy.run_path(str(repository / "tools" / "reproduce.py"))["main"]
    folder = tmp_path_factory.mktemp("config")

    def tiny(name, base):
        path = folder / f"{name}.py"
        path.write_text(CONFIG.replace("{config}", str(repository / base)))
        return str(path)

    methods = {name: tiny(name, base) for name, base in small_scale.METHODS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.chdir(repository)
        patch.setattr(small_scale, "CONFIG", tiny("ours", small_scale.CONFIG))
        patch.setattr(small_scale, "METHODS", methods)
        patch.setattr(small_scale, "TRAINING", ShapesOptions(size=64, train=50, val=1))
        patch.setattr(small_scale, "UNLABELED", ShapesOptions(size=64, train=4, val=1, seed=1))
        yield lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduce")


def options(number, work_dir):
    return (
        *("--table", number, "--scale", "small", "--work-dir", work_dir, "--iterations", 4),
        *("--jobs", 2, "--rows", *ROWS[number]),
    )


def csv_rows(work_dir, number):
    with (work_dir / f"table-{number}" / "table.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def measured_dots(plot):
    """Count the dots of measured values: the parts that have matplotlib's first color."""
    blue, green, red = np.moveaxis(cv2.imread(str(plot)).astype(int), 2, 0)
    dots = (abs(red - 31) < 3) & (abs(green - 119) < 3) & (abs(blue - 180) < 3)
    return cv2.connectedComponents(dots.astype(np.uint8))[0] - 1  # less the background


@pytest.mark.parametrize("number", ROWS)
def test_a_table_is_run_and_reported(reproduce, work_dir, number):
    assert reproduce(*options(number, work_dir)) == 0
    rows = csv_rows(work_dir, number)
    assert "--iterations 4\n" in (work_dir / f"table-{number}" / "table.md").read_text()
    assert {row["row"] for row in rows} == set(ROWS[number])
    for row in rows:
        folder = work_dir / f"table-{number}" / "seed-0" / row["row"]
        if row["row"] == "grabcut":
            assert not folder.exists()
            assert (row["mean"], row["paper"]) == ("", "21.0")
            continue
        (metrics,) = json.loads((folder / "metrics.json").read_text()).values()
        assert float(row["mean"]) == pytest.approx(100 * metrics[row["metric"]])
    assert measured_dots(work_dir / f"table-{number}" / "table.png") >= sum(
        row["mean"] != "" for row in rows
    )


def test_students_of_a_seed_share_their_teacher(work_dir):
    """Those of tables 1 and 3 at 20%; those of tables 2 and 5 and of 100% of COCO."""
    shared = sorted(folder.name for folder in (work_dir / "shared").iterdir())
    assert shared == ["shapes-100", "shapes-20"]
    for folder in (work_dir / "table-3" / "seed-0").iterdir():
        config = (folder / "student" / "config.py").read_text()
        assert f"{work_dir}/shared/shapes-20/seed-0/pseudo_labels/pseudo_labels.json" in config
        assert not (folder / "teacher").exists()


def test_rows_train_with_their_switches(work_dir):
    def config(number, row):
        return (work_dir / f"table-{number}" / "seed-0" / row / "student/config.py").read_text()

    plain, ours = config(3, "baseline"), config(3, "da-ntm-bpm")
    for name in ("NoiseTolerantMaskHead", "BoundaryPreservingLoss", "StrongColorAugmentation"):
        assert name in ours
        assert name not in plain
    assert "DistanceToBoundaryLoss" in config(3, "distance")
    assert re.search(r"border='zeros'", config(3, "zeros"))
    assert re.search(r"loss_weight=3\.0", config(3, "released"))
    assert "SoftmaxFocalLoss" in config(1, "ours-focal-20")
    assert "SoftmaxFocalLoss" not in ours
    for row, method in (("stac", "PseudoLabel"), ("dual-branch", "DualBranch")):
        assert f"type='{method}Student'" in config(1, f"{row}-20")
    assert "type='CrossConsistency'" in config(1, "cct-20")


def test_finished_runs_are_kept_and_the_rest_is_resumed(reproduce, work_dir, capsys):
    seed = work_dir / "table-5" / "seed-0"
    kept = seed / "supervised" / "metrics.json"
    before = kept.stat().st_mtime_ns
    manifest = seed / "baseline" / "student" / "student.manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "finished": False}))

    command = options(5, work_dir)
    assert reproduce(*command, "--report-only") == 0
    assert [row["mean"] == "" for row in csv_rows(work_dir, 5)] == [False, True, True]
    capsys.readouterr()

    labels = work_dir / "shared/shapes-100/seed-0/pseudo_labels/pseudo_labels.json"
    text = labels.read_text()
    labels.write_text("no json")
    assert reproduce(*command) == 1
    assert "FAILED table-5/seed-0/baseline" in capsys.readouterr().err

    labels.write_text(text)
    assert reproduce(*command) == 0
    assert "4 runs, 3 of which are already finished" in capsys.readouterr().out
    assert csv_rows(work_dir, 5)[2]["mean"] != ""
    assert kept.stat().st_mtime_ns == before


def test_another_budget_is_refused(reproduce, work_dir, capsys):
    assert reproduce(*options(5, work_dir), "--iterations", 8) == 2
    assert "max_iters: was 16, is 32" in capsys.readouterr().err


def test_students_of_an_older_teacher_are_excluded(reproduce, work_dir, capsys):
    teacher = work_dir / "shared/shapes-100/seed-0/teacher"
    (teacher / "teacher.manifest.json").unlink()
    assert reproduce(*options(5, work_dir), "--rows", "baseline") == 2
    printed = capsys.readouterr()
    assert (
        f"stage predict in {teacher.parent}/pseudo_labels was run with different settings"
        in printed.err
    )
    assert "teacher checkpoint" in printed.err and "| baseline" not in printed.out


def test_data_of_another_size_is_refused(reproduce, tmp_path, capsys):
    generate_shapes(tmp_path / "data" / "shapes", ShapesOptions(size=64, train=51, val=1))
    assert reproduce(*options(5, tmp_path)) == 2
    assert "data/shapes holds a shapes set with other options" in capsys.readouterr().err
    assert not (tmp_path / "table-5").exists()


def test_unknown_rows_are_refused(reproduce, tmp_path, capsys):
    command = ("--table", 3, "--scale", "small", "--work-dir", tmp_path / "new", "--rows", "dna")
    assert reproduce(*command) == 2
    assert "has no row named dna; choose from supervised, " in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_dry_run_prints_every_command(reproduce, tmp_path, capsys):
    command = ("--table", 1, "--scale", "small", "--work-dir", tmp_path / "new", "--dry-run")
    assert reproduce(*command, "--seeds", 0, 1) == 0
    printed = capsys.readouterr().out
    # Of each of 5 percentages and 2 seeds: 11 rows, a teacher, its pseudo-labels.
    assert printed.count("tools/train.py") == 130
    assert not (tmp_path / "new").exists()


def test_the_configs_of_nuclei_take_every_row(tmp_path):
    configs = {}
    setup = functools.partial(
        nuclei_setup, data=tmp_path / "data", weights="weights.pth", iterations=100
    )
    of_rows = runs_of_rows(TABLES[1], TABLES[1].rows, [0], setup)
    assert len(of_rows) == len(TABLES[1].rows)
    for run in in_order(of_row.run for of_row in of_rows):
        run.check(tmp_path, configs)
    for of_row in of_rows:
        config = stage_config(of_row.run.parsed(tmp_path, configs), of_row.stage, tmp_path)
        assert config.train_cfg.max_iters == (200 if of_row.stage == "control" else 100)
        if of_row.row.name.startswith(("data-distillation", "baseline")):
            for dataset in config.train_dataloader.dataset.datasets:
                assert "CutOut" not in [step.type for step in dataset.pipeline]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--table 1 --scale nuclei --weights w.pth", "--scale nuclei needs --data DIR"),
        ("--table 1 --scale nuclei --data d", "needs --table 1 and --weights FILE"),
        ("--table 2 --scale nuclei --data d --weights w.pth", "needs --table 1 and --weights"),
        ("--table 1 --scale paper", "--scale paper needs --data DIR"),
    ],
)
def test_missing_options_are_named(reproduce, arguments, message, capsys):
    with pytest.raises(SystemExit):
        reproduce(*arguments.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("number", TABLES)
def test_the_papers_configs_take_every_row(reproduce, tmp_path, number):
    """The configs parse with the options of each run, and each stage of a run has a config."""
    configs = {}
    table = TABLES[number]
    setup = functools.partial(paper_setup, table, data=tmp_path / "data", gpus=8)
    of_rows = runs_of_rows(table, table.rows, [0], setup)
    for run in in_order(of_row.run for of_row in of_rows):
        run.check(tmp_path, configs)
    for of_row in of_rows:
        model = stage_config(of_row.run.parsed(tmp_path, configs), of_row.stage, tmp_path).model
        assert model.backbone.depth == 50


def test_the_time_of_an_iteration_comes_from_the_logs(tmp_path):
    run = Run("row", "config.py", ("student",), {})
    assert run.seconds(tmp_path, "student") is None
    # A resumed training has several logs. The last whole line is from a validation.
    for name, times in {"1": (0.9, 0.2), "2": (0.3, 0.4, 0.25)}.items():
        log = tmp_path / f"row/student/{name}/vis_data/scalars.json"
        log.parent.mkdir(parents=True)
        lines = [{"loss": 1.5, "time": time} for time in times] + [{"mAP": 0.1, "time": 90.0}]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"loss": 1')
    assert run.seconds(tmp_path, "student") == 0.3


def test_the_spread_over_seeds_and_blanks():
    row = Row("ours", "ours", "student", published={"segm_mAP": 29.0})
    result = RowResult(row, "segm_mAP", {0: 30.0, 1: 32.0, 2: 37.0}, (600,), 0.123)
    blank = RowResult(Row("grabcut", "GrabCut", "quoted"), "segm_mAP", {}, (), None, False)
    table = Table(5, "BDD100K", ("segm_mAP",), (row, blank.row))
    page = markdown(heading(table, "small"), table, [result, blank], [], [], "table.png")
    assert page.startswith("## Table 5 at small scale, on generated images: BDD100K\n")
    # Deviations -3, -1, 4: their squares sum to 26, over n - 1 = 2 that is 13.
    assert "| 600 | 0.12 | 3 | 33.0 ± 3.6 | 30.0 to 37.0 | 29.0 |" in page
    assert "| quoted only |  |  |  |" in page
    method = replace(blank, row=Row("stac", "STAC", "method", method="stac"))
    page = markdown(heading(table, "paper"), table, [method], [], [], "table.png")
    assert "| quoted only |  |  |  |" in page
    page = markdown(heading(table, "small"), table, [replace(method, trained=True)], [], [], "")
    assert "| 0 |  |  |  |" in page  # not trained yet


# The paper's tables, row by row, as its text prints them (shared with no code of nbseg).
PRINTED = {
    1: """
supervised 11.8 16.8 22.3 26.3 27.7
supervised† 11.3 16.4 22.6 26.6 28.3
DD 13.7 19.2 24.6 27.4 29.5
STAC 11.9 18.2 22.9 29.0 29.8
CSD 14.1 17.9 24.6 27.5 28.9
Ubteacher 16.0 20.0 27.1 28.0 29.6
CCT 15.2 18.6 24.7 26.5 28.4
Dual-branch 13.9 18.9 24.0 28.9 28.9
baseline 15.7 20.2 25.5 28.3 29.5
ours 17.1 22.1 29.0 32.4 33.0
ours§ 21.2 23.7 30.8 33.2 34.1
""",
    2: """
supervised 33.8 61.8 31.4
supervised† 34.7 61.8 33.7
coarse_GT 23.3 49.4 18.3
coarse_finetune 34.2 59.9 32.3
fine→coarse→fine 35.8 62.9 35.3
ours 39.3 65.6 38.9
ours§ 41.1 68.2 42.1
""",
    3: """
supervised 26.3 8.2
supervised† 26.6 7.8
baseline 28.3 10.0
DA 30.2 10.4
DA_+_NTM 31.1 10.9
DA_+_BPM 31.0 11.6
DA_+_NTM_+_BPM 32.4 11.6
supervised_100% 33.8 12.7
supervised†_100% 34.7 12.9
""",
    4: """
supervised 3.5 9.4 17.3 22.0 28.9 34.5
supervised† 3.5 9.5 17.4 21.9 29.0 37.1
DD 3.8 11.8 20.4 24.2 30.5 35.7
ours 7.7 16.3 24.9 29.2 32.8 38.6
""",
    5: """
supervised 21.6
Mask_R-CNN_with_the_boxes_of_the_67k 24.5
GrabCut_with_these_boxes 21.0
Progressive_with_these_boxes 24.8
ShapeProp_with_these_boxes 26.2
baseline 24.4
ours 26.3
""",
}


@pytest.mark.parametrize("number", TABLES)
def test_every_figure_of_the_paper_is_quoted(number):
    quoted = {}
    for row in TABLES[number].rows:
        title = row.title
        if number == 3 and row.percent == 100:
            title += " 100%"
        figures = [row.published[m] for m in TABLES[number].metrics if m in row.published]
        if figures:
            quoted.setdefault(title.replace(" ", "_"), []).extend(figures)
    lines = [line.split() for line in PRINTED[number].split("\n") if line]
    assert quoted == {name: list(map(float, figures)) for name, *figures in lines}


def test_the_ablation_has_every_combination():
    switches = {(row.strong, row.ntm, row.bpm) for row in TABLES[3].rows}
    assert len(TABLES[3].rows) == 17
    assert switches >= {
        (da, ntm, bpm)
        for da in (False, True)
        for ntm in (False, True)
        for bpm in (None, "replicate")
    }


def test_pages_hold_the_commands_that_are_generated(reproduce, repository):
    pages = [repository / page for page in PAGES]
    committed = [page.read_text(encoding="utf-8") for page in pages]
    assert all(page.count("\ntrain ") for page in committed)
    try:
        assert reproduce("--write-pages") == 0
        assert [page.read_text(encoding="utf-8") for page in pages] == committed
    finally:
        for page, text in zip(pages, committed, strict=True):
            page.write_text(text, encoding="utf-8")


def test_pages_have_every_trained_row(repository):
    """Table 1 is shown at 20%. Table 3's rows at 100% are table 2's. All others are shown."""
    blocks = {
        (int(block["table"]), int(block["percent"]))
        for page in PAGES
        for block in BLOCK.finditer((repository / page).read_text(encoding="utf-8"))
    }
    rows = {(number, row.percent) for number, table in TABLES.items() for row in table.rows}
    shown = {(number, percent) for number, percent in rows if number > 1} - {(3, 100)}
    assert blocks == shown | {(1, 20)}
