"""Evaluate predictions with InstanceMetric."""

import json

from annotated_ellipses import CLASSES

from nbseg.evaluation.instance_metric import InstanceMetric


def evaluate(truth, samples, folder, **options):
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    metric = InstanceMetric(ann_file=str(path), **options)
    metric.dataset_meta = {"classes": options.pop("classes", CLASSES)}
    metric.process({}, samples)
    return metric.evaluate(len(samples))
