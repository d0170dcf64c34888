"""Prepare data sets: generate, convert, split or check them, or write a config for your images."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

from nbseg.commands import add_command
from nbseg.datasets.label_suffixes import FORMATS
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.datasets.splits import write_chosen_split, write_split
from nbseg.image_options import PROJECTIONS, ImageOptions

SHAPES_EXAMPLES = """\
examples:
  python tools/prepare_data.py shapes --out data/shapes
  python tools/prepare_data.py shapes --out data/shapes-large --size 192 --train 5000 --val 500
"""
SPLIT_EXAMPLES = """\
NAME.json is the given file. For each percentage and seed, this command writes two files:
  NAME.SEED@PERCENT.json            the labeled images
  NAME.SEED@PERCENT-unlabeled.json  the unlabeled images, with their annotations for analysis
With --labeled FILE.txt, the two files are NAME.FILE.json and NAME.FILE-unlabeled.json.

examples:
  python tools/prepare_data.py split data/shapes/annotations/instances_train.json \\
      --percent 5 --seed 0 1 2
  python tools/prepare_data.py split data/coco/annotations/instances_train2017.json \\
      --percent 1 2 5 10 --seed 1 --out data/coco/splits
  python tools/prepare_data.py split data/shapes/annotations/instances_train.json \\
      --labeled chosen.txt
"""
CITYSCAPES_EXAMPLES = """\
This command writes OUT/annotations/instancesonly_filtered_gtFine_{train,val}.json. If leftImg8bit
and gtCoarse have train_extra, it also writes instancesonly_filtered_gtCoarse_train_extra.json.

examples:
  python tools/prepare_data.py cityscapes data/cityscapes
  python tools/prepare_data.py cityscapes /mnt/cityscapes --out data/cityscapes --splits train val
"""
COCO_EXAMPLES = """\
This command checks train2017 and val2017. It also writes jsons into OUT/annotations.

If unlabeled2017 exists:
  instances_unlabeled2017.json
If instances_val2014.json exists:
  instances_train2017-val35k.json            the 35k images of train2017 that were in val2014
  instances_train2017-val35k-unlabeled.json  the other images of train2017

examples:
  python tools/prepare_data.py coco data/coco
  python tools/prepare_data.py coco data/coco --val2014 /mnt/coco2014/instances_val2014.json
"""
BDD100K_EXAMPLES = """\
This command writes OUT/annotations/ins_seg_{train,val}.json. If images/100k/train exists, it also
writes det_train_unlabeled.json, which lists the images of images/100k/train that are not in
images/10k.

examples:
  python tools/prepare_data.py bdd100k data/bdd100k
  python tools/prepare_data.py bdd100k data/bdd100k --masks rles
"""
CHECK_EXAMPLES = """\
This command looks for these problems:
  images that are missing or have another size than in JSON
  images that cannot be decoded (all TIFFs and up to 200 other images are decoded)
  ids and names that occur twice, and references to unknown ids
  polygons and RLEs that are invalid, and boxes that do not fit their masks
  annotations that MMDetection drops

The exit code is 2 if a problem is found.

examples:
  python tools/prepare_data.py check my.json --images my/images
  python tools/prepare_data.py check my.json --images my/images --picture samples.jpg
"""
FOLDER_EXAMPLES = """\
examples:
  python tools/prepare_data.py folder my/unlabeled --out my/unlabeled.json --classes cat dog
"""
IMPORT_EXAMPLES = """\
This command reads label images (cellpose, StarDist, napari), COCO jsons of other tools, jsons of
labelme, XML files of CVAT ("CVAT for images"), jsons of Label Studio ("JSON"), GeoJSON in pixels
(QuPath) and text files of YOLO. docs/your_data.md has a table of labeling tools. The masks of the
new json are run lengths (RLE); boxes and areas are computed from the masks. The command reports how
many labels it leaves out.

examples:
  python tools/prepare_data.py import annotations.xml --images my/images --out labeled.json
  python tools/prepare_data.py import my/masks --images my/images --class cell --out labeled.json
  python tools/prepare_data.py import exported.json --crowds --pixel-centers --out labeled.json
"""
TILE_EXAMPLES = """\
The tiles are written to OUT/images, and a COCO json of the tiles to OUT/tiles.json. The part of an
object inside a tile becomes an object of this tile. If this part has less than a quarter of the
object's pixels, and covers less than a quarter of the tile, it becomes a crowd (iscrowd 1), which
training ignores. Cut the unlabeled images, too, so that objects have the same size in labeled and
unlabeled images. To predict large images, use `tools/infer.py --tile`.

examples:
  python tools/prepare_data.py tile slides --annotations labeled.json --out labeled_tiles
  python tools/prepare_data.py tile more_slides --out unlabeled_tiles
"""
NEXT_EXAMPLES = """\
A round is a whole run of tools/train.py. After the round, a person corrects some pseudo-labels.
First convert the corrected labels with `import`, where --images is the folder of the unlabeled
images. The new config derives from CONFIG: the corrected images become labeled images, and the
teacher and the control arm start from the student of the last round. If --out is NAME.py, this
command also writes NAME-corrections.html, which shows the corrections and the AP of all rounds.

examples:
  python tools/prepare_data.py next-round my/config.py --corrected corrected.json \\
      --out my/config-2.py
"""
INIT_EXAMPLES = """\
This command checks and measures the labeled images, and writes a config with comments. By default,
all other images in --images are unlabeled. If there are at least ten labeled images, a fifth of
them is set aside for validation; otherwise none.

examples:
  python tools/prepare_data.py init labeled.json --images images/ --out my_config.py
  python tools/prepare_data.py init labeled.json --images images/ --unlabeled more/ \\
      --val val.json --val-images val/ --no-upright --out my_config.py
"""

GENERIC = (
    Path(__file__).parents[1] / "configs/generic/noisy-boundaries_mask-rcnn_mobilenet-v2_fpn.py"
)

# Each command imports its converter, so that `shapes` needs only numpy and OpenCV.


def shapes(args: argparse.Namespace) -> None:
    options = ShapesOptions(size=args.size, train=args.train, val=args.val, seed=args.seed)
    made = generate_shapes(args.out, options, force=args.force)
    print(f"{args.out}: {'generated' if made else 'already there, not changed'}")


def split(args: argparse.Namespace) -> None:
    drawn = args.percent is not None, args.seed is not None
    if any(drawn) if args.labeled else not all(drawn):
        raise ValueError(
            "expected either both --percent and --seed, or --labeled alone; correct the options"
        )
    if args.labeled:
        # Editors on Windows write a byte order mark.
        names = args.labeled.read_text(encoding="utf-8-sig").splitlines()
        name = f"{args.annotations.stem}.{args.labeled.stem}"
        folder = args.out or args.annotations.parent
        paths = folder / f"{name}.json", folder / f"{name}-unlabeled.json"
        for path in paths:
            if path.exists() and not args.force:
                raise FileExistsError(
                    f"{path} already exists, and its name follows from the name of the list "
                    f"{args.labeled.name}; rename the list, choose another --out, or replace the "
                    "file with --force"
                )
        write_chosen_split([args.annotations], filter(None, map(str.strip, names)), paths)
        print(*paths, sep="\n")
        return
    for seed in args.seed:
        for percent in args.percent:
            for path in write_split(args.annotations, percent, seed, args.out):
                print(path)


def cityscapes(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.cityscapes import convert_cityscapes
    from nbseg.datasets.converters.report import report

    out = _annotations(args)
    report(convert_cityscapes(args.dir, out, args.splits, args.workers, args.force), out)


def coco(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.coco2017 import convert_coco
    from nbseg.datasets.converters.report import report

    out = _annotations(args)
    report(convert_coco(args.dir, out, args.val2014, args.workers, args.force), out)


def bdd100k(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.bdd100k import convert_bdd100k
    from nbseg.datasets.converters.report import report

    out = _annotations(args)
    report(convert_bdd100k(args.dir, out, args.masks, args.workers, args.force), out)


def folder(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.folder import convert_folder
    from nbseg.datasets.converters.report import report

    absolute = Path(os.path.abspath(args.dir))
    out = args.out or absolute.with_name(f"{absolute.name}.json")
    report([convert_folder(args.dir, out, args.classes, args.workers, args.force)], out.parent)


def import_labels(args: argparse.Namespace) -> None:
    import nbseg.built  # noqa: F401
    from nbseg.datasets.converters.import_labels import LabelSource
    from nbseg.datasets.converters.import_labels import import_labels as convert
    from nbseg.datasets.converters.repair import Repairs
    from nbseg.datasets.converters.report import report

    source = LabelSource(
        args.source,
        args.images,
        args.format,
        args.class_name,
        args.parts,
        args.keep_empty,
        Repairs(args.crowds, args.pixel_centers, args.holes),
    )
    report([convert(source, args.out, args.workers, args.force)], args.out.parent)


def check(args: argparse.Namespace) -> None:
    import nbseg.built  # noqa: F401
    from nbseg.datasets.check_coco import check_coco
    from nbseg.datasets.converters.samples import write_samples
    from nbseg.datasets.converters.summary import describe

    options = image_options(args)
    prepared, problems = check_coco(args.annotations, args.images, args.workers, options)
    print(describe(prepared))
    if problems:
        kinds = [f"{len(which)} {kind}, the first: {which[0]}" for kind, which in problems.items()]
        raise ValueError(
            f"{args.annotations}: {'; '.join(kinds)}. The command `import` repairs many problems "
            "of annotations; correct the other problems yourself"
        )
    if args.picture:
        write_samples(prepared, args.picture)
        print(f"  samples: {args.picture}")
    print("  no problems found")


def init(args: argparse.Namespace) -> None:
    import nbseg.built  # noqa: F401
    from nbseg.datasets.own_config import write_own_config
    from nbseg.datasets.own_data import OwnData

    args.image_options = image_options(args)
    data = OwnData(**{name.name: getattr(args, name.name) for name in fields(OwnData)})
    lines = write_own_config(
        data,
        args.out,
        GENERIC,
        upright=args.upright,
        backbone_weights=args.backbone_weights,
        cores=len(os.sched_getaffinity(0)),
        force=args.force,
    )
    tools = os.path.relpath(Path(__file__).parent)
    student = f"work_dirs/{args.out.stem}/student/student.pth"
    print("\n".join(lines))
    train = ["python", f"{tools}/train.py", str(args.out)]
    infer = ["python", f"{tools}/infer.py", str(args.out), student, "IMAGES"]
    print(f"next: {shlex.join(train)}")
    print(f"then: {shlex.join([*infer, '--out', 'predictions/'])}")


def tile(args: argparse.Namespace) -> None:
    import nbseg.built  # noqa: F401
    from nbseg.datasets.converters.report import report
    from nbseg.datasets.converters.tile import cut_tiles

    made = cut_tiles(
        args.dir,
        args.out,
        args.size,
        args.overlap,
        args.annotations,
        args.workers,
        args.force,
        image_options(args),
    )
    report([made], args.out)


def next_round(args: argparse.Namespace) -> None:
    import nbseg.built  # noqa: F401
    from nbseg.config.reading import read_config
    from nbseg.engine.next_round import write_next_round
    from nbseg.engine.work_dir import WorkDir, default_work_dir

    work_dir = args.work_dir or default_work_dir(read_config(args.config), args.config)
    made = write_next_round(
        args.config, WorkDir(work_dir), args.corrected, args.out, force=args.force
    )
    changes = made.changes
    print(
        f"objects: {changes.unchanged} unchanged, {changes.changed} changed, {changes.new} added, "
        f"{changes.deleted} deleted"
    )
    print(f"images: {made.labeled} labeled, {made.unlabeled} unlabeled")
    print("\n".join(f"wrote {path}" for path in made.files))
    train = ["python", f"{os.path.relpath(Path(__file__).parent)}/train.py", str(args.out)]
    print(f"next: {shlex.join(train)}")


def image_options(args: argparse.Namespace) -> ImageOptions:
    chosen = {"value_range": args.value_range, "plane": args.plane}
    if args.bands:
        chosen["bands"] = [int(band) if band.isdecimal() else band for band in args.bands]
    return ImageOptions(**chosen)


def _annotations(args: argparse.Namespace) -> Path:
    folder: Path = args.out or args.dir
    return folder / "annotations"


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = partial(add_command, parser.add_subparsers(required=True, metavar="COMMAND"))

    def add_workers(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--workers",
            type=int,
            default=len(os.sched_getaffinity(0)),
            metavar="N",
            help="number of processes (default: the number of cores)",
        )

    def add_image_options(command: argparse.ArgumentParser, no_range: str) -> None:
        command.add_argument(
            "--value-range",
            type=float,
            nargs=2,
            metavar=("LOW", "HIGH"),
            help="values that become black and white, in images with more than 8 bits per channel "
            f"(default: {no_range})",
        )
        command.add_argument(
            "--bands",
            nargs="+",
            metavar="BAND",
            help="channels to read: numbers from 0, or names that the files store. One channel "
            "becomes gray, three become red, green and blue, and other numbers of channels stay as "
            "they are (default: the first three, or the first of fewer than three)",
        )
        command.add_argument(
            "--plane",
            type=lambda text: text if text in PROJECTIONS else int(text),
            default=0,
            metavar="N|max|mean",
            help="plane to read from files with several pages, focal planes or times: a number "
            "from 0, or the max or mean of all planes (default: 0)",
        )

    command = add(shapes, "generate images of shapes with COCO annotations", SHAPES_EXAMPLES)
    command.add_argument(
        "--out",
        type=Path,
        default=Path("data/shapes"),
        help="folder to create (default: %(default)s)",
    )
    defaults = ShapesOptions()
    for name, text in [
        ("size", "width and height of an image in pixels"),
        ("train", "number of training images"),
        ("val", "number of validation images"),
        ("seed", "seed of all random choices"),
    ]:
        default = getattr(defaults, name)
        command.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    command.add_argument(
        "--force", action="store_true", help="generate the set again, and replace an existing set"
    )

    command = add(
        split, "split a COCO annotation file into labeled and unlabeled images", SPLIT_EXAMPLES
    )
    command.add_argument("annotations", type=Path, metavar="JSON", help="a COCO annotation file")
    command.add_argument(
        "--percent",
        type=float,
        nargs="+",
        metavar="P",
        help="percentages of labeled images; each gives its own split",
    )
    command.add_argument(
        "--seed",
        type=int,
        nargs="+",
        metavar="S",
        help="seeds of the random choice of labeled images; each gives its own split",
    )
    command.add_argument(
        "--labeled",
        type=Path,
        metavar="FILE",
        help="text file with the file names of the labeled images, one per line, instead of "
        "--percent and --seed",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="output folder (default: the folder of JSON)"
    )
    command.add_argument(
        "--force", action="store_true", help="with --labeled: replace files that exist"
    )

    converters = {}
    for run, text, epilog in [
        (cityscapes, "convert Cityscapes to COCO jsons", CITYSCAPES_EXAMPLES),
        (coco, "check COCO 2017 and write the jsons that it lacks", COCO_EXAMPLES),
        (bdd100k, "convert BDD100K to COCO jsons", BDD100K_EXAMPLES),
        (folder, "list a folder of images in a COCO json", FOLDER_EXAMPLES),
    ]:
        command = converters[run] = add(run, text, epilog)
        command.add_argument(
            "dir",
            type=Path,
            metavar="DIR",
            help="folder of images" if run is folder else "folder of the unpacked data set",
        )
        target = (
            ("JSON", "json to write (default: DIR.json, next to DIR)")
            if run is folder
            else ("OUT", "folder in which to create annotations/ (default: DIR)")
        )
        command.add_argument("--out", type=Path, metavar=target[0], help=target[1])
        command.add_argument(
            "--force",
            action="store_true",
            help="write the jsons again, even if they exist",
        )
        add_workers(command)
    converters[cityscapes].add_argument(
        "--splits",
        nargs="+",
        choices=("train", "val", "train_extra"),
        help="splits to convert (default: all that exist)",
    )
    converters[coco].add_argument(
        "--val2014",
        type=Path,
        metavar="JSON",
        help="path of instances_val2014.json (default: the file in DIR/annotations, if it exists)",
    )
    converters[bdd100k].add_argument(
        "--masks",
        choices=("bitmasks", "rles", "polygons"),
        help="format of the masks to read (default: the first of these that exists)",
    )
    converters[folder].add_argument(
        "--classes",
        nargs="+",
        default=(),
        metavar="NAME",
        help="names of the categories to list in the json, with the ids 1, 2, ... (default: none)",
    )

    command = add(
        import_labels,
        "convert the files of a labeling tool to a COCO json",
        IMPORT_EXAMPLES,
        name="import",
    )
    command.add_argument(
        "source", type=Path, metavar="SOURCE", help="file or folder that a labeling tool wrote"
    )
    for name, metavar, text in [
        (
            "images",
            "DIR",
            "folder of the images that the labels were drawn on (default: SOURCE; if SOURCE is a "
            "file, its folder)",
        ),
        ("out", "JSON", "COCO json to write"),
    ]:
        command.add_argument(
            f"--{name}", type=Path, required=name == "out", metavar=metavar, help=text
        )
    command.add_argument(
        "--format",
        choices=FORMATS,
        help="format of SOURCE (default: recognized from the files)",
    )
    command.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="class of all label images, or of shapes without a class (default: each folder of "
        "label images is a class; shapes without a class are left out)",
    )
    for name, text in [
        ("parts", "label images that do not number objects: make each connected part an object"),
        ("keep-empty", "CVAT: keep images without shapes, as labeled images without objects"),
        ("crowds", "COCO: turn each crowd (iscrowd 1) into an ordinary object"),
        ("holes", "COCO: read a polygon inside another polygon of the same object as a hole"),
        ("pixel-centers", "read polygons as outlines through the centers of the border pixels"),
        ("force", "write the json again, even if it exists"),
    ]:
        command.add_argument(f"--{name}", action="store_true", help=text)
    add_workers(command)

    command = add(check, "check a COCO json and its images", CHECK_EXAMPLES)
    command.add_argument("annotations", type=Path, metavar="JSON", help="a COCO annotation file")
    command.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that the file names in JSON are relative to",
    )
    command.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="image file to write; it shows a sample of the images with their annotations",
    )
    add_image_options(command, "the upper 8 bits are read")
    add_workers(command)

    command = add(init, "write a config for your own images", INIT_EXAMPLES)
    command.add_argument("labeled", type=Path, metavar="JSON", help="COCO json of labeled images")
    for name, metavar, text in [
        ("images", "DIR", "folder of the labeled images"),
        ("out", "CONFIG.py", "config to write"),
        (
            "unlabeled",
            "DIR|JSON",
            "unlabeled images (default: the other images in --images)",
        ),
        ("unlabeled-images", "DIR", "folder of the images in --unlabeled JSON (default: --images)"),
        ("val", "JSON", "COCO json of validation images (default: see --hold-out)"),
        ("val-images", "DIR", "folder of the images in --val (default: --images)"),
        ("backbone-weights", "FILE", "ImageNet weights of a MobileNetV2 (default: downloaded)"),
    ]:
        command.add_argument(
            f"--{name}",
            type=Path,
            required=name in ("images", "out"),
            metavar=metavar,
            help=text,
        )
    command.add_argument(
        "--hold-out",
        type=int,
        metavar="N",
        help="largest number of labeled images to set aside for validation, if there is no --val "
        "(default: a fifth of the labeled images if there are at least ten, otherwise 0; with 0, "
        "the models are validated on the labeled images)",
    )
    command.add_argument(
        "--no-upright",
        dest="upright",
        action="store_false",
        help="the images have no upright position: train and predict with turned images, too",
    )
    add_image_options(command, "measured on labeled and unlabeled images")
    command.add_argument("--force", action="store_true", help="replace files that exist")

    command = add(tile, "cut large images and their masks into tiles", TILE_EXAMPLES)
    command.add_argument("dir", type=Path, metavar="DIR", help="folder of the images")
    command.add_argument(
        "--annotations",
        type=Path,
        metavar="JSON",
        help="COCO json of the images to cut (default: cut all images in DIR, without objects)",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="folder to write the tiles to"
    )
    for name, default, text in [
        ("size", 1024, "side of a tile in pixels"),
        ("overlap", 128, "smallest number of pixels that neighboring tiles share"),
    ]:
        command.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    command.add_argument(
        "--force", action="store_true", help="write json and tiles again, even if they exist"
    )
    add_image_options(command, "the upper 8 bits are read")
    add_workers(command)

    command = add(
        next_round,
        "write the config of the next round, in which corrected images are labeled images",
        NEXT_EXAMPLES,
        name="next-round",
    )
    command.add_argument("config", type=Path, metavar="CONFIG", help="config of the last round")
    for name, metavar, text in [
        ("corrected", "JSON", "COCO json of the corrected images, which `import` wrote"),
        ("out", "CONFIG.py", "config to write"),
        (
            "work-dir",
            "DIR",
            "work directory of the last round (default: the same as in tools/train.py)",
        ),
    ]:
        command.add_argument(
            f"--{name}", type=Path, required=name != "work-dir", metavar=metavar, help=text
        )
    command.add_argument("--force", action="store_true", help="replace files that exist")
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
