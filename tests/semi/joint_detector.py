"""Tiny models of the methods that train one detector on two kinds of images."""

import copy

import torch
from online_detector import SIZE, labeled_sample, model_config, sample

from nbseg.registry import MODELS

HEAD = {"type": "RLEMaskHead", "num_convs": 1, "in_channels": 16, "conv_out_channels": 8}


def joint(folder, method, mask_head=None, **options):
    """Return a model of this type with the tiny detector and a plain or the given mask head."""
    model = model_config(folder)
    detector = copy.deepcopy(model.detector)
    detector.roi_head.mask_head = {
        **{"num_classes": 5, "class_agnostic": True, "norm_cfg": {"type": "BN"}},
        **{"loss_mask": {"type": "CrossEntropyLoss", "use_mask": True}},
        **HEAD,
        **(mask_head or {}),
    }
    torch.manual_seed(0)
    preprocessor = copy.deepcopy(model.data_preprocessor)
    return MODELS.build(
        {"type": method, "detector": detector, "data_preprocessor": preprocessor, **options}
    ).train()


def batches(branch):
    """Images and samples of a labeled image, and of two images in another branch."""
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "sup": torch.randn(1, 3, SIZE, SIZE, generator=generator),
        branch: torch.randn(2, 3, SIZE, SIZE, generator=generator),
    }
    others = [labeled_sample() if branch == "pseudo" else sample() for _ in range(2)]
    return inputs, {"sup": [labeled_sample()], branch: others}


def total(losses, prefix):
    """Return the sum of the losses whose names start with a prefix."""
    parts = [v for name, v in losses.items() if name.startswith(prefix) and "loss" in name]
    return sum(sum(part) if isinstance(part, list) else part for part in parts)


def with_gradient(model, loss):
    """Return the names of the parameters that a loss changes."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name
        for name, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    }
