"""The report has numbers for each kind of image that the jsons name."""

import dataclasses
import json

import pytest
from report_files import inputs_of

from nbseg.analysis.matching import Agreement
from nbseg.analysis.noise_analysis import analyze_noise
from nbseg.analysis.pseudo_report import read_inputs, write_report
from nbseg.analysis.pseudo_report.kinds import KindSummary, summarize_kinds


@pytest.fixture
def named(files):
    """Name the kinds in the truth and in the labeled json: images 4 to 6 are night."""
    for name in ("truth", "labeled"):
        content = json.loads(files[name].read_text())
        for image in content["images"]:
            image["light"] = "night" if image["id"] in (4, 5, 6) else "day"
        files[name].write_text(json.dumps(content))
    return files


def test_kinds_have_numbers_of_their_own(named):
    arguments = [named[key] for key in ("pseudo", "folder", "labeled", "truth")]
    inputs = read_inputs(*arguments, kind_key="light")
    expected = (
        KindSummary("day", 2, 1.5, 3, 0, 2.0, Agreement.of(4, 2, 0)),
        KindSummary("night", 0, None, 3, 2, 1 / 3, Agreement.of(0, 1, 2)),
    )
    assert summarize_kinds(inputs, analyze_noise(inputs.pseudo, inputs.truth)) == expected
    summary, _ = write_report(inputs, named["out"])
    assert "No labeled image is of the kind night (3 unlabeled images)" in summary.warnings[-1]
    page = (named["out"] / "index.html").read_text()
    assert '<section id="kinds">' in page and "<th>night</th><td>0</td><td>–</td>" in page
    written = json.loads((named["out"] / "analysis.json").read_text())
    assert written["kinds"] == [dataclasses.asdict(kind) for kind in expected]


def test_without_labels_and_truth_only_the_pseudo_labels_count(named):
    content = json.loads(named["pseudo"].read_text())
    content["images"][0]["modality"] = 3
    named["pseudo"].write_text(json.dumps(content))
    expected = KindSummary("3", None, None, 1, 0, 2.0, None)
    assert summarize_kinds(inputs_of(named), None) == (expected,)


def test_jsons_without_the_key_have_no_kinds(named):
    assert summarize_kinds(inputs_of(named, "labeled", "truth"), None) == ()
