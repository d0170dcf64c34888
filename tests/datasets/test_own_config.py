"""The config that tools/prepare_data.py init writes."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from own_images import CATEGORIES, indexed, labeled, write_images, write_set
from tool_runs import run_tool

from nbseg.datasets.fingerprint import DEFAULT_ANCHORS
from nbseg.datasets.hold_out import held_out
from nbseg.engine.stages import STAGES, stage_config
from nbseg.image_options import ImageOptions, options_in

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"
GENERIC = TOOL.parents[1] / "configs/generic/noisy-boundaries_mask-rcnn_mobilenet-v2_fpn.py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*options, labels="labeled.json", images="images", out="my.py"):
    """Run the tool; return its status and what it says."""
    said = io.StringIO()
    arguments = ("init", labels, "--images", images, "--out", out, *options)
    return run_tool(TOOL, arguments, said, said), said.getvalue()


def read(path):
    return json.loads(Path(path).read_text())


def names(path):
    return {image["file_name"] for image in read(path)["images"]}


def test_the_config_of_small_objects_runs_unedited(folder):
    status, says = init("--no-upright", out="sub/my.py")
    assert status == 0, says
    assert "10 images of 64 x 48 to 64 x 48 pixels. 11 objects (10 cat, 1 dog); 1 to 2" in says
    assert "train.py sub/my.py" in says and "work_dirs/my/student/student.pth" in says
    # Another process may start in another folder.
    config = Config.fromfile(folder / "sub/my.py")
    assert config.anchor_scales != list(DEFAULT_ANCHORS)
    plain = {stage: stage_config(config, stage, "run") for stage in STAGES}
    part = plain["student"].train_dataloader.dataset.datasets[0]
    assert part.ann_file == str(folder / "sub/my-labeled.json")
    assert part.data_prefix.img == str(folder / "images")
    assert part.metainfo.classes == ["cat", "dog"]
    kinds = [step.type for step in part.pipeline]
    assert kinds[2:4] == ["RandomChoice", "RandomCrop"] and "CutOut" not in kinds
    weak = plain["teacher"].train_dataloader.dataset.dataset.pipeline
    assert [step.type for step in weak] == kinds
    config.train_pipeline = "{strong_pipeline}"
    strong = stage_config(config, "student", "run").train_dataloader.dataset.datasets[0].pipeline
    holes = strong[-2].cutout_shape
    assert strong[-2].type == "CutOut" and holes[2][1] == config.object_size
    flip, transpose = weak[5:7]
    assert flip.prob == 0.75 and len(flip.direction) == 3 and transpose.prob == 0.5
    model = plain["student"].model
    assert model.rpn_head.anchor_generator.scales == config.anchor_scales
    assert model.roi_head.bbox_head.num_classes == 2
    assert (model.test_cfg.rcnn.max_per_img, model.test_cfg.rpn.max_per_img) == (50, 200)
    predicted = plain["predict"].test_dataloader.dataset
    assert predicted.type == "CocoInstanceDataset"
    assert names(predicted.ann_file) == {"11.png", "12.png"}
    assert len(predicted.pipeline[1].transforms[1]) == 4
    assert plain["label"].label.box_threshold == 0.3
    # Two images are set aside; the only image with a dog is not.
    validated = names(plain["student"].test_dataloader.dataset.ann_file)
    kept = names(part.ann_file)
    assert len(validated) == 2 and "1.png" in kept and not validated & kept
    assert validated | kept == names("labeled.json")


def test_the_config_of_large_objects_runs_unedited(tmp_path, monkeypatch):
    write_set(tmp_path, count=3, width=200, height=160, side=140)
    write_images(tmp_path / "more", 1, 70)
    monkeypatch.chdir(tmp_path)
    shutil.copy("labeled.json", "val.json")
    # A validation set of the same images is not refused, but the config says what follows.
    status, says = init(
        "--unlabeled", "more", "--val", "val.json", "--backbone-weights", "val.json"
    )
    assert status == 0 and "Large objects" in says
    warning = "3 of them are also among the labeled images, the first: images/1.png"
    assert warning in says and warning in Path("my.py").read_text().replace("\n# ", " ")
    assert sorted(path.name for path in tmp_path.glob("my*")) == ["my.py"]
    config = Config.fromfile("my.py")
    plain = {stage: stage_config(config, stage, "run") for stage in STAGES if stage != "oracle"}
    weak = plain["teacher"].train_dataloader.dataset.dataset.pipeline
    assert weak[2].type == "RandomResize" and weak[2].scale == (384, 384)
    assert weak[3] == {"type": "Compose", "transforms": []}
    assert plain["student"].test_dataloader.dataset.pipeline[1].scale == (384, 384)
    predicted = plain["predict"].test_dataloader.dataset
    assert predicted.type == "ImageFolderDataset"
    assert predicted.data_prefix.img == str(tmp_path / "more")
    scales, flips = predicted.pipeline[1].transforms[:2]
    assert [scale.scale for scale in scales] == [(384, 384), (538, 538)] and len(flips) == 2
    assert plain["student"].model.backbone.init_cfg.checkpoint == str(tmp_path / "val.json")


def test_sparse_objects_in_large_images_are_warned_of(folder):
    for number in (1, 2):
        cv2.imwrite(str(folder / f"images/{number}.png"), np.zeros((2500, 2500, 3), np.uint8))
    content = labeled([(2500, 2500)], [[(20, 7)]])
    content["annotations"][0] |= {
        "bbox": [1240, 1240, 20, 20],
        "segmentation": [[1240, 1240, 1260, 1240, 1260, 1260, 1240, 1260]],
    }
    Path("sparse.json").write_text(json.dumps(content))
    status, says = init(labels="sparse.json")
    # 2.5% instead of the exact 2.6% of test_fingerprint.py.
    assert status == 0 and "loads about 40 images for each training sample" in says
    assert "Warning: only 2.49% of the crops" in " ".join(Path("my.py").read_text().split("\n# "))


def test_few_labeled_images_are_not_set_aside(folder):
    write_set(folder / "few", count=9)
    status, says = init(labels="few/labeled.json", images="few/images")
    assert status == 0 and "far too high" in says
    text = Path("my.py").read_text()
    assert "val_json = '{labeled_json}'\nval_images = '{train_images}'" in text
    assert f"labeled_json = '{folder / 'few/labeled.json'}'" in text
    assert init("--hold-out", 1, "--force")[0] == 0 and len(names("my-val.json")) == 1


def test_copies_are_held_out_together(folder):
    # The copies are the first images by their hash, but only one image is to be set aside.
    order = sorted(names("labeled.json") - {"1.png"}, key=by_hash)
    shutil.copy(f"images/{order[0]}", f"images/{order[4]}")
    assert init("--hold-out", 1)[0] == 0 and names("my-val.json") == {order[1]}
    assert init("--hold-out", 3, "--force")[0] == 0
    assert names("my-val.json") == {order[0], order[4], order[1]}


def by_hash(name):
    return hashlib.sha256(name.encode()).digest()


def test_an_added_image_changes_the_validation_set_by_at_most_one(tmp_path):
    paths = {number: tmp_path / f"{number}.png" for number in range(1, 36)}
    for number, path in paths.items():
        path.write_bytes(bytes(number))
    before: set[int] = set()
    for count in range(5, 36):
        truth = indexed([(64, 48)] * count, [[(20, 7)]] * count)
        chosen = held_out(truth, 5, dict(list(paths.items())[:count]))
        assert len(chosen) == min(count - 1, 5) and len(before - chosen) <= 1
        before = chosen
    assert chosen == set(sorted(paths, key=lambda number: by_hash(f"{number}.png"))[:5])


def test_a_json_of_unlabeled_images(folder):
    content = labeled([(64, 48)], [[(9, 7)]])
    content["images"][0]["file_name"] = "12.png"
    Path("rest.json").write_text(json.dumps(content))
    assert init("--unlabeled", "rest.json")[0] == 0
    text = Path("my.py").read_text()
    assert f"unlabeled_json = '{folder / 'rest.json'}'" in text
    assert f"unlabeled_folder = '{folder / 'images'}'" in text
    assert "report = dict(hidden_truth='{unlabeled_json}')" in text
    assert not Path("my-unlabeled.json").exists()
    shutil.copy("rest.json", "val.json")
    status, says = init("--unlabeled", "rest.json", "--val", "val.json", "--force")
    assert status == 2 and "1 images are also used for validation, the first: images/12.png" in says


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (250, "twice the number of objects in the fullest labeled image (250)."),
        (251, "that init chooses. The fullest labeled image has 251 objects."),
        (501, "Warning: the model cannot find more than 500 objects in an image"),
    ],
)
def test_the_comment_on_detections_is_true(folder, count, says):
    Path("full.json").write_text(json.dumps(labeled([(64, 48)], [[(20, 7)] * count])))
    status, said = init(labels="full.json")
    assert status == 0 and says in said and Config.fromfile("my.py").max_per_img == 500
    assert ("Warning: the model" in said) == (count > 500)


def test_an_absent_area_is_computed_without_a_warning(folder):
    content = read("labeled.json")
    for annotation in content["annotations"]:
        del annotation["area"]
    # Another problem of the same annotation is still found.
    content["annotations"][3]["bbox"] = [0, 0, 64, 48]
    Path("labeled.json").write_text(json.dumps(content))
    status, says = init()
    assert status == 0 and "'area'" not in says and "11 objects" in says
    assert "warning: labeled.json: 1 boxes" in says


def test_the_next_commands_are_quoted(folder):
    status, says = init(out="my config.py")
    assert status == 0 and "train.py 'my config.py'\n" in says
    assert "infer.py 'my config.py' 'work_dirs/my config/student/student.pth' IMAGES --out" in says


def test_nothing_is_replaced_without_force(folder):
    assert init()[0] == 0
    made = {path.name: path.read_text() for path in folder.glob("my*")}
    assert set(made) == {"my.py", "my-labeled.json", "my-val.json", "my-unlabeled.json"}
    Path("my.py").write_text("# mine")
    status, says = init()
    assert status == 2 and "my.py exists" in says and Path("my.py").read_text() == "# mine"
    Path("my.py").unlink()
    assert "my-labeled.json exists" in init()[1] and not Path("my.py").exists()
    assert init("--force")[0] == 0
    assert {path.name: path.read_text() for path in folder.glob("my*")} == made


def test_the_labels_are_never_replaced(folder):
    before = Path("labeled.json").read_text()
    Path("labeled.json").rename("my-labeled.json")
    status, says = init("--force", labels="my-labeled.json")
    assert status == 2 and "my-labeled.json would be replaced" in says
    # The same file under another name.
    Path("my-val.json").symlink_to("my-labeled.json")
    status, says = init("--force", labels="my-val.json", out="sub/../my.py")
    assert status == 2 and "would be replaced" in says
    assert Path("my-labeled.json").read_text() == before and not Path("my.py").exists()


def test_the_base_is_found_from_anywhere(folder):
    assert init()[0] == 0
    assert f"_base_ = '{GENERIC}'" in Path("my.py").read_text()
    # Within the same source tree, the path is relative, so the tree can be moved.
    copy = folder / "copy"
    shutil.copytree(GENERIC.parents[1], copy / "configs", ignore=shutil.ignore_patterns("README*"))
    from nbseg.datasets.own_config import write_own_config
    from nbseg.datasets.own_data import OwnData

    base = copy / "configs/generic" / GENERIC.name
    data = OwnData(Path("labeled.json"), Path("images"))
    write_own_config(data, copy / "mine/my.py", base)
    copy.rename(folder / "moved")
    assert Config.fromfile(folder / "moved/mine/my.py").num_classes == 2


def spoil(content, key, value):
    content[key] = value


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (dict(labels="missing.json"), "no file missing.json"),
        (dict(images="missing"), "no image folder missing"),
        (dict(out="my.txt"), "must end in .py"),
        (("--unlabeled", "missing"), "no folder or json missing"),
        (("--unlabeled", "labeled.json"), "10 images are also labeled, the first: images/1.png"),
        (("--val", "missing.json"), "no file missing.json"),
        (("--backbone-weights", "missing.pth"), "no file missing.pth"),
        (("--unlabeled-images", "images"), "give this json with --unlabeled"),
        (("--unlabeled", "images", "--unlabeled-images", "images"), "--unlabeled FOLDER alone"),
        (("--val-images", "images"), "give this json with --val"),
        (("--val", "labeled.json", "--hold-out", 2), "remove one of these options"),
        (("--hold-out", 10), "less than the number of labeled images, 10; found 10"),
        (lambda content: spoil(content, "categories", []), "labeled.json: "),
        (lambda content: spoil(content, "annotations", []), "labeled.json: none of the 10 labeled"),
        (lambda content: spoil(content["images"][0], "width", 60), "size differs from the json"),
        (lambda content: spoil(content["images"][0], "file_name", "13.png"), "missing, the first"),
        (lambda content: spoil(content["images"][0], "file_name", "2.png"), "image file names"),
        (lambda content: spoil(content["categories"][0], "name", "a{b}"), "contains {b}"),
    ],
)
def test_bad_input_is_refused_at_once(folder, options, says):
    if callable(options):
        content = read("labeled.json")
        options(content)
        Path("labeled.json").write_text(json.dumps(content))
    keywords = options if isinstance(options, dict) else {}
    status, said = init(*(options if isinstance(options, tuple) else ()), **keywords)
    assert status == 2 and says in said and "Traceback" not in said
    assert not list(folder.glob("my*"))


def test_labeled_images_alone_are_refused(folder):
    for name in ("11.png", "12.png"):
        Path("images", name).unlink()
    status, said = init()
    assert status == 2 and "images has no readable image besides labeled images" in said


def test_a_validation_set_without_a_class_is_refused(folder):
    content = read("labeled.json")
    content |= {"annotations": [], "categories": CATEGORIES[:1]}
    Path("val.json").write_text(json.dumps(content))
    status, said = init("--val", "val.json")
    assert status == 2 and "val.json" in said and "['cat', 'dog']" in said


def write_12_bits(folder):
    """Replace the pictures of ``write_set`` by 12-bit TIFFs."""
    content = read(folder / "labeled.json")
    for number, path in enumerate(sorted((folder / "images").iterdir())):
        values = np.linspace(100, 2000 + 100 * number, 48 * 64).reshape(48, 64)
        tifffile.imwrite(path.with_suffix(".tif"), values.astype(np.uint16))
        path.unlink()
    for image in content["images"]:
        image["file_name"] = Path(image["file_name"]).with_suffix(".tif").name
    (folder / "labeled.json").write_text(json.dumps(content))


def test_the_range_of_values_is_measured_and_written(folder):
    write_12_bits(folder)
    status, says = init()
    assert status == 0, says
    assert "Values: 22 of 22 measured images, labeled and unlabeled, have more than 8 bits" in says
    config = Config.fromfile("my.py")
    low, high = config.image_options.value_range
    assert 100 <= low < 110 and 2900 < high <= 3100
    plain = {stage: stage_config(config, stage, "run") for stage in STAGES}
    wanted = ImageOptions(value_range=(low, high))
    trained, predicted = plain["student"].train_dataloader, plain["predict"].test_dataloader
    for dataset in (*trained.dataset.datasets, predicted.dataset, plain["teacher"].val_dataloader):
        assert options_in(dataset.get("pipeline") or dataset.dataset.pipeline) == wanted


def test_a_given_range_and_channel_are_written(folder):
    write_12_bits(folder)
    status, says = init("--value-range", "0", "4095", "--bands", "0", "--plane", "max")
    assert status == 0, says
    assert Config.fromfile("my.py").image_options == {
        "value_range": (0.0, 4095.0),
        "bands": (0,),
        "plane": "max",
    }
    status, says = init("--bands", "2", "--force")
    assert status == 2 and "has 1 channels, but image_options.bands is (2,)" in says


def test_a_model_for_four_channels(folder):
    content = read(folder / "labeled.json")
    rng = np.random.default_rng(0)
    for path in sorted((folder / "images").iterdir()):
        values = rng.integers(0, [100, 200, 300, 400], (48, 64, 4)).astype(np.uint16)
        tifffile.imwrite(
            path.with_suffix(".tif"),
            values,
            photometric="minisblack",
            extrasamples=[0] * 3,
            planarconfig="contig",
        )
        path.unlink()
    for image in content["images"]:
        image["file_name"] = Path(image["file_name"]).with_suffix(".tif").name
    (folder / "labeled.json").write_text(json.dumps(content))
    status, says = init("--bands", "0", "1", "2", "3", "--value-range", "0", "510")
    assert status == 0, says
    assert "Model: images with 4 channels." in says
    config = Config.fromfile("my.py")
    assert config.model.data_preprocessor.mean == pytest.approx([25, 50, 75, 100], abs=1)
    plain = stage_config(config, "student", "run")
    backbone = plain.model.backbone
    assert backbone.init_cfg.type == "Pretrained" and not plain.model.data_preprocessor.bgr_to_rgb
    backbone = MODELS.build({**backbone, "init_cfg": None})
    assert next(backbone.parameters()).shape[1] == 4
    init_default_scope("mmdet")
    dataset = plain.train_dataloader.dataset.datasets[0]
    dataset.pipeline = dataset.pipeline[:-1]
    sample = DATASETS.build(dataset)[0]
    assert sample["img"].shape[2] == 4 and sample["img"].dtype == np.uint8
