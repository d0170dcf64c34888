"""Provide MMDetection's registries, in which nbseg registers its components.

Every module that registers a component imports the registry from here. Configs import all modules
with components through ``nbseg.register``.
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
