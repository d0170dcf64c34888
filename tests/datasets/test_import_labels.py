"""Files of labeling tools, against masks drawn by hand or from the formulas of the shapes."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from tool_runs import run_tool

from nbseg.datasets.converters.brush_rle import encode_brush
from nbseg.datasets.converters.import_labels import LabelSource, import_labels
from nbseg.datasets.converters.label_formats import find_labels
from nbseg.datasets.converters.repair import Repairs

TOOL = Path(__file__).parents[2] / "tools/prepare_data.py"
HEIGHT, WIDTH = 40, 60


def polygon_mask(*points):
    return coco_mask.decode(coco_mask.frPyObjects([sum(map(list, points), [])], HEIGHT, WIDTH))[
        ..., 0
    ]


def centers():
    """Return the coordinates of the pixels' centers, x and y."""
    return np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)


def turned(x, y, angle):
    """Return coordinates along the axes of a shape that is turned clockwise."""
    angle = np.radians(angle)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def ellipse_mask(x, y, a, b, angle):
    columns, rows = centers()
    first, second = turned(columns - x, rows - y, angle)
    return ((first / a) ** 2 + (second / b) ** 2 <= 1).astype(np.uint8)


def block(*areas):
    """Return a mask of blocks (top, bottom, left, right); a negative top cuts the block out."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for top, bottom, left, right in areas:
        mask[abs(top) : bottom, left:right] = top > 0
    return mask


def photos(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def imported(path, images, out, **options):
    """Import, and return the classes and masks of all objects by image, the classes, the notes."""
    made = import_labels(LabelSource(path, images, **options), out, force=True)
    content = json.loads(out.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: image["file_name"] for image in content["images"]}
    found = {name: [] for name in images.values()}
    for each in content["annotations"]:
        mask = coco_mask.decode(each["segmentation"])
        assert each["area"] == mask.sum() and each["iscrowd"] == 0
        found[images[each["image_id"]]].append((names[each["category_id"]], mask))
    return found, list(names.values()), made.notes


def assert_same(found, expected):
    assert [label for label, _ in found] == [label for label, _ in expected]
    for (_, mask), (_, wanted) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mask, wanted)


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><job><labels>
  <label><name>b</name><color>#fff</color><type>any</type><attributes/></label>
  <label><name>a</name><color>#000</color><type>any</type><attributes/></label>
  <label><name>unused</name></label>
</labels></job></meta>
<image id="0" name="sub/x.png" width="60" height="40">
  <mask label="a" source="manual" occluded="0" rle="1, 3, 1, 1" left="5" top="7" width="3"
        height="2" z_order="0"><attribute name="sex">f</attribute></mask>
  <polygon label="b" source="manual" occluded="0" points="10.00,5.00;20.00,5.00;20.00,15.00;10,15"/>
  <box label="b" source="manual" xtl="30" ytl="20" xbr="40" ybr="24" rotation="30.0"/>
  <ellipse label="a" source="manual" cx="30.5" cy="15" rx="9.5" ry="4.0" rotation="20"/>
  <polygon label="a" points="1,1;3,1;3,3;1,3" group_id="4"/>
  <mask label="a" rle="0, 4" left="50" top="30" width="2" height="2" group_id="4"/>
  <polygon label="b" points="1,1;3,1;3,3;1,3" group_id="0"/>
  <polyline label="a" points="1,1;3,1;3,3"/><points label="a" points="1,1"/><tag label="a"/>
</image>
<image id="1" name="empty.png" width="60" height="40"></image>
</annotations>"""


def test_cvat(tmp_path):
    photos(tmp_path / "images", "sub/x.png", "empty.png", "unlabeled.png")
    (tmp_path / "annotations.xml").write_text(CVAT)
    found, classes, notes = imported(
        tmp_path / "annotations.xml", tmp_path / "images", tmp_path / "o"
    )
    painted = block()
    painted[7:9, 5:8] = [[0, 1, 1], [1, 0, 1]]  # row by row: 0 111 0 1
    columns, rows = centers()
    assert classes == ["b", "a", "unused"] and list(found) == ["sub/x.png"]
    expected = [("a", painted), ("b", block((5, 15, 10, 20)))]
    corners = np.array([(-5, -2), (5, -2), (5, 2), (-5, 2)])
    angle = np.radians(30)
    matrix = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    expected += [("b", polygon_mask(*(corners @ matrix + (35, 22)).tolist()))]
    first, second = turned(columns - 35, rows - 22, 30)
    inside = (abs(first) <= 5) & (abs(second) <= 2)
    overlap = (inside & (expected[-1][1] > 0)).sum() / (inside | (expected[-1][1] > 0)).sum()
    assert overlap > 0.85  # COCO's rule for polygons is not that of the centers
    expected += [("a", ellipse_mask(30.5, 15, 9.5, 4, 20))]
    expected += [("a", block((1, 3, 1, 3), (30, 32, 50, 52))), ("b", block((1, 3, 1, 3)))]
    assert_same(found["sub/x.png"], expected)
    assert notes == [
        "images without shapes, left out (--keep-empty keeps them): 1",
        "shapes of the type points, left out: 1",
        "shapes of the type polyline, left out: 1",
        "images without labels, left out: 2",
    ]


def region(kind, number, label, value, origin="manual", size=(HEIGHT, WIDTH)):
    """Return a region as Label Studio 1.23 exports it."""
    labels = {} if label is None else {kind: [label]}
    more = {"from_name": "label", "to_name": "image", "image_rotation": 0, "origin": origin}
    more |= {"original_height": size[0], "original_width": size[1]}
    return {"id": str(number), "type": kind, "value": {**value, **labels}, **more}


def task(name, *annotations, data=None):
    """Return a task; each annotation is its time, whether it was canceled, and its regions."""
    done = [
        {"id": number, "updated_at": time, "was_cancelled": canceled, "result": list(regions)}
        for number, (time, canceled, *regions) in enumerate(annotations)
    ]
    return {"id": 1, "annotations": done, "data": data or {"image": f"/data/upload/1/{name}"}}


def data_url(pixels):
    encoded = cv2.imencode(".png", pixels)[1].tobytes()
    import base64

    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


def percent(*pixels):
    return [(100 * x / WIDTH, 100 * y / HEIGHT) for x, y in pixels]


def test_label_studio(tmp_path):
    photos(tmp_path / "images", "x.png", "sub/y.png", "z.png", "canceled.png", "0a1b2c3d-w.png")
    disk = ellipse_mask(20, 20, 9, 9, 0)
    corner = {"x": 50.0, "y": 50.0, "width": 100 * 12 / WIDTH, "height": 100 * 5 / HEIGHT}
    alpha = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    alpha[..., 3] = disk * 255
    regions = [
        region("brushlabels", 1, "cell", {"format": "rle", "rle": encode_brush(disk > 0)}),
        region(
            "polygonlabels", 2, "cell", {"points": percent((10, 5), (20, 5), (20, 15), (10, 15))}
        ),
        region("rectanglelabels", 3, "box", {**corner, "rotation": 0}),
        region("rectanglelabels", 4, "box", {**corner, "rotation": 40}),
        region(
            "ellipselabels",
            5,
            "cell",
            {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 25},
        ),
        region("bitmasklabels", 6, "cell", {"imageDataURL": data_url(alpha)}),
        region("bitmasklabels", 7, "cell", {"imageDataURL": data_url(disk * 255)}),
        region("brush", 8, None, {"format": "rle", "rle": encode_brush(disk > 0)}),
        region("labels", 8, "separate", {}),
        region("brushlabels", 9, "cell", {"format": "rle", "rle": []}),
        region("brush", 10, None, {"format": "rle", "rle": encode_brush(disk > 0)}),
        region("keypointlabels", 11, "cell", {"x": 1, "y": 1}),
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    square = region("polygonlabels", 1, "cell", {"points": percent((1, 1), (3, 1), (3, 3), (1, 3))})
    tasks = [
        task("0a1b2c3d-x.png", ("2026-01-02", False, *regions), ("2026-01-01", False)),
        task("", ("1", False, square), data={"photo": "/data/local-files/?d=set/sub/y.png"}),
        task("", ("1", False), data={"text": "a", "url": "https://host/z.png?key=1#x"}),
        task("canceled.png", ("2026-01-01", True, *regions)),
        task("0a1b2c3d-w.png", ("2026-01-01", False, square)),
        task("0a1b2c3d-w.png", ("2026-01-02", False, square, square)),
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    found, classes, notes = imported(path, tmp_path / "images", tmp_path / "o.json")
    angle = np.radians(40)
    along, down = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    start = np.array([30, 20])
    rotated = [start, start + 12 * along, start + 12 * along + 5 * down, start + 5 * down]
    expected = [
        ("cell", disk),
        ("cell", block((5, 15, 10, 20))),
        ("box", block((20, 25, 30, 42))),
        ("box", polygon_mask(*(point.tolist() for point in rotated))),
        ("cell", ellipse_mask(30, 20, 12, 4, 25)),
        ("cell", disk),
        ("cell", disk),
        ("separate", disk),
    ]
    assert_same(found["x.png"], expected)
    assert_same(found["sub/y.png"], [("cell", block((1, 3, 1, 3)))])
    assert found["z.png"] == [] and "canceled.png" not in found
    assert [len(found[name]) for name in ("0a1b2c3d-w.png", "sub/y.png")] == [2, 1]
    assert classes == ["box", "cell", "separate"]
    assert notes == [
        "older annotations of the same image, left out: 2",
        "regions of the type choices, left out: 1",
        "regions of the type keypointlabels, left out: 1",
        "regions without a pixel, left out: 1",
        "shapes without a class (--class NAME gives them a class), left out: 1",
        "tasks without an annotation, left out: 1",
        "images without labels, left out: 1",
    ]
    found, _, _ = imported(path, tmp_path / "images", tmp_path / "o.json", class_name="other")
    assert found["x.png"][-1][0] == "other" and len(found["x.png"]) == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"id": 1, "image": "x.png", "label": []}], "no known format"),
        ([{"data": {"image": "x.png"}, "predictions": []}], 'in the format "JSON", not'),
        ([task("z.png", ("1", False))], r"for the image .*z\.png, but .* no image"),
        ([task("", ("1", False), data={"text": "x"})], "the keys text; add the key 'file_name'"),
        (
            [task("x.png", ("1", False, region("brushlabels", 1, "a", {"rle": encode_brush(
                np.ones((WIDTH, HEIGHT), bool))}, size=(WIDTH, HEIGHT))))],
            "of 40 x 60 pixels, but .* has 60 x 40; if the photo",
        ),
        (
            [task("x.png", ("1", False, region("brushlabels", 1, "a", {"rle": encode_brush(
                np.ones((9, 9), bool))})))],
            "region 1 of x.png is a malformed brushlabels .*324 values; expected four for each",
        ),
        (
            [task("x.png", ("1", False, region("bitmasklabels", 1, "a", {
                "imageDataURL": data_url(np.zeros((HEIGHT, WIDTH), np.uint8))})))],
            "black and opaque, so its mask is lost",
        ),
        (
            [task("x.png", ("1", False, region("polygonlabels", 1, "a", {"points": [[1, 1]]})))],
            "region 1 of x.png is a malformed polygonlabels",
        ),
    ],
)  # fmt: skip
def test_files_of_label_studio_that_are_refused(tmp_path, content, message):
    photos(tmp_path, "x.png")
    (tmp_path / "export.json").write_text(json.dumps(content))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        imported(tmp_path / "export.json", tmp_path, tmp_path / "o.json")


def feature(geometry, properties, **more):
    return {"type": "Feature", "geometry": geometry, "properties": properties, **more}


def ring(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def test_geojson(tmp_path):
    """As QuPath 0.5 and geopandas write."""
    photos(tmp_path / "images", "sub/x.tif", "y.png")
    cells = {"objectType": "annotation", "classification": {"name": "cell", "color": [1, 2, 3]}}
    features = [
        feature({"type": "Polygon", "coordinates": [ring(2, 3, 22, 33), ring(5, 6, 9, 12)]}, cells),
        feature(
            {
                "type": "MultiPolygon",
                "coordinates": [[ring(30, 1, 34, 5)], [ring(40, 1, 50, 9), ring(42, 2, 44, 4)]],
            },
            {"classification": '{"name": "other"}'},
        ),
        feature({"type": "Polygon", "coordinates": [ring(50, 30, 70, 50)]}, {"label": "edge"}),
        feature({"type": "Polygon", "coordinates": [ring(1, 1, 3, 3)]}, {}),
        feature({"type": "Point", "coordinates": [1, 1]}, cells),
        feature(None, None),
    ]
    folder = tmp_path / "labels"
    (folder / "sub").mkdir(parents=True)
    collection = {"type": "FeatureCollection", "features": features}
    (folder / "sub/x.geojson").write_text(json.dumps(collection))
    (folder / "y.geojson").write_text(json.dumps(features[:1]))
    found, classes, notes = imported(folder, tmp_path / "images", tmp_path / "o.json")
    first = ("cell", block((3, 33, 2, 22), (-6, 12, 5, 9)))
    both = block((1, 5, 30, 34), (1, 9, 40, 50), (-2, 4, 42, 44))
    assert_same(
        found["sub/x.tif"], [first, ("other", both), ("edge", block((30, HEIGHT, 50, WIDTH)))]
    )
    assert_same(found["y.png"], [first])
    assert classes == ["cell", "edge", "other"]
    assert notes == [
        "features of the type Point, left out: 1",
        "features without a geometry, left out: 1",
        "shapes without a class (--class NAME gives them a class), left out: 1",
    ]


def test_coordinates_of_a_map_are_refused(tmp_path):
    photos(tmp_path, "x.png")
    places = [ring(700000 + x, 5400000, 700005 + x, 5400005) for x in range(3)]
    features = [
        feature({"type": "Polygon", "coordinates": [place]}, {"class": "a"}) for place in places
    ]
    (tmp_path / "x.geojson").write_text(json.dumps(features))
    with pytest.raises(ValueError, match="3 of 3 objects have no pixel in .*those of another imag"):
        imported(tmp_path / "x.geojson", tmp_path, tmp_path / "o.json")


def row(number, *points):
    return " ".join([str(number), *(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in points)])


YAMLS = [
    ("data.yaml", "path: ../set\nnames:\n  0: cell\n  1: box\n"),
    ("data.yaml", "names: ['cell', 'box']\nnc: 2\n"),
    ("classes.txt", "\ufeffcell\nbox\n"),
]


@pytest.mark.parametrize(("file", "names"), YAMLS)
@pytest.mark.parametrize("layout", ["labels/train", "train/labels", ""])
def test_yolo(tmp_path, file, names, layout):
    images = layout.replace("labels", "images")
    x, y = (f"{images}/{name}".lstrip("/") for name in ("x.png", "y.jpg"))
    photos(tmp_path, x, y, "images/val/x.png", "images/z.png")
    square = [(10, 5), (20, 5), (20, 15), (10, 15)]
    labels = tmp_path / layout
    labels.mkdir(parents=True, exist_ok=True)
    rows = [row(1, *square), row(0, (30, 10), (40, 10)), "", row(0, (30, 1), (50, 1), (50, 9))]
    (labels / "x.txt").write_text("\n".join(rows) + "\n")
    (labels / "y.txt").write_text("")
    (tmp_path / file).write_text(names, encoding="utf-8")
    (tmp_path / "README.txt").write_text("A data set.")
    found, classes, notes = imported(tmp_path, None, tmp_path / "o.json")
    triangle = polygon_mask((30, 1), (50, 1), (50, 9))
    assert_same(found[x], [("box", block((5, 15, 10, 20))), ("cell", triangle)])
    assert found[y] == [] and classes == ["cell", "box"]
    assert notes == [
        "rows with a box instead of a polygon, left out: 1",
        "images without labels, left out: 2",
    ]


def test_pixel_centers(tmp_path):
    """Polygons through the centers of border pixels, as supervision writes them, fill them, too."""
    photos(tmp_path, "x.png")
    disk = ellipse_mask(20.5, 20.5, 6, 6, 0)
    (outline,), _ = cv2.findContours(disk, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    (tmp_path / "x.txt").write_text(row(0, *outline[:, 0].tolist()))
    (tmp_path / "classes.txt").write_text("cell")
    plain, _, _ = imported(tmp_path, None, tmp_path / "o.json")
    repairs = Repairs(pixel_centers=True)
    whole, _, _ = imported(tmp_path, None, tmp_path / "o.json", repairs=repairs)
    assert_same(whole["x.png"], [("cell", disk)])
    assert plain["x.png"][0][1].sum() < 0.9 * disk.sum()
    content = feature(
        {"type": "Polygon", "coordinates": [ring(2, 2, 12, 12), ring(4, 4, 8, 8)]}, {"label": "a"}
    )
    (tmp_path / "x.geojson").write_text(json.dumps(content))
    whole, _, _ = imported(tmp_path / "x.geojson", None, tmp_path / "o.json", repairs=repairs)
    assert_same(whole["x.png"], [("a", block((2, 13, 2, 13), (-5, 8, 5, 8)))])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "x.txt",
            "5 0.1 0.1 0.2 0.1 0.2 0.2",
            r"x\.txt: line 1 .*class 5 is not in .*classes\.txt",
        ),
        ("x.txt", "0 10 10 20 10 20 20", "not fractions of the image's sides"),
        ("x.txt", "0 0.1 0.1 0.2", "3 coordinates; expected finite x and y of at least 3 points"),
        ("x.txt", "cell 0.1 0.1", "line 1 is malformed"),
        ("w.txt", "0 0.1 0.1 0.2 0.1 0.2 0.2", r"w\.txt is for the image w, but .* no image"),
        ("x.xml", "<annotations>", "cannot be read as XML"),
        ("x.xml", "<annotation><object/></annotation>", '"CVAT for images 1.1"'),
        ("x.xml", CVAT.replace('"0, 4"', '"0, 3"'), "runs add up to 3 pixels; expected 2 x 2"),
        ("x.xml", CVAT.replace('cx="30.5"', 'cx="nan"'), "cx, cy, rx, ry must be finite numbers"),
        ("x.xml", CVAT.replace('"1,1;3,1;3,3;1,3"', '"1,1;3,1"'), "at least 3 points"),
        ("x.geojson", '{"type": "Polygon"}', "expected a FeatureCollection, a list of"),
        (
            "x.geojson",
            json.dumps([feature({"type": "Polygon"}, {})]),
            "the key 'coordinates' is missing",
        ),
        ("x.json", "[[1]]", "no known format"),
        ("x.zip", "", "unpack archives first"),
    ],
    ids=range(14),
)
def test_malformed_files_are_named(tmp_path, name, text, message):
    photos(tmp_path, "sub/x.png", "empty.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / name).write_text(text)
    (tmp_path / "labels/classes.txt").write_text("cell")
    source = tmp_path / "labels" if name.endswith(".txt") else tmp_path / "labels" / name
    kind = "yolo" if name.endswith(".txt") else None
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        imported(source, tmp_path, tmp_path / "o.json", format=kind)


def test_options_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "x.xml").write_text(CVAT)
    for options, name in [
        ({"parts": True}, "--parts"),
        ({"repairs": Repairs(crowds=True)}, "--crowds"),
        ({"repairs": Repairs(holes=True)}, "--holes"),
    ]:
        with pytest.raises(ValueError, match=f"{name} does not fit .* the format cvat"):
            imported(tmp_path / "x.xml", tmp_path, tmp_path / "o.json", **options)


def test_formats_are_recognized(tmp_path):
    out = tmp_path / "out.json"
    for name, text, expected in [
        ("coco/train/_annotations.coco.json", '{"images": [], "annotations": []}', "coco"),
        ("labelme/a.json", '{"shapes": []}', "labelme"),
        ("qupath/a.json", '{"type": "FeatureCollection", "features": []}', "geojson"),
        ("cvat/annotations.xml", CVAT, "cvat"),
        ("yolo/labels/a.txt", "", "yolo"),
        ("studio/a.json", '[{"data": {}, "annotations": []}]', "label-studio"),
    ]:
        folder = tmp_path / name.split("/")[0]
        photos(folder, "images/a.png")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        assert find_labels(folder, out) == (expected, [tmp_path / name])
        assert find_labels(tmp_path / name, out) == (expected, [tmp_path / name])
    photos(tmp_path / "masks", "a.png", "a_masks.png")
    (tmp_path / "masks/README.txt").write_text("")
    assert find_labels(tmp_path / "masks", tmp_path / "masks/out.json")[0] == "label-images"
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        find_labels(tmp_path / "nothing", out)


def test_the_command(tmp_path):
    def prepare(*arguments):
        said = io.StringIO()
        return run_tool(TOOL, arguments, said, said), said.getvalue()

    photos(tmp_path / "images", "sub/x.png", "empty.png", "unlabeled.png")
    (tmp_path / "annotations.xml").write_text(CVAT)
    command = ["import", tmp_path / "annotations.xml", "--images", tmp_path / "images"]
    command += ["--out", tmp_path / "labeled.json"]
    status, said = prepare(*command)
    assert status == 0 and "6 instances" in said and (tmp_path / "labeled.samples.jpg").is_file()
    status, said = prepare(*command, "--parts")
    assert status == 2 and "--parts does not fit" in said
    assert prepare("check", tmp_path / "labeled.json", "--images", tmp_path / "images")[0] == 0


def cvat_images(*names):
    shape = '<box label="a" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    size = 'width="60" height="40"'
    images = "".join(f'<image name="{name}" {size}>{shape}</image>' for name in names)
    return f"<annotations>{images}</annotations>"


@pytest.mark.parametrize(
    ("given", "files", "expected"),
    [
        ("sub/x.png", ["x.png", "sub/x.png"], "sub/x.png"),
        ("set/sub/x.png", ["x.png", "sub/x.png"], "sub/x.png"),
        ("sub/x.png", ["a/sub/x.png", "sub/x.png"], "sub/x.png"),
        ("x.png", ["x.png", "sub/x.png"], None),
        ("p1/x.png", ["p2/x.png"], None),
        ("x.png", ["p2/x.png"], "p2/x.png"),
        ("C:\\photos\\x.png", ["x.png"], "x.png"),
        ("x", ["x.v2.png"], None),
        ("x.v2", ["x.png"], None),
        ("x.jpg", ["x.png"], "x.png"),
        ("A\u0308.png", ["\u00c4.png"], "\u00c4.png"),
    ],
)
def test_images_are_found_by_the_ends_of_their_paths(tmp_path, given, files, expected):
    photos(tmp_path / "images", *files)
    (tmp_path / "a.xml").write_text(cvat_images(given))
    if expected is None:
        with pytest.raises(FileNotFoundError, match="image"):
            imported(tmp_path / "a.xml", tmp_path / "images", tmp_path / "o.json")
    else:
        found, _, _ = imported(tmp_path / "a.xml", tmp_path / "images", tmp_path / "o.json")
        assert list(found) == [expected]


def test_images_of_cvat_without_shapes(tmp_path):
    photos(tmp_path, "sub/x.png", "empty.png")
    (tmp_path / "a.xml").write_text(CVAT)
    found, _, notes = imported(tmp_path / "a.xml", tmp_path, tmp_path / "o.json")
    assert "empty.png" not in found
    assert "images without shapes, left out (--keep-empty keeps them): 1" in notes
    found, _, _ = imported(tmp_path / "a.xml", tmp_path, tmp_path / "o.json", keep_empty=True)
    assert found["empty.png"] == []


def test_regions_of_label_studio_without_ids(tmp_path):
    """The class of a region counts; a second region with its id is for regions without a class."""
    photos(tmp_path, "x.png")
    square = {"points": percent((1, 1), (3, 1), (3, 3), (1, 3))}
    regions = [region("polygonlabels", 0, label, square) for label in ("a", "b")]
    for each in regions:
        del each["id"]
    regions += [region("polygonlabels", 5, "c", square), region("polygonlabels", 5, "d", square)]
    content = task("x.png", ("1", False, *regions), data={"image": "x.png", "regions": [{"x": 1}]})
    (tmp_path / "x.json").write_text(json.dumps(content))
    found, _, _ = imported(tmp_path / "x.json", tmp_path, tmp_path / "o.json")
    assert [label for label, _ in found["x.png"]] == ["a", "b", "c", "d"]


def test_only_the_newest_annotation_is_counted(tmp_path):
    photos(tmp_path, "x (1).png")
    square = {"points": percent((1, 1), (3, 1), (3, 3), (1, 3))}
    changed = region("polygonlabels", 1, "a", square, "prediction-changed")
    # Label Studio replaces spaces and leaves out brackets in the names of uploads.
    tasks = [task("0a1b2c3d-x_1.png", ("1", False, changed), ("2", False, changed))]
    (tmp_path / "x.json").write_text(json.dumps(tasks))
    found, _, notes = imported(tmp_path / "x.json", tmp_path, tmp_path / "o.json")
    assert len(found["x (1).png"]) == 1 and "changed objects: 1" in notes


@pytest.mark.parametrize(
    "change",
    [{"to_name": "image2"}, {"image_rotation": 90}, {"value": []}, {"original_width": "wide"}],
)
def test_regions_that_are_refused(tmp_path, change):
    photos(tmp_path, "x.png")
    square = {"points": percent((1, 1), (3, 1), (3, 3), (1, 3))}
    regions = [region("polygonlabels", i, "a", square) for i in range(2)]
    regions[1] |= change
    (tmp_path / "x.json").write_text(json.dumps([task("x.png", ("1", False, *regions))]))
    with pytest.raises(ValueError, match=r"x\.json: "):
        imported(tmp_path / "x.json", tmp_path, tmp_path / "o.json")


def test_classes_of_qupath(tmp_path):
    """Derived classes have several names, or a class above."""
    photos(tmp_path, "x.png")
    square = {"type": "Polygon", "coordinates": [ring(1, 1, 5, 5)]}
    parent = {"name": "Positive", "parentClass": {"name": "Tumor"}}
    classes = [{"names": ["Tumor", "Positive"]}, parent, {"name": "Tumor: Positive"}]
    features = [feature(square, {"classification": each}) for each in classes]
    features += [feature({"type": "Polygon", "coordinates": []}, {})]
    (tmp_path / "x.geojson").write_text(json.dumps(features))
    found, known, notes = imported(tmp_path / "x.geojson", tmp_path, tmp_path / "o.json")
    assert known == ["Tumor: Positive"] and len(found["x.png"]) == 3
    assert notes == ["features without coordinates, left out: 1"]
    (tmp_path / "x.geojson").write_text(json.dumps([feature([1], {})]))
    with pytest.raises(ValueError, match=r"properties of features\[0\] are not a json object"):
        imported(tmp_path / "x.geojson", tmp_path, tmp_path / "o.json")


def test_classes_of_yolo(tmp_path):
    photos(tmp_path, "x.png")
    rows = [row(number, (10, 5), (20, 5), (20, 15), (10, 15)) for number in ("2.0", 0)]
    (tmp_path / "x.txt").write_text("\n".join(rows))
    with pytest.raises(FileNotFoundError, match="one class .--class NAME"):
        imported(tmp_path, None, tmp_path / "o.json")
    found, _, _ = imported(tmp_path, None, tmp_path / "o.json", class_name="cell")
    assert [label for label, _ in found["x.png"]] == ["cell", "cell"]
    (tmp_path / "classes.txt").write_text("a\n\nc\n")
    found, _, _ = imported(tmp_path, None, tmp_path / "o.json")
    assert [label for label, _ in found["x.png"]] == ["c", "a"]
    (tmp_path / "data.yml").write_text("names: nucleus")
    with pytest.raises(ValueError, match=r"data\.yml has no list 'names'"):
        imported(tmp_path, None, tmp_path / "o.json")


def test_other_files_beside_the_labels(tmp_path):
    """cellpose's outlines, YOLO's lists of images, licenses and notes hold no labels."""
    photos(tmp_path / "masks", "a.png", "a_cp_masks.png")
    (tmp_path / "masks/a_cp_outlines.txt").write_text("12,34,13,35,14,36\n")
    (tmp_path / "masks/info.json").write_text('{"diameter": 30}')
    assert find_labels(tmp_path / "masks", tmp_path / "o.json")[0] == "label-images"
    photos(tmp_path / "yolo", "images/a.png")
    (tmp_path / "yolo/labels").mkdir()
    (tmp_path / "yolo/labels/a.txt").write_text(row(0, (10, 5), (20, 5), (20, 15), (10, 15)))
    (tmp_path / "yolo/classes.txt").write_text("cell")
    (tmp_path / "yolo/train.txt").write_text("images/a.png\n")
    (tmp_path / "yolo/LICENSE.txt").write_text("CC BY 4.0\n")
    (tmp_path / "yolo/meta.json").write_text("{}")
    for kind in (None, "yolo"):
        found, _, _ = imported(tmp_path / "yolo", None, tmp_path / "o.json", format=kind)
        assert len(found["images/a.png"]) == 1
    photos(tmp_path / "voc", "a.png")
    (tmp_path / "voc/a.xml").write_text("<annotation><object/></annotation>")
    with pytest.raises(ValueError, match="Pascal VOC files have boxes without masks"):
        imported(tmp_path / "voc", None, tmp_path / "o.json", format="cvat")


def test_a_file_to_import_is_not_replaced(tmp_path):
    photos(tmp_path, "x.png")
    path = tmp_path / "x.json"
    for source in (path, tmp_path):
        path.write_text(json.dumps([task("x.png", ("1", False))]))
        with pytest.raises(ValueError, match=r"x\.json is (the|a) file to import"):
            imported(source, tmp_path, path)


def test_shapes_without_an_extent_have_no_pixel(tmp_path):
    photos(tmp_path, "x.png")
    ellipses = "".join(f'<ellipse label="a" cx="9" cy="9" rx="{rx}" ry="5"/>' for rx in (0, -2))
    shapes = ellipses + 2 * '<box label="a" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    content = f'<annotations><image name="x.png">{shapes}</image></annotations>'
    (tmp_path / "x.xml").write_text(content)
    found, _, notes = imported(tmp_path / "x.xml", tmp_path, tmp_path / "o.json")
    assert len(found["x.png"]) == 2
    assert notes == ["objects without a pixel in the image, left out: 2"]
    line = feature({"type": "Polygon", "coordinates": [[[0, 0], [20, 0], [10, 0]]]}, {"label": "a"})
    (tmp_path / "x.geojson").write_text(json.dumps(line))
    repairs = Repairs(pixel_centers=True)
    found, _, _ = imported(tmp_path / "x.geojson", tmp_path, tmp_path / "o.json", repairs=repairs)
    first_row = np.zeros((HEIGHT, WIDTH), np.uint8)
    first_row[0, :21] = 1
    assert_same(found["x.png"], [("a", first_row)])
