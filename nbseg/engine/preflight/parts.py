"""Build the parts of each stage's config, so that a misspelt key does not end a run after hours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from inspect import signature
from typing import Any

from mmdet.registry import LOG_PROCESSORS, OPTIMIZERS, PARAM_SCHEDULERS, VISBACKENDS, VISUALIZERS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.optim import build_optim_wrapper
from mmengine.registry import Registry

from nbseg.deploy.detector import build_detector
from nbseg.engine.data_sets import leaves, wrappers
from nbseg.errors import StageError
from nbseg.registry import DATA_SAMPLERS, DATASETS, HOOKS, LOOPS, METRICS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Keys that MMEngine removes before it builds a part.
READ_BEFORE = {"type", "_scope_", "priority", "convert_to_iter_based"}


def check_parts(configs: Mapping[str, Config]) -> None:
    """Refuse unknown types and arguments in the plain configs of stages.

    Models, transforms, optimizers and schedules are built as the stages will build them. Parts with
    effects on other parts, such as hooks, are only compared with the signatures of their classes.

    Args:
        configs: plain config of each stage that will run.

    Raises:
        StageError: a part cannot be built; the message names the stage and the key.
    """
    models: list[tuple[Any, Any]] = []
    for stage, plain in configs.items():
        detector = next((built for config, built in models if config == plain.model), None)
        if detector is None:
            with _naming(stage, "model"):
                detector = build_detector(plain)
            models.append((deepcopy(plain.model), detector))
        for key in filter(plain.get, LOADERS):
            _check_loader(stage, key, plain[key])
        if plain.get("optim_wrapper"):
            _check_optimizer(stage, plain, detector)
        for registry, key, part in _other_parts(plain):
            _check_arguments(registry, part, stage, key)


def _check_loader(stage: str, key: str, loader: Any) -> None:
    for wrapper in wrappers(loader["dataset"]):
        _check_arguments(DATASETS, wrapper, stage, f"{key}.dataset")
    for leaf in leaves(loader["dataset"]):
        # A user's own class may lack lazy_init, and then takes long to build.
        kind = _class_of(DATASETS, leaf, stage, f"{key}.dataset")
        if isinstance(kind, type) and issubclass(kind, BaseDataset):
            with _naming(stage, f"{key}.dataset"):
                dataset = DATASETS.build({**deepcopy(leaf), "lazy_init": True})
            if any(getattr(t, "subroutines", True) == [] for t in dataset.pipeline.transforms):
                raise StageError(
                    f"stage {stage}: TestTimeAug has no view of an image; correct tta_scales or "
                    "tta_flips"
                )
    for name in ("sampler", "batch_sampler"):
        _check_arguments(DATA_SAMPLERS, loader.get(name), stage, f"{key}.{name}")


def _check_optimizer(stage: str, plain: Config, detector: Any) -> None:
    optimizer = plain.optim_wrapper.get("optimizer")
    _class_of(OPTIMIZERS, optimizer, stage, "optim_wrapper.optimizer")
    with _naming(stage, "optim_wrapper"):
        wrapper = build_optim_wrapper(detector, plain.optim_wrapper)
    schedulers = plain.get("param_scheduler") or []
    for number, scheduler in enumerate(schedulers if isinstance(schedulers, list) else []):
        with _naming(stage, f"param_scheduler[{number}]"):
            arguments = {k: v for k, v in scheduler.items() if k != "convert_to_iter_based"}
            PARAM_SCHEDULERS.build(arguments, default_args={"optimizer": wrapper})


def _other_parts(plain: Config) -> Iterator[tuple[Registry, str, Any]]:
    for name, hook in (plain.get("default_hooks") or {}).items():
        yield HOOKS, f"default_hooks.{name}", hook
    for number, hook in enumerate(plain.get("custom_hooks") or []):
        yield HOOKS, f"custom_hooks[{number}]", hook
    for key in ("train_cfg", "val_cfg", "test_cfg"):
        if "type" in (plain.get(key) or {}):
            yield LOOPS, key, plain[key]
    for key in ("val_evaluator", "test_evaluator"):
        evaluators = plain.get(key) or []
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            yield METRICS, key, evaluator
    yield VISUALIZERS, "visualizer", plain.get("visualizer")
    for backend in (plain.get("visualizer") or {}).get("vis_backends") or []:
        yield VISBACKENDS, "vis_backends", backend
    yield LOG_PROCESSORS, "log_processor", plain.get("log_processor")


def _check_arguments(registry: Registry, part: Any, stage: str, key: str) -> None:
    """Refuse keys of a part's config that are not arguments of its class."""
    kind = _class_of(registry, part, stage, key)
    parameters = signature(kind).parameters if kind else {}
    more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in sorted(set(part) - set(parameters) - READ_BEFORE if kind else ()):
        # A class with **kwargs may know the key, unless it is almost one of the parameters.
        close = _advice(name, parameters, 0.85 if more else 0.6)
        if close or not more:
            advice = close or f"the arguments of {kind.__name__} are {', '.join(parameters)}"
            raise StageError(f"stage {stage}: {key} has the unknown key {name!r}; {advice}")


def _class_of(registry: Registry, part: Any, stage: str, key: str) -> Any:
    """Return the class of a part's config; None if the part is absent, built, or has no type."""
    if isinstance(part, str):
        raise StageError(
            f"stage {stage}: {key} must be a dictionary, found the string {part!r}; set it in the "
            "config file"
        )
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if not isinstance(kind, str):
        return kind
    with _naming(stage, key):
        found = registry.get(kind)
    if found is None:
        known = {*registry.module_dict, *(registry.parent.module_dict if registry.parent else ())}
        advice = _advice(kind, known) or "list its module in custom_imports"
        raise StageError(f"stage {stage}: {key} has the unknown type {kind!r}; {advice}")
    return found


def _advice(name: str, known: Any, cutoff: float = 0.6) -> str:
    close = get_close_matches(name, known, 1, cutoff)
    return f"did you mean {close[0]!r}?" if close else ""


@contextmanager
def _naming(stage: str, key: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a class may raise any error about its arguments
        # MMEngine's messages go on with general advice.
        reason = str(error).split("\n")[0].split(". Please ")[0]
        raise StageError(
            f"stage {stage}: {key} cannot be built ({type(error).__name__}: {reason}); correct its "
            "types, keys and values"
        ) from error
