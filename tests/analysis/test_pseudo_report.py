"""Check the report on pseudo-labels."""

import json

import cv2
import numpy as np
import pytest
from report_files import inputs_of
from report_page import Page

from nbseg.analysis.pseudo_report import write_report
from nbseg.analysis.pseudo_report.gallery import choose_tabs, draw_tiles
from nbseg.analysis.pseudo_report.summary import summarize


def page_of(files, *names):
    write_report(inputs_of(files, *names), files["out"], images_per_tab=3)
    return (files["out"] / "index.html").read_text(encoding="utf-8")


def without_info(path):
    content = json.loads(path.read_text())
    del content["info"]
    path.write_text(json.dumps(content))


def test_the_page_is_well_formed_and_needs_nothing_beside_it(files):
    text = page_of(files, "labeled", "truth")
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    assert page.sources and all(s.startswith("data:image/jpeg;base64,") for s in page.sources)
    assert "http" not in text and "url(" not in text and "@import" not in text
    assert "<cat> & co" in page.text
    assert sorted(path.name for path in files["out"].iterdir()) == ["analysis.json", "index.html"]


def test_everything_is_there_with_truth_and_labels(files):
    page = Page(page_of(files, "labeled", "truth"))
    assert {"gallery", "truth", "scores", "counts", "pixels", "worst", "worst-3"} <= set(page.ids)
    assert page.tags["svg"] == 2 + 4
    assert "Not shown" not in page.text
    # Two pictures in each of the three tiles of five tabs.
    assert page.tags["img"] == 2 * 3 * 5


def test_what_is_not_known_is_left_out_and_the_page_says_how_to_get_it(files):
    without_info(files["pseudo"])
    page = Page(page_of(files))
    assert {"gallery", "scores", "counts", "lowest"} <= set(page.ids)
    assert not {"truth", "pixels", "worst"} & set(page.ids)
    assert page.tags["svg"] == 2 + 1
    assert page.tags["img"] == 3 * 4
    for hint in ("--truth", "--labeled", "foreground_at_threshold"):
        assert hint in page.text


def test_the_same_inputs_give_the_same_bytes(files):
    first = page_of(files, "labeled", "truth")
    numbers = (files["out"] / "analysis.json").read_bytes()
    assert page_of(files, "labeled", "truth") == first
    assert (files["out"] / "analysis.json").read_bytes() == numbers


def test_the_summary_counts(files):
    summary = summarize(inputs_of(files, "labeled"))
    assert (summary.images, summary.pseudo_labels, summary.empty_images) == (6, 7, 2)
    assert summary.pseudo_counts == (2, 2, 1, 1)
    # The crowd does not count.
    assert summary.labeled_counts == (0, 1, 1)
    assert summary.labeled_per_image == 1.5
    cat, dog = summary.classes
    assert (cat.pseudo_labels, cat.labeled_per_image, sum(cat.score_histogram)) == (4, 1.5, 2004)
    assert (dog.pseudo_labels, dog.labeled_per_image, dog.counts_candidates) == (3, 0, True)
    assert [warning.split(":")[0] for warning in summary.warnings] == [
        "There are 1.17 pseudo-labels per image but 1.50 instances per labeled image. "
        "Possible reasons",
        "No labeled image has an instance of these classes",
        "The teacher rarely finds objects of these classes",
        "2 of 6 images have no pseudo-label, so the student never sees them.",
    ]


def test_without_candidates_the_histogram_is_that_of_the_pseudo_labels(files):
    without_info(files["pseudo"])
    summary = summarize(inputs_of(files))
    cat, _ = summary.classes
    occupied = {i: n for i, n in enumerate(cat.score_histogram) if n}
    assert occupied == {60: 1, 80: 1, 95: 1, 99: 1}  # the last bin is closed
    assert not cat.counts_candidates
    assert cat.box_threshold is cat.labeled_per_image is None
    assert summary.labeled_per_image is None
    assert [warning.split(":")[0] for warning in summary.warnings] == [
        "2 of 6 images have no pseudo-label, so the student never sees them."
    ]


def test_tabs_hold_the_images_that_their_names_promise(files):
    inputs = inputs_of(files, "truth")
    _, noise = write_report(inputs, files["out"])
    tabs = {tab.name: tab.images for tab in choose_tabs(inputs, noise, 4)}
    # Nothing of 4 and 5 is right; of 4, one more is wrong. 3 has two wrong, 2 only a smaller mask.
    assert tabs["worst"] == (4, 5, 3, 2)
    assert tabs["most"] == (3, 1, 2, 4)
    assert tabs["fewest"] == (5, 6, 2, 4)
    assert tabs["lowest"] == (3, 2, 1, 4)
    assert len(set(tabs["random"])) == 4
    assert tabs == {tab.name: tab.images for tab in choose_tabs(inputs, noise, 4)}
    other_seeds = {choose_tabs(inputs, noise, 4, seed)[-1].images for seed in range(5)}
    assert len(other_seeds) > 1
    analysis = json.loads((files["out"] / "analysis.json").read_text())
    assert analysis["gallery"]["worst"] == [4, 5, 3, 2, 1]
    assert analysis["noise"]["total"]["0.5"]["true_positives"] == 4


def test_a_tile_shows_outlines_of_pseudo_labels_and_truth(files):
    inputs = inputs_of(files, "truth")
    _, noise = write_report(inputs, files["out"])
    (tile,) = draw_tiles(inputs, noise, (5,))
    assert tile.file_name == "a/5.png"
    assert tile.facts == ("0 pseudo-labels", "0 right, 0 wrong, 1 missed", "F1 0.00")
    found, true = tile.pictures["pseudo-labels"], tile.pictures["truth"]
    assert found.shape == true.shape == (480, 640, 3)
    # The image as it is, and with the outline of the square at (8, 8), enlarged ten times.
    assert found.max() < 90
    changed = (true != found).any(axis=2)
    assert changed[80:280, 80].all() and changed[279, 80:280].all()
    assert not changed[100:260, 100:260].any()

    (tile,) = draw_tiles(inputs, noise, (2,))
    assert tile.facts == (
        "1 pseudo-label",
        "score 0.60",
        "1 right, 0 wrong, 0 missed",
        "F1 1.00",
        "mask IoU 0.81",
    )


def test_large_images_are_reduced(files):
    inputs = inputs_of(files)
    inputs.pseudo.imgs[5].update(width=2000, height=1000)
    cv2.imwrite(str(files["folder"] / "a/5.png"), np.full((1000, 2000, 3), 50, np.uint8))
    (tile,) = draw_tiles(inputs, None, (5,))
    assert tile.pictures["pseudo-labels"].shape == (320, 640, 3)
    inputs.pseudo.imgs[5].update(width=1000)
    with pytest.raises(
        ValueError, match="2000 x 1000 pixels, but its .* for an image of 1000 x 1000"
    ):
        list(draw_tiles(inputs, None, (5,)))
    (files["folder"] / "a/5.png").write_text("no image")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        list(draw_tiles(inputs, None, (5,)))


def test_nothing_but_empty_images(files):
    content = json.loads(files["pseudo"].read_text())
    files["pseudo"].write_text(json.dumps({**content, "annotations": []}))
    page = Page(page_of(files, "labeled", "truth"))
    assert "0 right, 0 wrong, 2 missed" in page.text
    assert "No image has a pseudo-label." in page.text


def test_a_gallery_without_images_is_refused(files):
    with pytest.raises(ValueError, match="images_per_tab must be at least 1, found 0"):
        write_report(inputs_of(files), files["out"], images_per_tab=0)
    assert not files["out"].exists()
