"""Load ``nbseg._C``, which registers the ops in ``torch.ops.nbseg``."""

from importlib import import_module

import torch
from torch import Tensor

from nbseg.errors import BUILD

try:
    import_module("nbseg._C")
except ModuleNotFoundError as error:
    raise ImportError(
        "nbseg's torch ops are not built. After installing torch, build them in nbseg's source "
        f"folder with this Python's pip: {BUILD}"
    ) from error
except ImportError as error:
    raise ImportError(
        f"nbseg's torch ops cannot be loaded with torch {torch.__version__}: {error}. The ops "
        "were probably built for another version of torch or Python. Rebuild the ops in nbseg's "
        f"source folder: {BUILD}"
    ) from error

HAS_CUDA: bool = torch._C._dispatch_has_kernel_for_dispatch_key("nbseg::bpm_mask_loss", "CUDA")


def check_built_for(tensor: Tensor) -> None:
    """Raise a RuntimeError if the tensor is on a GPU, but the ops were built without CUDA."""
    if tensor.is_cuda and not HAS_CUDA:
        raise RuntimeError(
            f"nbseg's torch ops were built without CUDA, but a tensor is on {tensor.device}. Put "
            "nvcc on PATH, or set CUDACXX to the path of nvcc. Then rebuild in nbseg's source "
            f"folder: {BUILD}"
        )
