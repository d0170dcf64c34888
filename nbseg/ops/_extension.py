"""Loads ``nbseg._C``, which registers the ops in ``torch.ops.nbseg``."""

from importlib import import_module

import torch

BUILD = "pip install --no-build-isolation -e ."

try:
    import_module("nbseg._C")
except ModuleNotFoundError as error:
    raise ImportError(
        "nbseg's torch ops are not built. In nbseg's source folder, with this Python's pip (torch "
        f"must be installed): {BUILD}"
    ) from error
except ImportError as error:
    raise ImportError(
        f"nbseg's torch ops do not load with torch {torch.__version__}: probably they were built "
        f"for another torch or Python. Rebuild them in nbseg's source folder: {BUILD} "
        f"(the loader said: {error})"
    ) from error
