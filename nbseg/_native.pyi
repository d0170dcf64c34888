from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

def paste_rle(
    probs: npt.ArrayLike,
    boxes: npt.ArrayLike,
    height: int,
    width: int,
    threshold: float = 0.5,
    *,
    num_threads: int = 0,
) -> list[dict[str, Any]]: ...
def crops_from_rle(
    counts: Sequence[str | bytes], height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]: ...
def select_pixels(
    bits: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    crops: npt.NDArray[np.int32],
    height: int,
    width: int,
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]: ...
def torch_uses_fma() -> bool: ...
