"""Define metrics that a config of MMDetection can name: COCO AP and Cityscapes AP."""
