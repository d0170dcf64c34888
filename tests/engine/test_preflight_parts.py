"""Legal configs of users' own classes pass the check of parts, and the same misspelt do not."""

import mmengine.registry
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict
from mmengine.registry import DefaultScope, Registry

import nbseg.register  # noqa: F401
from nbseg.datasets.coco_instances import CocoInstanceDataset
from nbseg.engine.preflight.parts import check_parts
from nbseg.errors import StageError


class Model(torch.nn.Module):
    def __init__(self, data_preprocessor=None):
        super().__init__()
        if data_preprocessor == "wrong":
            raise ValueError("wrong data_preprocessor")
        self.weight = torch.nn.Parameter(torch.zeros(1))


class NotLazy(BaseDataset):
    def __init__(self, ann_file, pipeline, metainfo=None):
        super().__init__(ann_file, metainfo, pipeline=pipeline)


class ReadsAtOnce(CocoInstanceDataset):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = self.coco.dataset, self.data_list[0]


class OwnPipeline(BaseDataset):
    def __init__(self, pipeline):
        super().__init__(pipeline=pipeline["weak"])


class OwnMetric(CocoMetric):
    def __init__(self, iou_thr, **kwargs):
        super().__init__(**kwargs)


class TwoOptimizers(DefaultOptimWrapperConstructor):
    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        pass

    def __call__(self, model):
        optimizers = [torch.optim.SGD(model.parameters(), lr) for lr in (1, 2)]
        return OptimWrapperDict(**dict(zip("ab", map(OptimWrapper, optimizers), strict=True)))


OTHER_HOOKS = Registry("hook", parent=mmengine.registry.HOOKS, scope="other_package")


@OTHER_HOOKS.register_module()
class HookOfAnotherPackage(Hook):
    pass


@pytest.fixture(autouse=True)
def default_scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def check(*changes):
    """Check the parts of stages whose configs are equal but for the given keys."""
    check_parts({f"s{n}": Config({"model": {"type": Model}, **c}) for n, c in enumerate(changes)})


def loader(kind, **arguments):
    return {"train_dataloader": {"dataset": {"type": kind, **arguments}}}


def metrics(**evaluator):
    metrics = [{"type": "InstanceMetric", "ann_file": "absent.json", **evaluator.pop("inner", {})}]
    return {"val_evaluator": {"metrics": metrics, **evaluator}}


def optimizer(schedulers, **more):
    optimizer = {"optimizer": {"type": "SGD", "lr": 1}, **more}
    return {"optim_wrapper": optimizer, "param_scheduler": schedulers}


def backends(found):
    return {"visualizer": {"type": "DetLocalVisualizer", "vis_backends": found}}


STEPS = {"type": "MultiStepLR", "milestones": [1], "by_epoch": False}
EPOCHS = {"type": "LinearLR", "start_factor": 0.1, "end": 1, "convert_to_iter_based": True}
TWO = {"constructor": TwoOptimizers}
ANNEALING = {"ema_type": "MomentumAnnealingEMA", "momentum": 0.01, "update_buffers": True}
IMAGE = [{"type": "LoadImageFromFile"}]
LEGAL = {
    "a data set without lazy_init": loader(NotLazy, ann_file="absent.json", pipeline=IMAGE),
    "a data set that reads at once": loader(ReadsAtOnce, ann_file="absent.json", pipeline=IMAGE),
    "a data set with two pipelines": loader(OwnPipeline, pipeline={"weak": IMAGE}),
    "a named backend": backends([{"type": "LocalVisBackend", "name": "a"}]),
    "one backend": backends({"type": "LocalVisBackend"}),
    "an evaluator": metrics(type="MultiDatasetsEvaluator", dataset_prefixes=["a"]),
    "an evaluator without a type": metrics(),
    "a key of the parent class": {
        "val_evaluator": {"type": OwnMetric, "iou_thr": 0.5, "iou_thrs": [0.5]}
    },
    "one schedule": optimizer(STEPS),
    "schedules by epochs": optimizer([EPOCHS, {"type": "CosineAnnealingLR", "begin": 1}]),
    "schedules of two optimizers": optimizer([STEPS], **TWO),
    "schedules for each of two optimizers": optimizer({"a": STEPS, "b": [STEPS]}, **TWO),
    "a hook of another package": {
        "default_scope": "other_package",
        "custom_hooks": [{"type": "HookOfAnotherPackage", "priority": "LOW"}],
    },
    "an average": {"custom_hooks": [{"type": "EMAHook", "priority": 49, "gamma": 5, **ANNEALING}]},
    "a class written in C": {"custom_hooks": [{"type": dict, "a": 1}]},
    "a function without a signature": {"custom_hooks": [{"type": iter, "a": 1}]},
    "a log processor without a type": {"log_processor": {"window_size": 5}},
    "a hook that is switched off": {"default_hooks": {"timer": None}},
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_parts_are_accepted(name):
    check(LEGAL[name])


REFUSED = {
    "a key of an own data set": (
        loader(NotLazy, ann_file="a.json", pipeline=[], metainfos=1),
        "train_dataloader.dataset has the unknown key 'metainfos'; did you mean 'metainfo'",
    ),
    "a transform of an own data set": (
        loader(NotLazy, ann_file="a.json", pipeline=[{"type": "LoadImagesFromFile"}]),
        "train_dataloader.dataset cannot be built .*LoadImagesFromFile",
    ),
    "a key of a backend": (
        backends({"type": "LocalVisBackend", "save_dirs": "a"}),
        "vis_backends has the unknown key 'save_dirs'",
    ),
    "a key of an evaluator": (
        metrics(type="MultiDatasetsEvaluator", dataset_prefix=["a"]),
        "val_evaluator has the unknown key 'dataset_prefix'; did you mean 'dataset_prefixes'",
    ),
    "a metric of an evaluator": (
        metrics(inner={"type": "InstanceMetrics"}),
        "val_evaluator has the unknown type 'InstanceMetrics'; did you mean 'InstanceMetric'",
    ),
    "a key of the parent class": (
        {"val_evaluator": {"type": OwnMetric, "iou_thr": 0.5, "iou_thrss": [0.5]}},
        "val_evaluator has the unknown key 'iou_thrss'; did you mean 'iou_thrs'",
    ),
    "one schedule": (optimizer({**STEPS, "gama": 1}), "param_scheduler.* cannot be built.*'gama'"),
    "a schedule of two optimizers": (
        optimizer({"a": STEPS, "b": [{**STEPS, "gama": 1}]}, **TWO),
        r"param_scheduler\.b\[0\] cannot be built.*'gama'",
    ),
    "no schedule of one of two optimizers": (
        optimizer({"a": STEPS}, **TWO),
        "param_scheduler has no key 'b'",
    ),
    "a hook of an unknown package": (
        {"custom_hooks": [{"type": "HookOfAnotherPackage"}]},
        r"custom_hooks\[0\] has the unknown type 'HookOfAnotherPackage'",
    ),
    "a default hook without a type": (
        {"default_hooks": {"checkpoint": {"interval": 1}}},
        "default_hooks.checkpoint has no 'type'",
    ),
    "an average of no weights": (
        {"custom_hooks": [{"type": "EMAHook", "priority": 49, "momentum": 1.5}]},
        r"custom_hooks\[0\] cannot be built .*momentum must be in range \(0.0, 1.0\).* 1.5",
    ),
    "a key of an average": (
        {"custom_hooks": [{"type": "EMAHook", "momentun": 0.5}]},
        r"custom_hooks\[0\] cannot be built .*'momentun'",
    ),
    "a hook without a type": ({"custom_hooks": [{}]}, r"custom_hooks\[0\] has no 'type'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_misspelt_parts_are_refused(name):
    config, message = REFUSED[name]
    with pytest.raises(StageError, match=f"^stage s0: {message}"):
        check(config)


def test_the_detector_of_a_stage_is_built_with_its_preprocessor_and_imports():
    with pytest.raises(StageError, match="stage s1: model cannot be built .*wrong data_prep"):
        check({}, {"data_preprocessor": "wrong"})
    with pytest.raises(StageError, match="stage s1: model cannot be built .*nowhere"):
        check({}, {"custom_imports": {"imports": ["nowhere"]}})
