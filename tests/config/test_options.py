"""Options of the command line: merged as MMEngine merges them, or refused with what to set."""

import pytest
from mmengine.config import Config

from nbseg.config.options import override

CONTENT = {
    "head": {"channels": 8, "loss": {"gain": 3.0}},
    "model": {"head": "{head}", "type": "Detector"},
    "pipeline": [{"type": "Load"}, {"type": "Resize", "scale": 2}, "{last}"],
    "teacher": {"head": "{head}"},
}
OPTIONS = {
    "head.loss.gain": 1.0,
    "pipeline.1.scale": 4,
    "model.neck.channels": 16,
    "teacher.head": "{other}",
    "last.scale": 3,
    "load_from": "weights.pth",
}


def test_options_are_merged_as_mmengine_does():
    config, expected = Config(CONTENT), Config(CONTENT)
    override(config, OPTIONS)
    expected.merge_from_dict(OPTIONS)
    assert config.to_dict() == expected.to_dict()
    assert config.head.loss.gain == 1.0 and config.pipeline[1].scale == 4


@pytest.mark.parametrize(
    ("key", "message"),
    [("heads.channels", "did you mean 'head'"), ("percent", "percent would have no effect")],
)
def test_keys_that_nothing_reads_are_refused(key, message):
    config = Config(CONTENT)
    with pytest.raises(ValueError, match=message):
        override(config, {key: 4})
    assert config.to_dict() == CONTENT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.head.channels": 4}, r"model\.head is '\{head\}'; set head\.channels instead"),
        ({"teacher.head.loss.gain": 1}, r"set head\.loss\.gain instead"),
        ({"pipeline.2.scale": 4}, r"pipeline\.2 is '\{last\}'; set last\.scale instead"),
        ({"model.type.name": "X"}, "'Detector'; set model.type as a whole instead"),
        ({"head": "{other}", "head.channels": 4}, r"head is '\{other\}'; set other\.channels"),
    ],
)
def test_parts_of_a_name_are_refused(options, message):
    config = Config(CONTENT)
    with pytest.raises(ValueError, match=message):
        override(config, options)
    assert config.to_dict() == CONTENT
