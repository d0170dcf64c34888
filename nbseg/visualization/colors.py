"""Define the colors of classes in pictures."""

import numpy as np

# Okabe and Ito's colors, which color-blind people can tell apart, BGR; classes take them in turn.
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
