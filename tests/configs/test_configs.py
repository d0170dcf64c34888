"""Every config that a user may name: it parses, and each of its stages can be built."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as maskUtils
import pytest
import torch
from comparison_methods import OFFLINE, ONLINE, trains_online
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nbseg.config.online import plain_detector
from nbseg.config.plain_config import student_config
from nbseg.datasets.bridge_kinds import BridgeKinds
from nbseg.datasets.transforms import StrongColorAugmentation
from nbseg.engine.stages import STAGES, TRAINING_STAGES, stage_config
from nbseg.models.boundary_preserving_loss import BoundaryPreservingLoss
from nbseg.models.mask_tta import MaskTTAModel
from nbseg.models.noise_tolerant_mask_head import NoiseTolerantMaskHead

pytestmark = pytest.mark.usefixtures("one_thread")

FOLDER = Path(__file__).resolve().parents[2] / "configs"
LEAVES = [
    path.relative_to(FOLDER)
    for path in sorted(FOLDER.rglob("*.py"))
    if FOLDER / "_base_" not in path.parents
]
# Folders of configs whose few labeled images are changed towards other kinds of image.
BRIDGED = {"generic", "nuclei"}


@pytest.fixture(scope="module")
def load():
    """Parse each config once."""
    loaded = {}

    def load(leaf):
        if leaf not in loaded:
            loaded[leaf] = Config.fromfile(FOLDER / leaf)
        return Config(loaded[leaf].to_dict())

    return load


@pytest.fixture(scope="module")
def build():
    """Build each model once."""
    built = {}

    def build(plain):
        text = str(plain.model)
        if text not in built:
            init_default_scope("mmdet")
            with torch.device("meta"):  # no weights: it is the structure that counts
                built[text] = MODELS.build(plain.model)
        return built[text]

    return build


def flat(transform):
    """The transforms inside nested pipelines and branches, in order."""
    branches = getattr(transform, "branch_pipelines", {}).values()
    inner = getattr(transform, "transforms", None) or list(branches)
    return [t for part in inner for t in flat(part)] if inner else [transform]


def bridged_share(dataset):
    """The share of images that are changed towards other kinds, before all other changes."""
    transforms = flat(Compose(dataset.pipeline))
    colors = [t for t in transforms if isinstance(t, BridgeKinds | StrongColorAugmentation)]
    assert isinstance(colors[0], BridgeKinds) and len(colors) <= 2
    return colors[0].probabilities["prob"]


def mask_heads(model):
    heads = model.roi_head.mask_head
    return list(heads) if isinstance(heads, torch.nn.ModuleList) else [heads]


def test_there_are_configs():
    assert {leaf.parts[0] for leaf in LEAVES} >= {"shapes", "coco", "nuclei", "cityscapes"}
    assert Path("shapes/demo.py") in LEAVES


@pytest.mark.parametrize("stage", [*TRAINING_STAGES, "predict"])
@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_every_stage_builds_its_model(load, build, leaf, stage):
    config = load(leaf)
    plain = stage_config(config, stage, "work_dirs/test")
    model = build(plain)
    detector = model.module if stage == "predict" else getattr(model, "student", model)
    assert isinstance(model, MaskTTAModel) == (stage == "predict")
    plain_head = (
        config.mask_head.type != "NoiseTolerantMaskHead"  # the models it is compared with
        or leaf.stem.startswith(OFFLINE)
        or (leaf.stem.startswith(ONLINE) and stage == "student")
    )
    noise_tolerant = stage in ("student", "oracle") and not plain_head
    for head in mask_heads(detector):
        assert isinstance(head, NoiseTolerantMaskHead) == noise_tolerant
        assert isinstance(head.loss_mask, BoundaryPreservingLoss) == noise_tolerant
        assert head.num_classes == len(config.classes) == config.num_classes
    if stage != "predict":
        assert plain.train_cfg.max_iters > 0
        Compose(plain.test_dataloader.dataset.pipeline)
        dataset = plain.train_dataloader.dataset
        for part in dataset.get("datasets") or [dataset]:
            part = part.get("dataset", part)  # of a RepeatDataset
            bridged = 0.5 if stage in ("student", "oracle") else 0.8
            assert bridged_share(part) == (bridged if leaf.parts[0] in BRIDGED else 0)
            assert part.metainfo.classes == config.classes
    else:
        Compose(plain.test_dataloader.dataset.pipeline)


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_the_tools_build_the_trained_student(load, leaf):
    """Testing, export and inference read the config by which the student was trained."""
    trained = stage_config(load(leaf), "student", "run")
    tested = student_config(load(leaf), "run")
    model = plain_detector(trained.model).to_dict()
    # The assigners of online training have no part in predictions.
    assert tested.model.to_dict() == model
    assert tested.test_dataloader == trained.test_dataloader


def test_boxes_of_turned_images_enclose_their_masks(load, tmp_path):
    """STAC's geometry: MMDetection turns the corners of a box and encloses these."""
    config = load(Path("shapes/stac_mask-rcnn_r18-small_fpn_shapes.py"))
    y, x = np.mgrid[:64, :64]
    disk = (y - 30) ** 2 + (x - 28) ** 2 < 15**2
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), disk.astype(np.uint8) * 255)
    ys, xs = np.nonzero(disk)
    box = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
    rle = maskUtils.encode(np.asfortranarray(disk.astype(np.uint8)))
    rle["counts"] = rle["counts"].decode()  # as in a json; MMDetection takes bytes for no mask
    instance = {"bbox": box, "bbox_label": 0, "mask": rle, "ignore_flag": 0}
    init_default_scope("mmdet")
    dataset = stage_config(config, "student", "run").train_dataloader.dataset.datasets[1]
    pipeline = Compose(dataset.pipeline)
    image = {"img_path": str(path), "img_id": 1, "height": 64, "width": 64}
    for seed in range(12):
        np.random.seed(seed)
        packed = pipeline({**copy.deepcopy(image), "instances": [copy.deepcopy(instance)]})
        assert all(abs(side - 64) <= 1 for side in packed["inputs"]["pseudo"].shape[1:])
        found = packed["data_samples"]["pseudo"].gt_instances
        for mask, bbox in zip(found.masks.to_ndarray(), found.bboxes.tensor, strict=True):
            ys, xs = np.nonzero(mask)
            expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert bbox.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_the_control_arm_trains_as_long_as_teacher_and_student(load, leaf):
    iterations = {
        stage: stage_config(load(leaf), stage, "work_dirs/test").train_cfg.max_iters
        for stage in ("control", "teacher", "student")
    }
    assert iterations["control"] == iterations["teacher"] + iterations["student"]


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_command_line_options_reach_every_place(load, leaf):
    config = load(leaf)
    config.merge_from_dict({"data_root": "elsewhere", "percent": 7, "seed": 5, "max_per_img": 13})
    config.merge_from_dict({"bridge_prob": 0.8, "student.bridge_prob": 0.5})
    config.merge_from_dict({"custom_hooks": "{averaged_weights}", "student.ema_momentum": 0.2})
    split = stage_config(config, "label", "run").get("split")
    if split:
        assert split.percent == 7 and split.seed == 5 and split.ann_file.startswith("elsewhere/")
    for stage in STAGES:
        if stage == "label":
            labels = stage_config(config, stage, "run").label
            assert labels.labeled_json.startswith("run/splits/" if split else "elsewhere/")
            assert labels.labeled_json.endswith(".5@7.json") or not split
            continue
        plain = stage_config(config, stage, "run")
        assert plain.randomness.seed == 5
        (hook,) = plain.custom_hooks
        student = stage in ("student", "oracle")
        method = plain.model.type if "detector" in plain.model else None
        online = stage == "student" and trains_online(leaf)
        assert bool(method) == (online or student and leaf.stem.startswith(("stac", "dual")))
        if method == "OnlineTeacher":  # an average of the student's weights
            assert hook.type == "OnlineTeacherHook"
        else:
            assert hook.type == "EMAHook" and hook.momentum == (0.2 if student else 0.01)
        if stage in TRAINING_STAGES:
            dataset = plain.train_dataloader.dataset
            for part in dataset.get("datasets") or [dataset]:
                part = part.get("dataset", part)
                assert bridged_share(part) == (0.5 if student else 0.8)
        assert plain.test_dataloader.dataset.data_prefix.img.startswith("elsewhere/")
    tta_cfg = stage_config(config, "predict", "run").model.tta_cfg
    assert tta_cfg.max_per_img == 13


@pytest.mark.parametrize("head", ["{mask_head}", "{plain_mask_head}"])
@pytest.mark.parametrize("loss", ["{mask_loss}", "{plain_mask_loss}"])
def test_head_and_loss_switch_alone(load, build, head, loss):
    """The four combinations of the paper's ablation, switched as on the command line."""
    config = load(Path("shapes/demo.py"))
    switches = {"mask_head": head, "mask_loss": loss}
    config.merge_from_dict({k: v for k, v in switches.items() if v.startswith("{plain_")})
    (built,) = mask_heads(build(stage_config(config, "student", "run")))
    assert isinstance(built, NoiseTolerantMaskHead) == (head == "{mask_head}")
    assert isinstance(built.loss_mask, BoundaryPreservingLoss) == (loss == "{mask_loss}")
    # The teacher stays as it is.
    (of_teacher,) = mask_heads(build(stage_config(config, "teacher", "run")))
    assert not isinstance(of_teacher, NoiseTolerantMaskHead)
    assert not isinstance(of_teacher.loss_mask, BoundaryPreservingLoss)


@pytest.mark.parametrize(
    ("views", "image", "smallest", "largest"),
    [
        ("tta_cityscapes", (1024, 2048), (624, 1248), (1424, 2848)),
        ("tta_coco", (480, 640), (400, 533), (1200, 1600)),
    ],
)
def test_the_views_of_the_released_code(load, tmp_path, views, image, smallest, largest):
    config = load(Path("coco/noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_coco-street7.py"))
    config.tta_scales = Config.fromfile(FOLDER / "_base_" / f"{views}.py").tta_scales
    pipeline = stage_config(config, "predict", "run").test_dataloader.dataset.pipeline
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.zeros((*image, 3), np.uint8))
    init_default_scope("mmdet")
    packed = Compose(pipeline)({"img_path": str(path), "img_id": 1})
    metas = [sample.metainfo for sample in packed["data_samples"]]
    assert [meta["flip"] for meta in metas] == 9 * [False, True]
    shapes = [meta["img_shape"][:2] for meta in metas[::2]]
    assert shapes[0] == smallest and shapes[-1] == largest
    assert shapes == sorted(shapes) and len(set(shapes)) == 9
