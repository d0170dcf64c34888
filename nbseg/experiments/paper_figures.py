"""Holds the AP values that the Noisy Boundaries paper prints in its tables, in percent.

Each value was checked against its table cell in the paper (arXiv 2203.13427).
"""

PAPER = "Wang, Li, Wang: Noisy Boundaries, CVPR 2022 (arXiv 2203.13427)"

# Mask AP by row, for these percentages of labeled images.
CITYSCAPES_PERCENTS = (5, 10, 20, 30, 40)
CITYSCAPES = {
    "supervised": (11.8, 16.8, 22.3, 26.3, 27.7),
    "supervised-strong": (11.3, 16.4, 22.6, 26.6, 28.3),
    "data-distillation": (13.7, 19.2, 24.6, 27.4, 29.5),
    "stac": (11.9, 18.2, 22.9, 29.0, 29.8),
    "csd": (14.1, 17.9, 24.6, 27.5, 28.9),
    "unbiased-teacher": (16.0, 20.0, 27.1, 28.0, 29.6),
    "cct": (15.2, 18.6, 24.7, 26.5, 28.4),
    "dual-branch": (13.9, 18.9, 24.0, 28.9, 28.9),
    "baseline": (15.7, 20.2, 25.5, 28.3, 29.5),
    "ours": (17.1, 22.1, 29.0, 32.4, 33.0),
    "ours-focal": (21.2, 23.7, 30.8, 33.2, 34.1),
}

# Mask AP, AP at IoU 0.5, and AP at IoU 0.75, by row.
COARSE = {
    "supervised": (33.8, 61.8, 31.4),
    "supervised-strong": (34.7, 61.8, 33.7),
    "coarse": (23.3, 49.4, 18.3),
    "coarse-fine": (34.2, 59.9, 32.3),
    "fine-coarse-fine": (35.8, 62.9, 35.3),
    "ours": (39.3, 65.6, 38.9),
    "ours-focal": (41.1, 68.2, 42.1),
}

# Mask AP and boundary AP, by row.
ABLATION = {
    "supervised": (26.3, 8.2),
    "supervised-strong": (26.6, 7.8),
    "baseline": (28.3, 10.0),
    "da": (30.2, 10.4),
    "da-ntm": (31.1, 10.9),
    "da-bpm": (31.0, 11.6),
    "da-ntm-bpm": (32.4, 11.6),
    "supervised-100": (33.8, 12.7),
    "supervised-strong-100": (34.7, 12.9),
}

# Mask AP by row, for these percentages of labeled images.
COCO_PERCENTS = (1, 2, 5, 10, 30, 100)
COCO = {
    "supervised": (3.5, 9.4, 17.3, 22.0, 28.9, 34.5),
    "supervised-strong": (3.5, 9.5, 17.4, 21.9, 29.0, 37.1),
    "data-distillation": (3.8, 11.8, 20.4, 24.2, 30.5, 35.7),
    "ours": (7.7, 16.3, 24.9, 29.2, 32.8, 38.6),
}

# Mask AP by row.
BDD100K = {
    "supervised": (21.6,),
    "boxes": (24.5,),
    "grabcut": (21.0,),
    "progressive": (24.8,),
    "shapeprop": (26.2,),
    "baseline": (24.4,),
    "ours": (26.3,),
}
