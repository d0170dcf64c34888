"""Train the rows of a table of the Noisy Boundaries paper; compare the results with the paper.

python tools/reproduce.py --table 3 --scale small --seeds 0 1 2 --jobs 2
python tools/reproduce.py --table 1 --scale nuclei --data data/nuclei --weights FILE --rows ours-20
python tools/reproduce.py --table 1 --scale paper --data data/cityscapes --gpus 8
python tools/reproduce.py --table 3 --scale small --seeds 0 1 2 --report-only
python tools/reproduce.py --write-pages
"""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # main imports these modules after it has chosen the devices
    from nbseg.experiments.row_runs import RowRun
    from nbseg.experiments.tables import Row, Table

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import
TOOLS = Path(__file__).resolve().parent


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--table", type=int, choices=range(1, 6), help="the table's number in the paper"
    )
    parser.add_argument(
        "--scale",
        choices=["small", "nuclei", "paper"],
        help="scale of the runs: small (generated images, CPU), nuclei (table 1 on microscope "
        "images, CPU) or paper (the paper's data, GPUs)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of the data set; at small scale, the data set is generated there (default: "
        "data/ in the work directory)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weights of the MobileNetV2 backbone; required by --scale nuclei",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="SEED",
        help="seeds to run (default: 0)",
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="folder to keep all runs in (default: work_dirs/reproduce-SCALE)",
    )
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", help="names of the rows to run (default: all rows)"
    )
    parser.add_argument(
        "--iterations",
        type=int,
        default=400,
        metavar="N",
        help="training iterations of a student at the scales small and nuclei; at the scale "
        "small, the teacher trains three times as long as the student; at the scale nuclei, both "
        "train equally long (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="number of runs to train at the same time (default: 1)",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        default=1,
        metavar="N",
        help="number of GPUs per run at paper scale (default: 1)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the commands, but run nothing"
    )
    parser.add_argument(
        "--report-only",
        action="store_true",
        help="print the table of the finished runs, but run nothing",
    )
    parser.add_argument(
        "--write-pages",
        action="store_true",
        help="write the commands of all rows into the README files of configs/, but run nothing",
    )
    arguments = parser.parse_args(argv)
    if arguments.write_pages:
        return arguments
    if not (arguments.table and arguments.scale):
        parser.error("--table and --scale are required, except with --write-pages")
    if arguments.scale != "small" and not arguments.data:
        parser.error(f"--scale {arguments.scale} needs --data DIR, the folder of the data set")
    if arguments.scale == "nuclei" and (arguments.table != 1 or not arguments.weights):
        parser.error("--scale nuclei needs --table 1 and --weights FILE")
    if min(arguments.jobs, arguments.gpus) < 1 or arguments.iterations < 4:
        parser.error(
            "--jobs and --gpus must be at least 1 and --iterations at least 4; found --jobs "
            f"{arguments.jobs}, --gpus {arguments.gpus}, --iterations {arguments.iterations}"
        )
    arguments.work_dir = (
        arguments.work_dir or Path("work_dirs") / f"reproduce-{arguments.scale}"
    ).absolute()
    arguments.data = (arguments.data or arguments.work_dir / "data").absolute()
    if arguments.weights and Path(arguments.weights).is_file():  # not a name, such as open-mmlab://
        arguments.weights = str(Path(arguments.weights).absolute())
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    os.chdir(TOOLS.parent)  # the folder of configs/
    if arguments.write_pages:
        from nbseg.experiments.command_pages import write_pages

        write_pages(Path())
        return 0
    if arguments.scale != "paper":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # hide GPUs before torch is imported
    from mmengine.config import Config

    from nbseg.experiments.job_queue import JobQueue, in_order
    from nbseg.experiments.nuclei_scale import nuclei_setup
    from nbseg.experiments.paper_scale import paper_setup
    from nbseg.experiments.row_runs import Setup, runs_of_rows
    from nbseg.experiments.run import Run
    from nbseg.experiments.small_scale import prepare_small_data, small_setup
    from nbseg.experiments.tables import TABLES, Row

    table = TABLES[arguments.table]
    names = [row.name for row in table.rows]
    unknown = sorted(set(arguments.rows or ()) - set(names))
    if unknown:
        print(
            f"table {table.number} has no row named {', '.join(unknown)}; choose from "
            f"{', '.join(names)}",
            file=sys.stderr,
        )
        return 2
    rows = [row for row in table.rows if row.name in (arguments.rows or names)]
    work_dir = arguments.work_dir

    def setup(row: Row) -> Setup:
        if arguments.scale == "small":
            return small_setup(table, row, arguments.data, arguments.iterations)
        if arguments.scale == "nuclei":
            return nuclei_setup(row, arguments.data, arguments.weights, arguments.iterations)
        return paper_setup(table, row, arguments.data, arguments.gpus)

    configs: dict[str, Config] = {}

    def check(runs: list[Run]) -> None:
        for run in in_order(runs):
            run.check(work_dir, configs)

    try:
        row_runs = runs_of_rows(table, rows, arguments.seeds, setup)
        trained = {row_run.row.name for row_run in row_runs}
        quoted = [row.name for row in rows if row.name not in trained]
        if quoted:
            print(
                f"the rows {', '.join(quoted)} cannot be trained at this scale; the table only "
                "quotes the paper's values for them"
            )
        runs = [row_run.run for row_run in row_runs]
        if arguments.dry_run:
            for run in in_order(runs):
                print(shlex.join(run.command(work_dir, TOOLS, arguments.gpus)))
            return 0
        failed: dict[str, str] = {}
        if not arguments.report_only:
            if arguments.scale == "small":
                prepare_small_data(arguments.data)
            check(runs)
            queue = JobQueue(
                work_dir, TOOLS, arguments.jobs, arguments.gpus, fork=arguments.scale != "paper"
            )
            failed = queue.run(runs)
            check(runs)  # a teacher that was trained again makes its earlier students outdated
    except (ValueError, OSError) as error:
        print(f"{Path(__file__).name}: {error}", file=sys.stderr)
        return 2
    write_results(arguments, table, rows, row_runs)
    for name, reason in failed.items():
        print(f"FAILED {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def write_results(
    arguments: argparse.Namespace,
    table: "Table",
    rows: Sequence["Row"],
    row_runs: Sequence["RowRun"],
) -> None:
    """Write table.md, table.csv and table.png of the finished runs, and print table.md."""
    from nbseg.experiments.results import collect, run_records, write_csv
    from nbseg.experiments.table_page import describe_runs, heading, markdown, write_plot
    from nbseg.files import replacing

    folder = arguments.work_dir / f"table-{table.number}"
    results = collect(table, rows, row_runs, arguments.work_dir)
    command = [
        *("python", "tools/reproduce.py", "--table", table.number, "--scale", arguments.scale),
        *(("--data", arguments.data) if arguments.scale != "small" else ()),
        *(("--weights", arguments.weights) if arguments.scale == "nuclei" else ()),
        *("--seeds", *arguments.seeds),
        *(("--rows", *arguments.rows) if arguments.rows else ()),
    ]
    if arguments.scale != "paper":
        students = [result for result in results if result.row.recipe in ("student", "method")]
        lengths = [length for result in students for length in result.iterations]
        command += ["--iterations", max(lengths, default=arguments.iterations)]
    title = heading(table, arguments.scale)
    page = markdown(
        title,
        table,
        results,
        describe_runs(arguments.scale, run_records(row_runs, arguments.work_dir)),
        [shlex.join(map(str, command))],
        "table.png",
    )
    with replacing(folder / "table.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_csv(results, arguments.seeds, folder / "table.csv")
    write_plot(title, table, results, folder / "table.png")
    print(f"\n{page}\n{folder}/table.md, table.csv, table.png")


def _terminate(*_: object) -> None:
    sys.exit(143)  # raises SystemExit, so that the queue terminates its running processes


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(ending, _terminate)
    sys.exit(main())
