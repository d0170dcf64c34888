"""Run the rows of one of the paper's tables and print it beside the paper's figures.

python tools/reproduce.py --table 3 --scale small --seeds 0 1 2 --jobs 2
python tools/reproduce.py --table 1 --scale paper --data data/cityscapes --gpus 8
python tools/reproduce.py --table 3 --scale small --seeds 0 1 2 --report-only
"""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import
TOOLS = Path(__file__).resolve().parent


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=int, required=True, choices=range(1, 6))
    parser.add_argument("--scale", required=True, choices=["small", "paper"])
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the data set; at small scale where it is made (default: data in the work directory)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED")
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="default: work_dirs/reproduce-SCALE"
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument(
        "--iterations",
        type=int,
        default=400,
        metavar="N",
        help="of a student at small scale, a third of its teacher's (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs beside one another (default: 1)"
    )
    parser.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="of each run at the paper's scale"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    parser.add_argument(
        "--report-only", action="store_true", help="print the table from what is finished"
    )
    arguments = parser.parse_args(argv)
    if arguments.scale == "paper" and not arguments.data:
        parser.error("--scale paper needs --data DIR, the folder of the data set")
    if min(arguments.jobs, arguments.gpus) < 1 or arguments.iterations < 4:
        parser.error("--jobs and --gpus must be at least 1, --iterations at least 4")
    arguments.work_dir = (
        arguments.work_dir or Path("work_dirs") / f"reproduce-{arguments.scale}"
    ).absolute()
    arguments.data = (arguments.data or arguments.work_dir / "data").absolute()
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    os.chdir(TOOLS.parent)  # where configs/ is
    if arguments.scale == "small":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch is imported: small scale is the CPU
    from nbseg.experiments.arms import arm_of
    from nbseg.experiments.paper_scale import paper_source
    from nbseg.experiments.schedule import Schedule, in_order
    from nbseg.experiments.small_scale import prepare_small_data, small_source
    from nbseg.experiments.tables import TABLES

    table = TABLES[arguments.table]
    names = [row.name for row in table.rows]
    unknown = sorted(set(arguments.rows or ()) - set(names))
    if unknown:
        print(f"table {table.number} has no rows {unknown}; it has {', '.join(names)}")
        return 2
    rows = [row for row in table.rows if row.name in (arguments.rows or names)]
    work_dir = arguments.work_dir

    def source(row):
        if arguments.scale == "small":
            return small_source(table, row, arguments.data, arguments.iterations)
        return paper_source(table, row, arguments.data, arguments.gpus)

    configs = {}

    def check(runs):
        for run in in_order(runs):
            run.check(work_dir, configs)

    try:
        arms = [
            arm_of(table, row, seed, source(row))
            for seed in arguments.seeds
            for row in rows
            if row.arm != "quoted"
        ]
        runs = [arm.run for arm in arms]
        if arguments.dry_run:
            for run in in_order(runs):
                print(shlex.join(run.command(work_dir, TOOLS, arguments.gpus)))
            return 0
        failed = {}
        if not arguments.report_only:
            if arguments.scale == "small":
                prepare_small_data(arguments.data)
            check(runs)
            schedule = Schedule(
                work_dir, TOOLS, arguments.jobs, arguments.gpus, fork=arguments.scale == "small"
            )
            failed = schedule.run(runs)
            check(runs)  # what was finished before may be of something that was made again
    except (ValueError, OSError) as error:
        print(f"{Path(__file__).name}: {error}", file=sys.stderr)
        return 2
    write_page(arguments, table, rows, arms)
    for name, reason in failed.items():
        print(f"FAILED {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def write_page(arguments: argparse.Namespace, table, rows, arms) -> None:
    """Write table.md, table.csv and table.png of what is finished, and print the first."""
    from nbseg.experiments.page import about, heading, markdown, write_plot
    from nbseg.experiments.results import collect, records, write_csv
    from nbseg.files import replacing

    folder = arguments.work_dir / f"table-{table.number}"
    results = collect(table, rows, arms, arguments.work_dir)
    command = [
        *("python", "tools/reproduce.py", "--table", table.number, "--scale", arguments.scale),
        *(("--data", arguments.data) if arguments.scale == "paper" else ()),
        *("--seeds", *arguments.seeds),
        *(("--rows", *arguments.rows) if arguments.rows else ()),
    ]
    if arguments.scale == "small":
        student = [max(r.iterations) for r in results if r.row.arm == "student" and r.iterations]
        command += ["--iterations", max(student, default=arguments.iterations)]
    title = heading(table, arguments.scale)
    page = markdown(
        title,
        table,
        results,
        about(arguments.scale, records(arms, arguments.work_dir)),
        [shlex.join(map(str, command))],
        "table.png",
    )
    with replacing(folder / "table.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_csv(results, arguments.seeds, folder / "table.csv")
    write_plot(title, table, results, folder / "table.png")
    print(f"\n{page}\n{folder}/table.md, table.csv, table.png")


def _terminate(*_: object) -> None:
    sys.exit(143)  # unwinds, which ends the runs that are under way


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, _terminate)
    sys.exit(main())
