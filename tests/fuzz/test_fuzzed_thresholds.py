"""Properties of matched thresholds, against sorting and counting in plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbseg.pseudo.thresholds import (
    foreground_at_threshold,
    match_box_thresholds,
    match_pixel_threshold,
    soft_mask_histogram,
)

FLOOR = 0.1
scores_strategy = st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(0, 2)), max_size=30)


@given(
    scores_strategy,
    st.integers(0, 20),
    st.lists(st.floats(0, 5), min_size=3, max_size=3),
    st.randoms(use_true_random=False),
)
def test_matched_counts(predictions, num_images, per_image, random):
    def thresholds_of(rows, targets):
        scores, labels = (np.array([row[i] for row in rows]) for i in range(2))
        return match_box_thresholds(
            scores.astype(np.float32), labels.astype(np.int64), num_images, np.array(targets)
        )

    found = thresholds_of(predictions, per_image)
    shuffled = list(predictions)
    random.shuffle(shuffled)
    assert np.array_equal(found, thresholds_of(shuffled, per_image))
    assert (thresholds_of(predictions, [2 * mean for mean in per_image]) <= found).all()
    for label, mean in enumerate(per_image):
        ordered = sorted((s for s, of in predictions if of == label and s >= FLOOR), reverse=True)
        wanted = int(np.floor(mean * num_images + 0.5))
        kept = [score for score in ordered if score >= found[label]]
        if wanted == 0:
            assert found[label] == np.inf
        elif len(ordered) <= wanted:
            assert len(kept) == len(ordered)
        else:
            # The wanted number, and those whose scores equal the last one's.
            assert kept == [score for score in ordered if score >= ordered[wanted - 1]]


@given(st.data())
def test_foreground_falls_with_the_threshold(data):
    count, side = data.draw(st.integers(0, 4)), data.draw(st.integers(1, 5))
    soft = data.draw(arrays(np.uint8, (count, side, side)))
    corners = data.draw(arrays(np.float32, (count, 4), elements=st.floats(-50, 50, width=32)))
    histogram = soft_mask_histogram(soft, corners)
    areas = [max(x1 - x0, 0) * max(y1 - y0, 0) for x0, y0, x1, y1 in corners.astype(float)]
    assert np.isclose(histogram.sum(), sum(areas), rtol=1e-5)
    if histogram.sum() <= 0:
        return
    foreground = foreground_at_threshold(histogram)
    assert (np.diff(foreground) <= 0).all() and abs(foreground[0] - 1) <= 1e-12
    values = data.draw(st.integers(0, 255))
    share = sum(
        area * (mask >= values).mean() for area, mask in zip(areas, soft, strict=True)
    ) / sum(areas)
    assert np.isclose(foreground[values], share, rtol=1e-4, atol=1e-6)
    fraction = data.draw(st.floats(0, 1))
    pixel = match_pixel_threshold(foreground, fraction)
    best = min(abs(foreground[v] - fraction) for v in range(1, 256))
    assert abs(foreground[round(pixel * 255)] - fraction) == best
