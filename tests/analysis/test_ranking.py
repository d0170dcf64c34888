"""Which unlabeled images to label: the order with hand-made features, and a model's uncertainty."""

import csv

import numpy as np
import pytest

from nbseg.analysis.ranking.order import Pick, pick_images
from nbseg.analysis.ranking.page import RankedImages, write_ranking
from nbseg.analysis.ranking.uncertainty import uncertainties, uncertainty
from nbseg.images import write_image
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore, PredictionWriter


def _kinds(*counts, noise=0.4):
    """Return features of images of several kinds, shape (sum of counts, 100), sorted by kind.

    The first image of each kind is its center.
    """
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(len(counts), 100))
    points = centers.repeat(counts, 0) + generator.normal(0, noise, (sum(counts), 100))
    first = np.cumsum([0, *counts[:-1]])
    points[first] = centers
    return points


def test_missing_kinds_come_first_by_their_centers_the_largest_first():
    images = _kinds(40, 8, 12)
    picks = pick_images(images[1:6], np.delete(images, range(1, 6), 0), 5)
    assert [(pick.image, pick.kind) for pick in picks[:2]] == [(43, 12), (35, 8)]
    assert all(pick.kind == 0 for pick in picks[2:])


def test_without_a_label_every_kind_is_missing():
    images = _kinds(12, 40, 8)
    picks = pick_images(images[:0], images, 4)
    assert [pick.kind for pick in picks] == [40, 12, 8, 0]
    assert [pick.image // 12 for pick in picks[1:3]] == [0, 4] and 12 <= picks[0].image < 52
    assert picks[0].nearest is picks[0].distance is None


def _on_a_line(positions, monkeypatch):
    """Let the features of an image be its position on a line, without any normalization."""
    monkeypatch.setattr(
        "nbseg.analysis.ranking.order.distances_of", lambda x: np.abs(x - x.ravel())
    )
    return np.array(positions, float)[:, None]


def test_the_center_of_a_group_comes_before_an_image_that_resembles_no_other(monkeypatch):
    """The image at 30 is farthest from the label at 0, but would help no other image."""
    labeled, unlabeled = (_on_a_line(x, monkeypatch) for x in ([0], [1, 2, 9, 10, 11, 30]))
    first, second = pick_images(labeled, unlabeled, 2)
    assert first == Pick(3, 0, neighbors=3, nearest=0, distance=10, uncertainty=None)
    assert second.image != 3


def test_the_uncertainty_multiplies_what_an_image_brings(monkeypatch):
    """The centers 5 and 20 bring 8 and 18: by so much the ways of their neighbors shrink."""
    labeled, unlabeled = (_on_a_line(x, monkeypatch) for x in ([0, 30], [4, 5, 6, 19, 20, 21]))
    (pick,) = pick_images(labeled, unlabeled, 1)
    assert pick.image == 4
    (pick,) = pick_images(labeled, unlabeled, 1, np.array([0, 0.9, 0, 0, 0.3, 0]))
    assert (pick.image, pick.uncertainty) == (1, 0.9)
    (pick,) = pick_images(labeled, unlabeled, 1, np.array([0, 0.9, 0, 0, 0.5, 0]))
    assert pick.image == 4


def test_picks_are_not_alike_while_others_are_left(monkeypatch):
    """The links are 2 long, except between the three copies at 10, so picks are 2 apart."""
    labeled, unlabeled = (
        _on_a_line(x, monkeypatch) for x in ([0, 2, 4], [6, 8, 10, 10, 10, 12, 14, 16])
    )
    unsure = np.array([0.01, 0.01, 1, 1, 1, 0.01, 0.01, 0.01])
    order = [pick.image for pick in pick_images(labeled, unlabeled, 8, unsure)]
    assert sorted(order) == list(range(8))
    alike = [place for place, image in enumerate(order) if image in (2, 3, 4)]
    assert alike[0] == 0 and alike[1:] == [6, 7]


@pytest.mark.parametrize("count", [0, -1, 4])
def test_other_counts_are_refused(count):
    with pytest.raises(ValueError, match=f"cannot pick {count} of 3 unlabeled images"):
        pick_images(np.ones((2, 4)), np.ones((3, 4)), count)


@pytest.mark.parametrize(("labeled", "unlabeled"), [(0, 1), (1, 1), (0, 5), (3, 5)])
def test_few_images_and_copies_of_one_image_are_no_error(labeled, unlabeled):
    picks = pick_images(np.ones((labeled, 4)), np.ones((unlabeled, 4)), unlabeled)
    assert sorted(pick.image for pick in picks) == list(range(unlabeled))


def _predictions(number, scores, probability):
    count = len(scores)
    return ImagePredictions(
        number,
        f"{number}.png",
        8,
        8,
        np.zeros((count, 4), np.float32),
        np.array(scores, np.float32),
        np.zeros(count, np.int64),
        np.full((count, 2, 2), round(255 * probability), np.uint8),
    )


def test_the_uncertainty_is_the_entropy_of_scores_times_that_of_masks():
    # A score of 0.5 is one bit; 51 of 255 is a probability of 0.2, which is 0.722 bits.
    assert uncertainty(_predictions(1, [0.5], 0.2)) == pytest.approx(0.721928)
    assert uncertainty(_predictions(1, [0.5, 0.2, 0.05], 0.2)) == pytest.approx(
        (1 + 0.721928) / 2 * 0.721928
    )
    assert uncertainty(_predictions(1, [1.0], 0.2)) == pytest.approx(0, abs=1e-9)
    assert np.isnan(uncertainty(_predictions(1, [0.09], 0.2)))


def test_uncertainties_are_found_by_file_name(tmp_path):
    writer = PredictionWriter(tmp_path, ["thing"])
    writer.append([_predictions(n, s, 0.2) for n, s in enumerate(([0.5], [], [1.0], [0.5]))])
    writer.flush()
    store = PredictionStore(tmp_path)
    found = uncertainties(store, ["3.png", "1.png", "2.png"])
    np.testing.assert_allclose(found, [0.721928, 0.360964, 0], atol=1e-6)
    with pytest.raises(ValueError, match=r"no predictions of 1 of the 2 unlabeled .* a\.png"):
        uncertainties(store, ["a.png", "0.png"])


@pytest.mark.parametrize("labels", [1, 0])
def test_the_table_and_the_page_say_why(tmp_path, labels):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        write_image(path, np.full((8, 8, 3), 90, np.uint8))
    near = (0, 0.5) if labels else (None, None)
    picks = (Pick(1, 4, 3, *near, 0.25), Pick(0, 0, 1, *near, None), Pick(1, 0, 0, *near, None))
    found = RankedImages(tuple(paths[:labels]), tuple(paths[1:]), picks, 7)
    write_ranking(found, tmp_path / "out")
    with (tmp_path / "out" / "rank.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [str(paths[i]) for i in (2, 1, 2)]
    missing, others = (" that no labeled image shows", "labeled or ") if labels else ("", "")
    article = "a" if labels else "an"
    assert [row["reason"] for row in rows] == [
        f"most typical of 4 images of a kind{missing}",
        f"1 unlabeled image is nearer to this image than to any {others}earlier ranked image",
        f"every other unlabeled image is at least as near to {article} {others}earlier ranked "
        "image as to this image",
    ]
    assert rows[0]["distance"] == ("0.5000" if labels else "")
    assert [row["uncertainty"] for row in rows] == ["0.2500", "", ""]
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert page.count("nearest labeled image: 0.png") == 3 * labels
