"""Train a detector so that masks from perturbed and from unchanged features agree (CCT)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import ModuleList
from torch import Tensor

from nbseg.models.logits import select_masks
from nbseg.registry import MODELS
from nbseg.semi.joint_student import Branch, JointStudent
from nbseg.semi.proposals import likeliest_objects, propose, require_one_mask_size


@MODELS.register_module()
class CrossConsistency(JointStudent):
    """Trains without pseudo-labels: masks from perturbed features must equal the student's masks.

    This is CCT (Ouali et al., CVPR 2020) for the mask branch. The student is the detector that is
    trained. Each perturbation in ``PERTURBATIONS`` changes the RoI features of the unlabeled
    images, and has an auxiliary mask head that predicts masks from the changed features. RoIs are
    the proposals in which an object is likelier than background. The loss is the mean squared
    difference between the mask probabilities of an auxiliary head and of the student's mask head,
    for the likeliest class of each RoI. The loss trains the auxiliary heads, the backbone and the
    neck, but not the student's mask head. The auxiliary heads are not part of the trained detector.

    Args:
        detector: config of the student, whose mask head must return logits of one size.
        rois: largest number of proposals per image. RoIs are chosen from the proposals with the
            highest objectness.
        **kwargs: other arguments of the base class ``JointStudent``.

    Raises:
        TypeError: the RoI head is not a ``StandardRoIHead``, or its mask head returns several
            tensors of logits.
    """

    def __init__(self, detector: dict[str, Any], rois: int = 64, **kwargs: Any) -> None:
        super().__init__(detector, **kwargs)
        require_one_mask_size(self.student, type(self).__name__)
        mask_head = detector["roi_head"]["mask_head"]
        # MMEngine initializes the weights of modules in its own list only.
        self.auxiliary = ModuleList(MODELS.build(mask_head) for _ in PERTURBATIONS)
        self.rois = rois

    def other_losses(self, labeled: Branch, other: Branch) -> dict[str, Any]:
        """Return a dict with the loss ``loss_cross_mask`` of the unlabeled images.

        Args:
            labeled: labeled images; not used.
            other: unlabeled images.
        """
        roi_head = self.student.roi_head
        rois, classes = self._objects(other)
        extractor = roi_head.mask_roi_extractor
        features = extractor(other.features[: extractor.num_inputs], rois)
        with torch.no_grad():
            main = select_masks(roi_head.mask_head(features).sigmoid(), classes)
        total = features.sum() * 0
        for head, perturb in zip(self.auxiliary, PERTURBATIONS, strict=True):
            masks = select_masks(head(perturb(features)).sigmoid(), classes)
            total = total + (masks - main).square().flatten(1).mean(1).sum()
        return {"loss_cross_mask": total / (len(PERTURBATIONS) * max(len(rois), 1))}

    @torch.no_grad()
    def _objects(self, branch: Branch) -> tuple[Tensor, Tensor]:
        """Return the RoIs in which an object is likelier than background, and their classes.

        Returns:
            RoIs, shape (R, 5), and the likeliest class of each RoI, shape (R,), int64.
        """
        rois = propose(self.student, branch, self.rois)
        scores = self.student.roi_head._bbox_forward(branch.features, rois)["cls_score"]
        classes, chosen = likeliest_objects(scores)
        return rois[chosen], classes[chosen]


def drop_channels(features: Tensor) -> Tensor:
    """Set each channel of each RoI to 0 with probability 0.5, and double the other channels.

    Args:
        features: features of R RoIs with K channels, shape (R, K, s, s).

    Returns:
        The changed features, with the same shape.
    """
    return F.dropout2d(features, 0.5)


def drop_attention(features: Tensor) -> Tensor:
    """Set the cells of each RoI to 0 that have the highest mean over the channels.

    A cell is set to 0 if its mean is at least f times the highest mean in the RoI. The factor f is
    drawn at random from 0.7 to 0.9 for each RoI.

    Args:
        features: features of R RoIs with K channels, shape (R, K, s, s).

    Returns:
        The changed features, with the same shape.
    """
    attention = features.mean(dim=1, keepdim=True)
    share = torch.empty(len(features), 1, 1, 1, device=features.device).uniform_(0.7, 0.9)
    return features * (attention < share * attention.amax(dim=(2, 3), keepdim=True))


def add_noise(features: Tensor) -> Tensor:
    """Multiply each feature by a random factor from 0.7 to 1.3; all RoIs have the same factors.

    Args:
        features: features of R RoIs with K channels, shape (R, K, s, s).

    Returns:
        The changed features, with the same shape.
    """
    return features * (1 + torch.empty_like(features[:1]).uniform_(-0.3, 0.3))


def cut_out(features: Tensor) -> Tensor:
    """Set a random rectangle of the features to 0; all RoIs have the same rectangle.

    The rectangle has 0.4 times the height and 0.4 times the width of a RoI's features.

    Args:
        features: features of R RoIs with K channels, shape (R, K, s, s).

    Returns:
        The changed features, with the same shape.
    """
    height, width = features.shape[2:]
    h, w = round(0.4 * height), round(0.4 * width)
    y, x = (int(torch.randint(free + 1, ())) for free in (height - h, width - w))
    kept = torch.ones_like(features[:1, :1])
    kept[..., y : y + h, x : x + w] = 0
    return features * kept


PERTURBATIONS = (drop_channels, drop_attention, add_noise, cut_out)
