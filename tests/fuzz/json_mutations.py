"""Mutations of a valid json, as hypothesis strategies."""

import copy
import json

from hypothesis import strategies as st
from pycocotools import mask as coco_mask

SIZE = 24, 32
CLASSES = ("star", "leaf")


def valid_coco():
    """Two images with polygons and run lengths of both kinds, a crowd, and two categories."""
    height, width = SIZE
    runs = {"size": [height, width], "counts": [3 * height + 2, 5, height - 5, 5]}
    runs["counts"].append(height * width - sum(runs["counts"]))
    compressed = coco_mask.frPyObjects(runs, height, width)
    masks = [
        [[2, 3, 12.5, 3, 12.5, 14, 2, 14], [15, 2, 20, 2, 20, 8]],
        runs,
        {"size": [height, width], "counts": compressed["counts"].decode()},
    ]
    boxes = [[2, 2, 18, 12], [3, 2, 2, 5], [3, 2, 2, 5]]
    return {
        "info": {"year": 2022},
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": height, "width": width} for n in (1, 2)
        ],
        "annotations": [
            {
                "id": n + 1,
                "image_id": 1 + n % 2,
                "category_id": 3 + n % 2,
                "bbox": boxes[n % 3],
                "area": 10.0 + n,
                "iscrowd": int(n == 4),
                "segmentation": masks[n % 3],
            }
            for n in range(5)
        ],
        "categories": [{"id": 3, "name": "star"}, {"id": 4, "name": "leaf"}],
    }


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# Values that jsons of annotation tools have in the wrong place, and those that parsers trip over.
odd = st.one_of(
    st.sampled_from(
        [
            *(None, True, False, 0, 1, -1, 3, 2**31, 2**53, 2**63, 2**64, -(2**40), 10**400),
            *(0.0, -0.0, 0.5, 1.5, 1e-320, 1e30, -1e30, 1e308),
            *(float("nan"), float("inf"), float("-inf")),
            *("", "1", "3.0", "x", "star", "nan", "inf", "1e400", "\ud800", "\0", "é" * 5),
            *([], [[]], [None], {}, {"id": 1}, {"counts": "", "size": [0, 0]}, nested(50)),
            *([1, 2, 3, 4], ["1", "2", "3", "4"], [[1, 1, 9, 1, 9, 9]], [[1, 1, 1, 1, 1, 1]]),
        ]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)


def _places(value, place=()):
    if place:
        yield place
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _places(part, (*place, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _places(part, (*place, index))


@st.composite
def mutated(draw, valid, most=4):
    """Return a copy of ``valid`` in which 1 to ``most`` entries are replaced, removed or copied."""
    content = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(content))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        parent = content
        for key in way:
            parent = parent[key]
        change = draw(st.sampled_from(("replace", "replace", "remove", "copy", "wrap", "text")))
        if change == "replace":
            parent[last] = copy.deepcopy(draw(odd))
        elif change == "remove":
            del parent[last]
        elif change == "copy":
            # From another place, which may be inside a text: any value may stand anywhere.
            other = content
            for key in draw(st.sampled_from(places)):
                other = other[key]
            parent[last] = copy.deepcopy(other)
        elif change == "wrap":
            parent[last] = [parent[last]]
        else:
            parent[last] = json.dumps(parent[last])
    return content
