"""Which models count as an online method."""

import pytest

from nbseg.config.online import published_part

BRANCHES = {"type": "MultiBranchDataPreprocessor"}


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ({"type": "OnlineTeacher", "detector": {}}, "teacher"),
        ({"type": "OnlineTeacher", "detector": {}, "predict_on": "student"}, "student"),
        # MMDetection's own methods are tested and published as a whole.
        ({"type": "SoftTeacher", "detector": {}, "semi_test_cfg": {"predict_on": "student"}}, None),
        ({"type": "MaskRCNN"}, None),
        # A method without a teacher, and an own method with one.
        ({"type": "CSD", "detector": {}, "data_preprocessor": BRANCHES}, "student"),
        (
            {
                "type": "Own",
                "detector": {},
                "predict_on": "teacher",
                "data_preprocessor": BRANCHES,
            },
            "teacher",
        ),
        ({"type": "Tracker", "detector": {}}, None),
    ],
)
def test_the_part_that_is_published(model, part):
    assert published_part(model) == part
