"""Provide MMDetection's registries, in which nbseg registers its components.

Every nbseg module that registers a component imports the registry from here, so that this file
alone decides the registries' scope. Configs load the modules through ``nbseg.register``.
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
