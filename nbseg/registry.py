"""MMDetection's registries, which name nbseg's components in configs beside MMDetection's.

Every nbseg module that registers a component imports the registry from here, so that this one file
decides the scope. Configs load those modules through ``nbseg.register``.
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
