"""Kinds of image that no label shows: the rule with hand-made features, and the features."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmdet.models import DetDataPreprocessor
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import nn

from nbseg.analysis.coverage.features import BackboneFeatures
from nbseg.analysis.coverage.page import ImageCoverage, write_coverage
from nbseg.analysis.coverage.rule import coverage
from nbseg.analysis.coverage.space import distances_of, spanning_tree


def _kinds(*counts, noise=0.4):
    """Return features of images of several kinds, shape (sum of counts, 100), sorted by kind."""
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(len(counts), 100))
    points = centers.repeat(counts, 0)
    return points + generator.normal(0, noise, points.shape)


def test_the_kind_without_a_label_is_found():
    images = _kinds(40, 12)
    found = coverage(images[:5], images[5:])
    assert found.uncovered == tuple(range(35, 47))
    assert len(found.kinds) == 1 and sorted(found.kinds[0]) == list(range(35, 47))


def test_one_label_of_a_kind_covers_the_kind():
    images = _kinds(40, 12)
    chosen = np.array([0, 1, 2, 3, 45])
    assert not coverage(images[chosen], np.delete(images, chosen, 0)).kinds


def test_two_missing_kinds_are_told_apart():
    images = _kinds(40, 8, 12)
    first, second = coverage(images[:5], images[5:]).kinds
    assert (sorted(first), sorted(second)) == (list(range(43, 55)), list(range(35, 43)))


@pytest.mark.parametrize("others", [(1,), (2,), (1, 1)])
def test_images_that_resemble_hardly_any_other_are_no_kind(others):
    images = _kinds(40, *others)
    assert not coverage(images[:5], images[5:]).kinds


def test_images_without_kinds_are_covered():
    images = np.random.default_rng(1).normal(size=(120, 30))
    assert not coverage(images[:3], images[3:]).kinds


def test_the_unit_and_the_mean_of_a_feature_do_not_matter():
    images = _kinds(40, 12)
    scaled = images * np.geomspace(1e-3, 1e3, 100) + np.linspace(-5, 5, 100)
    constant = np.hstack([scaled, np.full((52, 1), 7.0)])
    found, same = (coverage(i[:5], i[5:]) for i in (images, constant))
    assert same.kinds == found.kinds
    np.testing.assert_allclose(same.distance, found.distance, atol=1e-6)


def test_the_first_image_of_a_kind_is_its_center():
    images = _kinds(40, 9)
    images[44] = images[40:].mean(0)
    assert coverage(images[:5], images[5:]).kinds[0][0] == 39


def test_the_nearest_labeled_image_of_a_copy_is_its_original():
    images = _kinds(20, 20, 20)
    found = coverage(images[::2], images[[8, 30, 58]])
    assert found.nearest.tolist() == [4, 15, 29]
    np.testing.assert_allclose(found.distance, 0, atol=1e-6)


@pytest.mark.parametrize("labeled", [1, 2, 60])
def test_a_single_image_and_copies_of_one_image_are_no_error(labeled):
    images = _kinds(70)
    assert not coverage(images[:labeled], images[69:]).kinds
    assert not coverage(np.ones((labeled, 4)), np.ones((5, 4))).kinds


@pytest.mark.parametrize("shapes", [((0, 4), (5, 4)), ((2, 4), (5, 3)), ((2,), (5, 2))])
def test_features_of_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="found"):
        coverage(*map(np.ones, shapes))


def test_the_spanning_tree_is_minimal():
    distances = distances_of(np.random.default_rng(2).normal(size=(60, 3)))
    parents, lengths, order = spanning_tree(distances)
    assert lengths[order[1:]].sum() == pytest.approx(minimum_spanning_tree(distances).sum())
    assert all(parents[image] in order[:step] for step, image in enumerate(order) if step)


@pytest.fixture
def features():
    """Features of a backbone whose only map is the image itself, in the order RGB."""
    backbone = nn.Sequential()
    backbone.forward = lambda images: (images,)
    preprocessor = DetDataPreprocessor(
        [10, 20, 30], [1, 2, 4], pad_size_divisor=32, bgr_to_rgb=True
    )
    return BackboneFeatures(
        SimpleNamespace(data_preprocessor=preprocessor, backbone=backbone, eval=lambda: None)
    )


def test_features_are_means_and_deviations_of_the_maps(features):
    pixels = np.zeros((224, 256, 3), np.uint8)
    pixels[:, :128] = 40, 60, 90  # blue, green, red
    expected = [45 - 10, 15 - 20 / 2, 5 - 30 / 4, 45, 15, 5]
    np.testing.assert_allclose(features(pixels), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(31, 47), (500, 300), (40, 4000)])
def test_images_of_any_size_have_features_without_padding(features, size):
    pixels = np.full((*size, 3), 30, np.uint8)
    np.testing.assert_allclose(features(pixels), [20, 5, 0, 0, 0, 0], atol=1e-5)


def test_the_page_shows_a_missing_kind_beside_the_nearest_labeled_images(features, tmp_path):
    generator = np.random.default_rng(3)
    paths = [tmp_path / f"{number:02d}.png" for number in range(24)]
    for number, path in enumerate(paths):
        level, contrast = (200, 4) if number >= 18 else (60, 30)
        pixels = generator.normal(level, contrast, (48, 64, 3)).clip(0, 255).astype(np.uint8)
        assert cv2.imwrite(str(path), pixels + generator.integers(8, dtype=np.uint8))
    (tmp_path / "broken.png").write_bytes(b"")
    labeled, of_labeled = features.of_files(paths[:4])
    unlabeled, of_unlabeled = features.of_files([*paths[4:], tmp_path / "broken.png"])
    assert unlabeled == paths[4:]
    result = coverage(of_labeled, of_unlabeled)
    found = ImageCoverage(tuple(labeled), tuple(unlabeled), result, 30)
    write_coverage(found, tmp_path / "page")
    listed = (tmp_path / "page" / "uncovered.txt").read_text().splitlines()
    assert sorted(listed) == [str(path) for path in paths[18:]]
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.count("data:image/jpeg") == 6
    nearest = paths[result.nearest[result.kinds[0][0]]].name
    assert f"nearest labeled image: {nearest}" in page
    assert found.sentence.startswith(
        "6 of 20 examined images (evenly chosen from 30 unlabeled images) are of a kind"
    )
