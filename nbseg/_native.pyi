from typing import Any

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
def torch_uses_fma() -> bool: ...
