"""Lists the rows of the tables of the Noisy Boundaries paper, with the paper's values if known.

DA means strong augmentation, NTM the noise-tolerant mask head, and BPM the boundary-preserving map.
A dagger (†) marks rows that are trained with strong augmentation but without unlabeled images. A
section mark (§) marks rows whose box classifier has softmax focal loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

PAPER = "Wang, Li, Wang, CVPR 2022 (arXiv 2203.13427), as repeated by PAIS (arXiv 2308.05359)"
METRICS = {"segm_mAP": "mask AP", "boundary_mAP": "boundary AP"}


@dataclass(frozen=True)
class Row:
    """Describes one line of a table.

    Attributes:
        name: name of the row's folder, and value for ``--rows``.
        title: the row's title in the paper.
        recipe: how the row is trained: ``supervised``, ``student``, ``coarse``, ``coarse-fine``,
            ``fine-coarse-fine``, or ``quoted`` for a method that is not part of nbseg.
        percent: percentage of the training images that are labeled. At 100, the unlabeled images
            come from outside the training set.
        strong: whether strong augmentation is on.
        ntm: whether the mask head is noise-tolerant.
        bpm: how the mask loss weights pixels. None: all pixels alike. ``replicate`` and
            ``zeros``: by the boundary-preserving map with this border. ``distance``: by the
            distance to the predicted boundary. ``released``: all pixels by the same factor, the
            config's ``mask_gain``, as the paper's released code does.
        focal: whether the box classifier has softmax focal loss.
        published: the paper's values in percent by metric; uncertain values are left out.
    """

    name: str
    title: str
    recipe: str
    percent: float = 100
    strong: bool = False
    ntm: bool = False
    bpm: str | None = None
    focal: bool = False
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Describes a table of the paper: its number, title, metrics and rows."""

    number: int
    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


SUPERVISED = Row("supervised", "supervised", "supervised")
SUPERVISED_STRONG = Row("supervised-strong", "supervised†", "supervised", strong=True)
BASELINE = Row("baseline", "baseline", "student")
OURS = Row("ours", "ours", "student", strong=True, ntm=True, bpm="replicate")
OURS_FOCAL = replace(OURS, name="ours-focal", title="ours§", focal=True)


def _by_percent(
    rows: tuple[Row, ...],
    percents: tuple[int, ...],
    published: Mapping[str, Mapping[int, float]],
) -> tuple[Row, ...]:
    """Return a copy of each row for each percentage.

    ``published`` holds the paper's mask AP by row name and percentage.
    """
    return tuple(
        replace(
            row,
            name=f"{row.name}-{percent}",
            percent=percent,
            published=_mask_ap(published.get(row.name, {}).get(percent)),
        )
        for percent in percents
        for row in rows
    )


def _mask_ap(figure: float | None) -> dict[str, float]:
    return {} if figure is None else {"segm_mAP": figure}


CITYSCAPES = Table(
    1,
    "Cityscapes, part of the fine labels",
    ("segm_mAP",),
    _by_percent(
        (SUPERVISED, SUPERVISED_STRONG, BASELINE, OURS, OURS_FOCAL),
        (5, 10, 20, 30, 40),
        {
            "supervised": {5: 11.3, 10: 16.4, 20: 22.6, 30: 26.6},
            "ours": {5: 17.1, 10: 22.1, 20: 29.0, 30: 32.4},
        },
    ),
)
COARSE = Table(
    2,
    "Cityscapes, all fine labels and the coarsely labeled images",
    ("segm_mAP",),
    (
        SUPERVISED,
        SUPERVISED_STRONG,
        Row("coarse", "coarse GT", "coarse"),
        Row("coarse-fine", "coarse finetune", "coarse-fine"),
        Row("fine-coarse-fine", "fine→coarse→fine", "fine-coarse-fine"),
        OURS,
        OURS_FOCAL,
    ),
)
ABLATION = Table(
    3,
    "ablation on Cityscapes, 20% of the fine labels",
    ("segm_mAP", "boundary_mAP"),
    (
        replace(SUPERVISED, percent=20),
        *(
            Row(
                "-".join(name for name, on in switches.items() if on) or "baseline",
                " + ".join(name.upper() for name, on in switches.items() if on) or "baseline",
                "student",
                20,
                strong=switches["da"],
                ntm=switches["ntm"],
                bpm="replicate" if switches["bpm"] else None,
            )
            for switches in (
                {"da": da, "ntm": ntm, "bpm": bpm}
                for da in (False, True)
                for ntm in (False, True)
                for bpm in (False, True)
            )
        ),
        replace(OURS, name="distance", title="BPM by distance", percent=20, bpm="distance"),
        replace(OURS, name="released", title="BPM as released", percent=20, bpm="released"),
        replace(OURS, name="zeros", title="BPM, border of zeros", percent=20, bpm="zeros"),
    ),
)
COCO = Table(
    4,
    "COCO",
    ("segm_mAP",),
    _by_percent(
        (SUPERVISED, SUPERVISED_STRONG, OURS),
        (1, 2, 5, 10, 30, 100),
        {
            "supervised": {1: 3.5, 2: 9.5, 5: 17.3, 10: 21.9},
            "ours": {1: 7.7, 2: 16.3, 5: 24.9, 10: 29.2},
        },
    ),
)
BDD100K = Table(
    5,
    "BDD100K, 7k labeled images",
    ("segm_mAP",),
    (
        SUPERVISED,
        BASELINE,
        OURS,
        Row("boxes", "Mask R-CNN with boxes", "quoted"),
        Row("grabcut", "GrabCut", "quoted"),
        Row("progressive", "Progressive", "quoted"),
        Row("shapeprop", "ShapeProp", "quoted"),
    ),
)
TABLES = {table.number: table for table in (CITYSCAPES, COARSE, ABLATION, COCO, BDD100K)}
