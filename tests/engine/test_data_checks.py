"""What is refused before any stage runs."""

import pytest
from mmengine.config import Config

from nbseg.engine.data_checks import annotation_files, check_batches, check_data, check_labeled
from nbseg.errors import StageError


def test_annotation_files_of_wrapped_data_sets():
    one = dict(type="CocoDataset", data_root="root", ann_file="a.json")
    two = dict(type="CocoDataset", ann_file="b.json")
    folder = dict(type="ImageFolderDataset", ann_file="", data_prefix=dict(img="images"))
    nested = dict(
        type="ConcatDataset", datasets=[dict(type="RepeatDataset", dataset=one), two, folder]
    )
    assert [str(path) for path in annotation_files(nested)] == ["root/a.json", "b.json"]


def test_absent_data_is_named_and_what_stages_make_is_not(tmp_path):
    made = tmp_path / "pseudo_labels.json"
    dataset = dict(ann_file=str(made), data_prefix=dict(img=str(tmp_path)))
    configs = {"student": Config(dict(train_dataloader=dict(dataset=dataset)))}
    check_data(configs, {made})
    with pytest.raises(FileNotFoundError, match=r"pseudo_labels\.json \(train_dataloader of"):
        check_data(configs, set())


@pytest.mark.parametrize(("size", "ratio"), [(1, [1, 1]), (2, [2, 1]), (3, [1, 3, 1])])
def test_a_batch_without_an_image_of_each_source_is_refused(size, ratio):
    sampler = dict(type="MultiSourceSampler", batch_size=size, source_ratio=ratio)
    with pytest.raises(ValueError, match=f"a batch of {size} at source_ratio"):
        check_batches("student", Config(dict(train_dataloader=dict(sampler=sampler))))


@pytest.mark.parametrize(("size", "ratio"), [(2, [1, 1]), (3, [2, 1]), (4, [1, 3])])
def test_a_batch_with_an_image_of_each_source_is_accepted(size, ratio):
    sampler = dict(type="MultiSourceSampler", batch_size=size, source_ratio=ratio)
    check_batches("student", Config(dict(train_dataloader=dict(sampler=sampler))))


def test_other_classes_and_thresholds_are_refused(tmp_path):
    path = tmp_path / "labeled.json"
    path.write_text(
        '{"images": [], "annotations": [], "categories": '
        '[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}'
    )
    check_labeled({"labeled_json": str(path), "classes": ["cat", "dog"]})
    fixed = {"labeled_json": str(path), "classes": ["cat", "dog"], "pixel_threshold": 0.5}
    check_labeled({**fixed, "box_threshold": 0.7})
    for wrong in ({"box_threshold": "mtach"}, {"pixel_threshold": "mtach"}):
        with pytest.raises(StageError, match="must be \"match\".* found 'mtach'"):
            check_labeled({**fixed, **wrong})
    check_labeled({"labeled_json": str(path), "classes": ["dog", "cat"]})
    with pytest.raises(StageError, match="add the missing categories"):
        check_labeled({"labeled_json": str(path), "classes": ["cat", "cow"]})
