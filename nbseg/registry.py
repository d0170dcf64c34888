"""MMDetection's own registries: configs name nbseg's components as they name MMDetection's.

Every nbseg module that registers something imports the registry from here, so the scope is decided
in this one place. Configs make the modules known through ``custom_imports``
(``configs/_base_/default_runtime.py``).
"""

from mmdet.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    TASK_UTILS,
    TRANSFORMS,
    VISUALIZERS,
)

__all__ = [
    "DATASETS",
    "DATA_SAMPLERS",
    "HOOKS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "TASK_UTILS",
    "TRANSFORMS",
    "VISUALIZERS",
]
