"""COCO jsons have one reader and one writer, and pictures one decoder."""

import ast
import json

import pytest

from nbseg.coco import index_coco, read_coco, read_images, read_results, write_coco

IMAGE = {"id": 1, "file_name": "1.png", "height": 8, "width": 8}
SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]
ANNOTATION = {
    "id": 4,
    "image_id": 1,
    "category_id": 2,
    "bbox": [1, 1, 4, 4],
    "segmentation": SQUARE,
}
CONTENT = {
    "images": [IMAGE],
    "annotations": [ANNOTATION],
    "categories": [{"id": 2, "name": "cat"}],
}


def _calls(repository, module, names):
    """Files of nbseg that call one of the functions ``module.name``."""
    found = set()
    for path in (repository / "nbseg").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and (node.func.value.id, node.func.attr) in {(module, name) for name in names}
            ):
                found.add(path.relative_to(repository / "nbseg").as_posix())
    return found


def test_pictures_are_decoded_in_one_place(repository):
    assert _calls(repository, "cv2", {"imread", "imdecode"}) == {"images.py"}


def test_jsons_of_data_sets_are_parsed_in_one_place(repository):
    parsing = _calls(repository, "json", {"load", "loads"})
    rooms = ("analysis", "datasets", "evaluation", "pseudo", "visualization")
    # coco_json.py parses the first line of a converted json: the record of its sources. geojson.py
    # parses a class that geopandas wrote as a text.
    assert {path for path in parsing if path.split("/")[0] in rooms} == {
        "datasets/converters/coco_json.py",
        "datasets/converters/geojson.py",
    }
    assert "coco.py" not in parsing and "files.py" in parsing


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "cannot be read as json"),
        ('{"images": [], "categories": [], "annotations": [[]]}', r"annotations\[0\] is \[\];"),
        (
            json.dumps({**CONTENT, "images": [{**IMAGE, "id": []}]}),
            "has the id",
        ),
        (json.dumps({**CONTENT, "images": [{**IMAGE, "file_name": 1}]}), "has the file_name 1;"),
        (json.dumps({**CONTENT, "images": [{**IMAGE, "height": 10**400}]}), "whole number of"),
        (json.dumps({"images": [IMAGE], "annotations": [1]}), r"annotations\[0\] is 1;"),
    ],
    ids=lambda text: text[:40],
)
def test_values_of_other_types_are_named(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_coco(path, ("images",))
    assert "a.json" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [IMAGE, IMAGE]}, "a.json: the id 1 occurs 2 times in images"),
        ({"annotations": [{**ANNOTATION, "image_id": 3}]}, "annotation 4 has the image_id 3,"),
        ({"annotations": [{**ANNOTATION, "category_id": 3}]}, "annotation 4 has the category_id 3"),
    ],
)
def test_consistency_is_checked_where_it_is_wanted(tmp_path, change, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**CONTENT, **change}))
    with pytest.raises(ValueError, match=message):
        read_coco(path)
    assert read_coco(path, consistent=False) == {**CONTENT, **change}


def test_only_the_wanted_tables_are_checked(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [IMAGE], "info": {"year": 2022}}))
    assert read_coco(path, ("images",))["info"] == {"year": 2022}
    with pytest.raises(ValueError, match="a.json is not a COCO json: it has no list 'annotations'"):
        read_coco(path)


def test_values_are_kept_where_other_readers_shall_find_them(tmp_path):
    path = tmp_path / "a.json"
    content = {**CONTENT, "images": [{**IMAGE, "height": "8"}]}
    path.write_text(json.dumps(content))
    assert read_coco(path) == CONTENT
    assert read_coco(path, normalized=False) == content


def test_images_are_read_whatever_the_other_tables_are(tmp_path):
    path = tmp_path / "a.json"
    for content in (CONTENT, {"images": [IMAGE]}, {"images": [IMAGE], "annotations": [1]}):
        path.write_text(json.dumps(content))
        assert read_images(path) == [IMAGE]
    for content in ([IMAGE], {"annotations": []}, {"images": {"1": IMAGE}}):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match="a.json is not a COCO json: it has no list 'images'"):
            read_images(path)
    path.write_text(json.dumps({"images": [IMAGE, {"id": 2, "height": 8, "width": 8}]}))
    with pytest.raises(ValueError, match=r"a.json is not.*: images\[1\] has no 'file_name'"):
        read_images(path)


def test_results_are_a_list_or_a_coco_json(tmp_path):
    path = tmp_path / "a.json"
    for content in ([ANNOTATION], CONTENT):
        path.write_text(json.dumps(content))
        assert read_results(path) == content
    path.write_text('"text"')
    with pytest.raises(ValueError, match="a.json is not a COCO json"):
        read_results(path)


def test_masks_are_checked_where_they_are_wanted():
    without = {**ANNOTATION, "id": 5, "segmentation": []}
    content = {**CONTENT, "annotations": [ANNOTATION, without]}
    assert list(index_coco(content, "a.json").anns) == [4, 5]
    coco = index_coco(content, "a.json", masks=True)
    assert list(coco.anns) == [4] and coco.imgToAnns[1] == [ANNOTATION]
    bad = {**CONTENT, "annotations": [{**ANNOTATION, "bbox": [1, 1, 4]}]}
    with pytest.raises(ValueError, match="annotation 4 has the bbox .*four finite numbers"):
        index_coco(bad, "a.json", masks=True)


def test_a_json_is_written_as_entries_come_and_appears_whole(tmp_path):
    path = tmp_path / "new" / "a.json"
    count = 0

    def annotations():
        nonlocal count
        for count in (1, 2):
            yield {"id": count}

    def tables():
        yield "images", [IMAGE]
        yield "annotations", annotations()
        yield "info", {"count": count}

    write_coco(path, tables())
    assert path.read_text() == (
        f'{{"images": {json.dumps([IMAGE])},\n'
        '"annotations": [\n{"id": 1},\n{"id": 2}\n],\n'
        '"info": {"count": 2}}\n'
    )

    def broken():
        yield {"id": 1}
        raise RuntimeError("stop")

    before = path.read_text()
    with pytest.raises(RuntimeError, match="stop"):
        write_coco(path, {"annotations": broken()}.items())
    assert path.read_text() == before and list(path.parent.iterdir()) == [path]
