"""Analyze pseudo-labels, predictions and data sets, and export labels to labeling tools."""

import argparse
import sys
from functools import partial
from pathlib import Path

from mmengine.config import Config

import nbseg.built  # noqa: F401
from nbseg.analysis.comparison import write_comparison
from nbseg.analysis.console import (
    print_agreement,
    print_comparison,
    print_curves,
    print_summary,
)
from nbseg.analysis.model_noise import analyze_models
from nbseg.analysis.noise_figures import write_figures
from nbseg.analysis.pseudo_report import read_inputs, write_report
from nbseg.commands import add_command
from nbseg.config.options import add_config_options
from nbseg.datasets.exporters.export_labels import TOOLS

PSEUDO_EXAMPLES = """\
This command writes a self-contained page, DIR/index.html, and its numbers, DIR/analysis.json.
PSEUDO is a run's WORK_DIR/pseudo_labels/pseudo_labels.json, or any COCO json with scores. With
--truth, the report also shows precision, recall, the noise at the boundary and the worst images.

examples:
  python tools/analyze.py pseudo work_dirs/demo/pseudo_labels/pseudo_labels.json \\
      --images data/shapes/train --out work_dirs/demo/analysis
  python tools/analyze.py pseudo predictions.json --images data/shapes/train --out report \\
      --truth 'splits/instances_train.0@5-unlabeled.json' \\
      --labeled 'splits/instances_train.0@5.json'
"""

NOISE_EXAMPLES = """\
This command writes the figures fig3a, fig3b, errors and recall into DIR, each as .png and .csv.
For raw predictions, it also writes fig6a, fig6b, fig6c and calibration. docs/analysis.md defines
the figures.

FILE is one of these:
  PREFIX.segm.json, which tools/test.py --out PREFIX writes
  pseudo_labels.json, or another COCO json with scores
  a run's folder of raw predictions, WORK_DIR/pseudo_labels/predictions

examples:
  python tools/analyze.py noise --truth data/shapes/annotations/instances_val.json \\
      --predictions control=work_dirs/demo/control/predictions.segm.json \\
          student=work_dirs/demo/student/predictions.segm.json --out work_dirs/demo/noise
  python tools/analyze.py noise --truth data/shapes/annotations/instances_train.json \\
      --predictions raw=work_dirs/demo/pseudo_labels/predictions --out work_dirs/demo/noise-raw
"""

COMPARE_EXAMPLES = """\
This command writes three results into DIR:
  index.html      a self-contained page
  comparison.csv  one row per image
  pictures/       the pictures as JPEG

A and B are each a json of predictions, CONFIG:CHECKPOINT or MODEL.onnx. With the prefix NAME=,
the page shows NAME instead of A or B. If A or B is a json that tools/test.py --out wrote, --truth
is required, because only the json of --truth defines the ids of the images and classes.

examples:
  python tools/analyze.py compare control=work_dirs/demo/control/predictions.segm.json \\
      student=work_dirs/demo/student/predictions.segm.json --images data/shapes/val \\
      --truth data/shapes/annotations/instances_val.json --out work_dirs/demo/comparison
  python tools/analyze.py compare model.onnx int8=model.int8.onnx --images photos --out comparison
  python tools/analyze.py compare \\
      work_dirs/demo/teacher/config.py:work_dirs/demo/teacher/teacher.pth \\
      work_dirs/demo/student/config.py:work_dirs/demo/student/student.pth \\
      --images photos --out comparison
"""

COVERAGE_EXAMPLES = """\
This command compares the unlabeled images of CONFIG with the labeled images, by the features of the
pretrained backbone. The command trains nothing, so you can use it before the first run. A kind of
image is missing if unlabeled images show this kind, but no labeled image does. The command prints
one line and writes two files into DIR:
  uncovered.txt  paths of the images of missing kinds, one per line
  index.html     page of the images of missing kinds, each beside the most similar labeled image

examples:
  python tools/analyze.py coverage CONFIG --out coverage --cfg-options data_root=data/nuclei
  python tools/analyze.py coverage CONFIG --out coverage --limit 200
"""

RANK_EXAMPLES = """\
This command chooses the unlabeled images whose labels would help the most, by the features of the
pretrained backbone. First it chooses an image of each kind that no labeled image shows, then images
that resemble many other unlabeled images. With --predictions, it also prefers images on which a
model is unsure. The command trains nothing. It writes DIR/rank.csv and DIR/index.html. If the json
of the unlabeled images has annotations, the command also writes DIR/labeled.json (with the chosen
images) and DIR/unlabeled.json (without the chosen images).

examples:
  python tools/analyze.py rank CONFIG --count 10 --out rank --cfg-options data_root=data/nuclei
  python tools/analyze.py rank CONFIG --count 10 --out rank \\
      --predictions work_dirs/RUN/pseudo_labels/predictions
  python tools/analyze.py rank CONFIG --count 10 --out rank --images photos --cold-start
"""

EXPORT_EXAMPLES = """\
This command writes masks without loss, so that a person can correct them:
  label-studio  DIR/tasks.json (brush strokes) and DIR/labeling_config.xml, the configuration of the
                project
  labelme       a json for each image
  cvat          DIR/annotations.xml ("CVAT for images")

With --list, the command writes the listed images. Without --list, it writes all images, and images
whose objects have the lowest mean score come first. To read the corrected labels, use
`tools/prepare_data.py import`.

examples:
  python tools/analyze.py export-labels work_dirs/RUN/pseudo_labels/pseudo_labels.json \\
      --images photos --to label-studio --count 20 --out correct
  python tools/analyze.py export-labels work_dirs/RUN/pseudo_labels/pseudo_labels.json \\
      --images photos --to labelme --list rank/rank.csv --out correct
"""


def pseudo(args: argparse.Namespace) -> None:
    inputs = read_inputs(args.pseudo, args.images, args.labeled, args.truth, args.kind_key)
    summary, noise = write_report(inputs, args.out, args.images_per_tab, args.seed)
    print_summary(summary)
    if noise:
        print_agreement(noise)
    print(f"\nreport: {args.out / 'index.html'}\nnumbers: {args.out / 'analysis.json'}")


def noise(args: argparse.Namespace) -> None:
    names = [name for name, _ in args.predictions]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"the name {name!r} occurs {names.count(name)} times in --predictions; give each "
                "model its own name (NAME=FILE)"
            )
    curves = analyze_models(dict(args.predictions), args.truth, args.min_score, args.common)
    written = write_figures(curves, args.out)
    print_curves(curves)
    if not any(model.reliability for model in curves.values()):
        print("Fig. 6 is not drawn, because it needs a run's raw predictions with soft masks")
    print("\n" + "\n".join(str(path) for path in written))


def compare(args: argparse.Namespace) -> None:
    models: dict[str, str] = dict(
        source if isinstance(source, tuple) else (name, source)
        for name, source in zip("AB", (args.a, args.b), strict=True)
    )
    differences = write_comparison(
        models, args.images, args.out, args.truth, args.min_score, args.limit
    )
    print_comparison(differences, *models)
    print(f"\npage: {args.out / 'index.html'}\nnumbers: {args.out / 'comparison.csv'}")


def plain_configs(args: argparse.Namespace) -> list[Config]:
    """Return the plain MMDetection configs of the stages label, teacher and predict, in this order.

    Files that a run would write to its work directory are written to the folder of --out.
    """
    from nbseg.config.reading import read_config
    from nbseg.engine.stages import stage_config
    from nbseg.engine.work_dir import WorkDir

    config = read_config(args.config, args.cfg_options)
    stages = ("label", "teacher", "predict")
    return [stage_config(config, stage, WorkDir(args.out)) for stage in stages]


def coverage(args: argparse.Namespace) -> None:
    from nbseg.analysis.coverage.page import LIST, write_coverage
    from nbseg.engine.coverage import CANNOT_TELL, examine_coverage
    from nbseg.engine.splitting import split_annotations
    from nbseg.engine.work_dir import WorkDir

    label, teacher, predict = plain_configs(args)
    split_annotations(label, WorkDir(args.out))
    found = examine_coverage(teacher, predict, args.limit)
    if found is None:
        print(CANNOT_TELL)
        return
    write_coverage(found, args.out)
    print(f"coverage: {found.sentence}")
    print(f"\npage: {args.out / 'index.html'}\nlist: {args.out / LIST}")


def rank(args: argparse.Namespace) -> None:
    from nbseg.analysis.ranking.page import TABLE, write_ranking
    from nbseg.engine.ranking import check_outputs, rank_images, split_ranked
    from nbseg.engine.splitting import split_annotations
    from nbseg.engine.work_dir import WorkDir
    from nbseg.errors import StageError

    label, teacher, predict = plain_configs(args)
    splits = (args.out / "labeled.json", args.out / "unlabeled.json")
    if not args.images:
        check_outputs((label, teacher, predict), splits)
    if not (args.images and args.cold_start):
        split_annotations(label, WorkDir(args.out))
    found = rank_images(
        teacher, predict, args.count, args.limit, args.images, args.cold_start, args.predictions
    )
    write_ranking(found, args.out)
    for number, (path, pick) in enumerate(zip(found.paths, found.picks, strict=True), start=1):
        print(f"{number:4} {path}: {found.reason(pick)}")
    print(f"\npage: {args.out / 'index.html'}\ntable: {args.out / TABLE}")
    if args.images:
        return
    try:
        bare = split_ranked(teacher, predict, found, splits)
    except StageError as error:
        print(f"labeled.json and unlabeled.json were not written: {error}")
        return
    print("new jsons: the labeled and the chosen images, and all other images:", *splits)
    if bare:
        print(
            f"warning: the new labeled json contains images without annotations: "
            f"{', '.join(bare)}. If these images show objects, annotate the objects and run this "
            "command again"
        )


def export_labels(args: argparse.Namespace) -> None:
    from nbseg.datasets.exporters.export_labels import export_labels as export

    count, paths = export(
        args.annotations,
        args.images,
        args.to,
        args.out,
        listed=args.list,
        count=args.count,
        url=args.url,
        force=args.force,
    )
    print(f"wrote {count} images:", *paths, *["..."] * (args.to == "labelme" and count > 1))


def named_path(text: str) -> tuple[str, Path]:
    """Split NAME=FILE into the name and the path.

    Raises:
        ArgumentTypeError: the text does not have this form; argparse prints the message.
    """
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, found {text!r}")
    return name, Path(path)


def positive(text: str) -> int:
    """Convert a text to a whole number of at least 1.

    Raises:
        ArgumentTypeError: the text is no such number; argparse prints the message.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def maybe_named(text: str) -> str | tuple[str, str]:
    """Split NAME=SOURCE into name and source; return any other text, such as a path, unchanged.

    A text is a path, although it contains "=", if the file exists or the part before "=" has a "/".
    """
    name, equals, source = text.partition("=")
    if equals and name and source and "/" not in name and not Path(text).exists():
        return name, source
    return text


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = partial(add_command, parser.add_subparsers(required=True, metavar="COMMAND"))

    def add_run_options(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "config", metavar="CONFIG", help="config of the run, with a pretrained backbone"
        )
        command.add_argument(
            "--limit",
            type=positive,
            default=2000,
            metavar="N",
            help="largest number of unlabeled images to examine, evenly spread over all unlabeled "
            "images; memory grows with the square of N (default: %(default)s)",
        )
        add_config_options(command)

    command = add(
        pseudo, "write a report on pseudo-labels; true annotations are optional", PSEUDO_EXAMPLES
    )
    command.add_argument("pseudo", type=Path, metavar="PSEUDO", help="COCO json of pseudo-labels")
    command.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that the file names in PSEUDO are relative to",
    )
    command.add_argument(
        "--truth", type=Path, metavar="JSON", help="COCO json with the true annotations"
    )
    command.add_argument(
        "--labeled",
        type=Path,
        metavar="JSON",
        help="COCO json of the labeled images, to compare their statistics with PSEUDO's",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write the report to"
    )
    command.add_argument(
        "--kind-key",
        default="modality",
        metavar="KEY",
        help="key in the json's image entries that holds the kind of the image, for example the "
        "microscope modality; the report has numbers for each kind (default: %(default)s)",
    )
    command.add_argument(
        "--images-per-tab",
        type=int,
        default=12,
        metavar="N",
        help="largest number of images in a tab of the gallery (default: %(default)s)",
    )
    command.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the random choice of images in the gallery (default: %(default)s)",
    )

    command = add(
        noise,
        "draw Fig. 3 and 6 of the Noisy Boundaries paper for one or more models",
        NOISE_EXAMPLES,
    )
    command.add_argument(
        "--predictions",
        type=named_path,
        nargs="+",
        required=True,
        metavar="NAME=FILE",
        help="name of a model and its predictions; repeat NAME=FILE for each model; all files must "
        "have predictions for the same images",
    )
    command.add_argument(
        "--truth",
        type=Path,
        required=True,
        metavar="JSON",
        help="COCO json with the true annotations",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write the figures to"
    )
    command.add_argument(
        "--min-score",
        type=float,
        default=0.0,
        metavar="S",
        help="lowest score of the predictions to use (default: 0)",
    )
    command.add_argument(
        "--common",
        action="store_true",
        help="count only the true instances that every model finds (default: all true instances)",
    )

    command = add(
        compare,
        "write a page that compares two models on the same images, side by side",
        COMPARE_EXAMPLES,
    )
    command.add_argument(
        "a",
        type=maybe_named,
        metavar="A",
        help="first model, or json of its predictions: [NAME=]SOURCE",
    )
    command.add_argument(
        "b",
        type=maybe_named,
        metavar="B",
        help="second model, or json of its predictions: [NAME=]SOURCE",
    )
    command.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the images; the file names in a json are relative to this folder",
    )
    command.add_argument(
        "--truth", type=Path, metavar="JSON", help="COCO json with the true annotations"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write the page to"
    )
    command.add_argument(
        "--min-score",
        type=float,
        default=0.5,
        metavar="S",
        help="lowest score of the predictions to use (default: %(default)s)",
    )
    command.add_argument(
        "--limit",
        type=int,
        default=24,
        metavar="N",
        help="largest number of images that the page shows (default: %(default)s)",
    )

    command = add(
        coverage, "find unlabeled images of a kind that no labeled image shows", COVERAGE_EXAMPLES
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write the page to"
    )
    add_run_options(command)

    command = add(
        rank, "choose the unlabeled images whose labels would help the most", RANK_EXAMPLES
    )
    command.add_argument(
        "--count", type=positive, required=True, metavar="K", help="number of images to choose"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write the results to"
    )
    command.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        help="raw predictions of a model on the unlabeled images, which a run writes to "
        "pseudo_labels/predictions",
    )
    command.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of images to choose from (default: the unlabeled images of CONFIG)",
    )
    command.add_argument(
        "--cold-start",
        action="store_true",
        help="choose as if no image were labeled",
    )
    add_run_options(command)

    command = add(
        export_labels,
        "write labels as files that labeling tools open",
        EXPORT_EXAMPLES,
        name="export-labels",
    )
    command.add_argument(
        "annotations", type=Path, metavar="JSON", help="COCO json of pseudo-labels or labels"
    )
    command.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that the file names in JSON are relative to",
    )
    command.add_argument(
        "--to",
        choices=TOOLS,
        required=True,
        help="the labeling tool",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write the files to"
    )
    command.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="list of the images to write: a text file with one file name per line, or rank.csv, "
        "which the command `rank` writes (default: all images)",
    )
    command.add_argument(
        "--count", type=positive, metavar="K", help="largest number of images (default: all)"
    )
    command.add_argument(
        "--url",
        metavar="TEXT",
        help="Label Studio: text before the file name in the address of an image, for example "
        "/data/local-files/?d=photos/ (default: the tasks contain the images)",
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="replace files that exist, although they may hold corrections",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
