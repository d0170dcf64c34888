"""Lists the rows of the tables of the Noisy Boundaries paper, with the paper's values.

DA means strong augmentation, NTM the noise-tolerant mask head, and BPM the boundary-preserving map.
A dagger (†) marks rows that are trained with strong augmentation but without unlabeled images. A
section mark (§) marks rows whose box classifier has softmax focal loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nbseg.experiments import paper_figures

METRICS = {
    "segm_mAP": "mask AP",
    "segm_mAP_50": "mask AP50",
    "segm_mAP_75": "mask AP75",
    "boundary_mAP": "boundary AP",
}


@dataclass(frozen=True)
class Row:
    """Describes one line of a table.

    Attributes:
        name: name of the row's folder, and value for ``--rows``.
        title: the row's title in the paper.
        recipe: how the row is trained. ``supervised``: on labeled images alone. ``student``: on
            labels and pseudo-labels. ``coarse``: on fine and coarse labels together.
            ``coarse-fine`` and ``fine-coarse-fine``: on one kind of labels after the other, in the
            order of the name.
            ``method``: by a method that nbseg is compared with. ``quoted``: not at all, because
            the method is not part of nbseg.
        percent: percentage of the training images that are labeled. At 100, the unlabeled images
            come from outside the training set.
        strong: whether strong augmentation is on.
        ntm: whether the mask head is noise-tolerant.
        bpm: how the mask loss weights pixels. None: all pixels alike. ``replicate`` and
            ``zeros``: by the boundary-preserving map with this border. ``distance``: by the
            distance to the predicted boundary. ``released``: all pixels by the same factor, the
            config's ``mask_gain``, as the paper's released code does.
        other_gain: whether ``mask_gain``, the mean weight of a pixel in the mask loss, has the
            value ``Setup.other_gain`` instead of the value in the config.
        focal: whether the box classifier has softmax focal loss.
        published: the paper's values in percent by metric.
        method: if the recipe is ``method``, the name of the method; otherwise empty. The file names
            of the method's configs start with this name.
    """

    name: str
    title: str
    recipe: str
    percent: float = 100
    strong: bool = False
    ntm: bool = False
    bpm: str | None = None
    other_gain: bool = False
    focal: bool = False
    published: Mapping[str, float] = field(default_factory=dict)
    method: str = ""


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
DATA_DISTILLATION = Row("data-distillation", "DD", "method", method="data-distillation")
METHODS = (
    DATA_DISTILLATION,
    Row("stac", "STAC", "method", method="stac"),
    Row("csd", "CSD", "method", method="csd"),
    Row("unbiased-teacher", "Ubteacher", "method", method="unbiased-teacher"),
    Row("cct", "CCT", "method", method="cct"),
    Row("dual-branch", "Dual-branch", "method", method="dual-branch"),
)


def _by_percent(
    rows: tuple[Row, ...],
    percents: tuple[int, ...],
    published: Mapping[str, tuple[float, ...]],
) -> tuple[Row, ...]:
    """Return a copy of each row for each percentage of labeled images.

    ``published`` holds, for each row name, the paper's mask AP at each of the ``percents``.
    """
    return tuple(
        replace(
            row,
            name=f"{row.name}-{percent}",
            percent=percent,
            published={"segm_mAP": published[row.name][place]},
        )
        for place, percent in enumerate(percents)
        for row in rows
    )


def _with_figures(
    rows: tuple[Row, ...], metrics: tuple[str, ...], published: Mapping[str, tuple[float, ...]]
) -> tuple[Row, ...]:
    """Return copies of the rows with the values that the paper prints for the metrics.

    ``published`` holds these values by row name. A row that the paper does not have gets no values.
    """
    return tuple(
        replace(row, published=dict(zip(metrics, published.get(row.name, ()), strict=False)))
        for row in rows
    )


CITYSCAPES = Table(
    1,
    "Cityscapes, part of the fine labels",
    ("segm_mAP", "boundary_mAP"),
    _by_percent(
        (SUPERVISED, SUPERVISED_STRONG, *METHODS, BASELINE, OURS, OURS_FOCAL),
        paper_figures.CITYSCAPES_PERCENTS,
        paper_figures.CITYSCAPES,
    ),
)
COARSE = Table(
    2,
    "Cityscapes, all fine labels and the coarsely labeled images",
    ("segm_mAP", "segm_mAP_50", "segm_mAP_75"),
    _with_figures(
        (
            SUPERVISED,
            SUPERVISED_STRONG,
            Row("coarse", "coarse GT", "coarse"),
            Row("coarse-fine", "coarse finetune", "coarse-fine"),
            Row("fine-coarse-fine", "fine→coarse→fine", "fine-coarse-fine"),
            OURS,
            OURS_FOCAL,
        ),
        ("segm_mAP", "segm_mAP_50", "segm_mAP_75"),
        paper_figures.COARSE,
    ),
)
ABLATION = Table(
    3,
    "ablation on Cityscapes, 30% of the fine labels",
    ("segm_mAP", "boundary_mAP"),
    _with_figures(
        (
            replace(SUPERVISED, percent=30),
            replace(SUPERVISED_STRONG, percent=30),
            *(
                Row(
                    "-".join(name for name, on in switches.items() if on) or "baseline",
                    " + ".join(name.upper() for name, on in switches.items() if on) or "baseline",
                    "student",
                    30,
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
            replace(OURS, name="distance", title="BPM by distance", percent=30, bpm="distance"),
            replace(OURS, name="released", title="BPM as released", percent=30, bpm="released"),
            replace(OURS, name="zeros", title="BPM, border of zeros", percent=30, bpm="zeros"),
            replace(OURS, name="gain", title="BPM, other gain", percent=30, other_gain=True),
            replace(
                OURS,
                name="released-gain",
                title="BPM as released, other gain",
                percent=30,
                bpm="released",
                other_gain=True,
            ),
            replace(SUPERVISED, name="supervised-100"),
            replace(SUPERVISED_STRONG, name="supervised-strong-100"),
        ),
        ("segm_mAP", "boundary_mAP"),
        paper_figures.ABLATION,
    ),
)
COCO = Table(
    4,
    "COCO",
    ("segm_mAP",),
    _by_percent(
        (SUPERVISED, SUPERVISED_STRONG, DATA_DISTILLATION, OURS),
        paper_figures.COCO_PERCENTS,
        paper_figures.COCO,
    ),
)
BDD100K = Table(
    5,
    "BDD100K, 7k images with mask labels, 67k others",
    ("segm_mAP",),
    _with_figures(
        (
            SUPERVISED,
            Row("boxes", "Mask R-CNN with the boxes of the 67k", "quoted"),
            Row("grabcut", "GrabCut with these boxes", "quoted"),
            Row("progressive", "Progressive with these boxes", "quoted"),
            Row("shapeprop", "ShapeProp with these boxes", "quoted"),
            BASELINE,
            OURS,
        ),
        ("segm_mAP",),
        paper_figures.BDD100K,
    ),
)
TABLES = {table.number: table for table in (CITYSCAPES, COARSE, ABLATION, COCO, BDD100K)}
