"""The models that the method is compared with, as arguments of ``make_detector``."""

import nbseg.models.boundary_mask_head
import nbseg.models.point_rend_roi_head
import nbseg.models.refine_mask_head
import nbseg.models.refine_mask_roi_head  # noqa: F401  registers them

POINT_REND = {
    "mask_head": {"type": "RLECoarseMaskHead", "num_fcs": 1, "fc_out_channels": 16},
    "type": "PointRend",
    "roi_head": {
        "type": "RLEPointRendRoIHead",
        "mask_roi_extractor": {
            "_delete_": True,
            "type": "GenericRoIExtractor",
            "aggregation": "concat",
            "roi_layer": {"type": "SimpleRoIAlign", "output_size": 14},
            "out_channels": 16,
            "featmap_strides": [4],
        },
        "point_head": {
            "type": "CroppedMaskPointHead",
            "num_fcs": 2,
            "in_channels": 16,
            "fc_channels": 16,
            "num_classes": 3,
        },
    },
    "train_cfg": {
        "rcnn": {
            "mask_size": 7,
            "num_points": 49,
            "oversample_ratio": 3,
            "importance_sample_ratio": 0.75,
        }
    },
    "test_cfg": {
        "rcnn": {"subdivision_steps": 3, "subdivision_num_points": 196, "scale_factor": 2}
    },
}
BMASK = {
    "mask_head": {"type": "BoundaryMaskHead", "num_convs": 2},
    "roi_head": {"mask_roi_extractor": {"type": "MaskAndBoundaryRoIExtractor"}},
}
REFINE_MASK = {
    "mask_head": {
        "type": "RefineMaskHead",
        "num_convs": 1,
        "conv_out_channels": 64,
        "semantic_channels": 8,
    },
    "roi_head": {
        "type": "RefineMaskRoIHead",
        "semantic_head": {
            "type": "ForegroundHead",
            "num_convs": 1,
            "in_channels": 16,
            "conv_out_channels": 8,
        },
    },
}
LOSSES = {
    "point-rend": {"loss_mask", "loss_point"},
    "bmask-rcnn": {"loss_mask", "loss_boundary"},
    "refinemask": {f"loss_mask_{size}" for size in (14, 28, 56, 112)} | {"loss_semantic"},
}
MODELS = {"point-rend": POINT_REND, "bmask-rcnn": BMASK, "refinemask": REFINE_MASK}
