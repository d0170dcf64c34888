"""Whatever a json holds, its readers return a value or a ValueError that names the file."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_mutations import CLASSES, mutated, valid_coco

import nbseg.register  # noqa: F401
from nbseg.analysis.prediction_files import JsonPredictions
from nbseg.coco import category_ids, index_coco, load_coco, read_coco, read_images, read_results
from nbseg.datasets.coco_instances import CocoInstanceDataset
from nbseg.datasets.loading import LoadCroppedAnnotations
from nbseg.engine.preflight.jsons import check_annotations, check_objects, read_checked
from nbseg.pseudo.thresholds import foreground_fraction, instances_per_image

VALID = valid_coco()
RESULTS = [
    {key: row[key] for key in ("image_id", "category_id", "bbox", "segmentation")} | {"score": 0.5}
    for row in VALID["annotations"]
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "content.json"


@contextlib.contextmanager
def refused(path):
    """Accept a ValueError whose message names the file."""
    try:
        yield
    except ValueError as error:
        assert path.name in str(error), error


@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)))
def test_any_bytes(path, content):
    path.write_bytes(content)
    for read in (read_coco, read_results):
        with refused(path):
            read(path)


@given(mutated(VALID), st.booleans())
def test_readers_of_coco_jsons(path, content, masks):
    path.write_text(json.dumps(content))
    with refused(path):
        read_coco(path, ("images",))
    with refused(path):
        read_images(path)
    with refused(path):
        read_coco(path, consistent=False)
    with refused(path):
        truth = load_coco(path, masks)
        categories = category_ids(truth.dataset["categories"], CLASSES, path)
        assert np.isfinite(instances_per_image(truth, categories)).all()


@given(mutated(VALID))
def test_what_the_preflight_accepts_can_be_trained_on(path, content):
    path.write_text(json.dumps(content))
    with refused(path):
        checked = read_checked(path, str(path))
        check_annotations(checked, str(path))
        check_objects(checked, CLASSES, str(path))
        # From here on nothing may fail.
        accepted(path, checked)


def accepted(path, content):
    dataset = CocoInstanceDataset(
        ann_file=str(path),
        metainfo={"classes": CLASSES},
        data_prefix={"img": ""},
        serialize_data=False,
    )
    load = LoadCroppedAnnotations(with_bbox=True, with_mask=True)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        found = load({**info, "ori_shape": (info["height"], info["width"])})
        assert len(found["gt_masks"]) == len(found["gt_bboxes"]) == len(found["gt_ignore_flags"])
    truth = index_coco(content, path, masks=True)
    categories = category_ids(truth.dataset["categories"], CLASSES, path)
    with contextlib.suppress(ValueError):
        assert 0 <= foreground_fraction(truth, categories) <= 1


@given(mutated(RESULTS))
def test_readers_of_results(path, content):
    path.write_text(json.dumps(content))
    truth = index_coco(valid_coco(), "truth.json")
    with refused(path):
        predictions = JsonPredictions(path, truth, path.with_name("truth.json"))
        for image in predictions.images:
            predictions.annotations(image)
