"""Draw simple shapes as bitmaps."""

import numpy as np

HEIGHT, WIDTH = 60, 80


def rectangle(x0, y0, x1, y1):
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8)
    bitmap[y0:y1, x0:x1] = 1
    return bitmap


def disc(x, y, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (np.hypot(columns - x, rows - y) <= radius).astype(np.uint8)
