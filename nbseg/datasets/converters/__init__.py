"""Convert data sets, and labels from labeling tools, to COCO jsons.

Importing this package imports none of its modules. No module needs MMDetection, and only
``label_studio`` and ``import_labels`` need torch.
"""
