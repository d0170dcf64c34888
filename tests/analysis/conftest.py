"""Provide the input files of a report."""

import cv2
import numpy as np
import pytest
from report_files import CATEGORIES, HEIGHT, WIDTH, image, square, write


@pytest.fixture
def files(tmp_path):
    """Write pseudo-labels and truth of six images, and a labeled set of two other images."""
    folder = tmp_path / "images"
    generator = np.random.default_rng(0)
    (folder / "a").mkdir(parents=True)
    for number in range(1, 7):
        pixels = generator.integers(60, 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"a/{number}.png"), pixels)
    truth = [square(n, 9, 8, 8, 20) for n in range(1, 6)] + [square(1, 4, 40, 10, 16)]
    pseudo = [
        square(1, 9, 8, 8, 20, score=0.95),
        square(1, 4, 40, 10, 16, score=0.9),
        square(2, 9, 8, 8, 18, score=0.6),
        square(3, 9, 9, 9, 20, score=0.8),
        square(3, 4, 40, 10, 16, score=0.3),
        square(3, 4, 40, 30, 10, score=0.4),
        square(4, 9, 36, 20, 20, score=1.0),
    ]
    histogram = [0] * 100
    histogram[30], histogram[95], histogram[99] = 2000, 3, 1
    known = {"box_threshold": 0.3, "labeled_per_image": 1.0, "pseudo_per_image": 0.5}
    info = {
        "pixel_threshold": 0.4,
        "labeled_foreground_fraction": 0.7,
        "classes": {c["name"]: {**known, "score_histogram": histogram} for c in CATEGORIES},
        "foreground_at_threshold": [1 - v / 255 for v in range(256)],
    }
    labeled = [square(11, 9, 4, 4, 10), square(11, 9, 20, 4, 10), square(12, 9, 4, 4, 10)]
    crowd = square(12, 4, 20, 20, 9, iscrowd=1)
    images = [image(n) for n in range(1, 7)]
    return {
        "folder": folder,
        "pseudo": write(tmp_path / "pseudo.json", images, pseudo, info=info),
        "truth": write(tmp_path / "truth.json", [*images, image(50)], truth),
        "labeled": write(tmp_path / "labeled.json", [image(11), image(12)], [*labeled, crowd]),
        "out": tmp_path / "report",
    }
