"""A config with sections and names in braces, from which each stage gets its plain config."""

from mmengine.config import Config


def config(**changes):
    """A config with what the stages need; ``changes`` are merged as the command line's are."""
    made = Config(
        {
            "iterations": 300,
            "lr": 0.5,
            "head": {"type": "NoiseTolerant", "channels": 8, "loss": {"type": "BPM"}},
            "plain_head": {"type": "Plain", "channels": 8},
            "pipeline": "{strong}",
            "weak": ["load"],
            "strong": ["load", {"type": "CutOut", "holes": (1, 5)}],
            "model": {"mask_head": "{head}", "sizes": [1, 2]},
            "labeled": {
                "ann_file": "{work_dir}/splits/{seed}@{percent}.json",
                "pipe": "{pipeline}",
            },
            "pseudo_labeled": {"ann_file": "{pseudo_labels}", "pipe": "{pipeline}"},
            "seed": 3,
            "percent": 10,
            "load_from": "{teacher_checkpoint}",
            "train_dataloader": {"dataset": {"sets": ["{labeled}", "{pseudo_labeled}"], "a": 1}},
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": "{iterations}"},
            "param_scheduler": [
                {"type": "LinearLR", "begin": 0, "end": 50},
                {
                    "type": "CosineAnnealingLR",
                    "begin": 0,
                    "end": "{iterations}",
                    "T_max": "{iterations}",
                },
            ],
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": "{lr}"}},
            "val_dataloader": {"dataset": "validation"},
            "val_cfg": {"type": "ValLoop"},
            "val_evaluator": {"type": "Metric"},
            "test_dataloader": {"dataset": {"ann_file": "val.json", "pipeline": "{weak}"}},
            "test_evaluator": {"type": "Metric"},
            "test_cfg": {"type": "TestLoop"},
            "tta_model": {"type": "MaskTTAModel", "tta_cfg": {"max_per_img": 7}},
            "tta_pipeline": ["views"],
            "teacher": {
                "iterations": 100,
                "head": "{plain_head}",
                "pipeline": "{weak}",
                "load_from": None,
                "train_dataloader": {"dataset": {"_delete_": True, "sets": ["{labeled}"]}},
            },
            "oracle": {"ann_file": "hidden.json"},
            "predict": {
                "test_dataloader": {"dataset": {"_delete_": True, "ann_file": "unlabeled.json"}},
                "test_cfg": {"_delete_": True, "type": "PseudoLabelLoop"},
            },
            "label": {"labeled_json": "{work_dir}/{seed}.json", "floor": 0.1},
            "split": {"percent": "{percent}", "seed": "{seed}"},
        }
    )
    made.merge_from_dict(changes)
    return made
