"""Define the colors that classes have in pictures."""

import numpy as np

# BGR. Color-blind people can tell these colors (by Okabe and Ito) apart. Class i has color i % 7.
PALETTE = np.array(
    [
        [0, 159, 230],
        [233, 180, 86],
        [115, 158, 0],
        [66, 228, 240],
        [167, 121, 204],
        [0, 94, 213],
        [178, 114, 0],
    ],
    np.uint8,
)
