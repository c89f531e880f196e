"""Contrastive loss of groups of images that are each other's positives within a batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from reid_gen.losses.contrast import multi_positive_nce, target_entropy


@dataclass(frozen=True)
class GroupedFeatures:
    """Features of images in groups.

    Attributes:
        feature: Unit features, [B, D].
        group: Group number; images of one group are positives of each other, [B] int64.
        image: Image number; features of the same image are never compared, [B] int64.
    """

    feature: Tensor
    group: Tensor
    image: Tensor


def group_nce(
    anchors: GroupedFeatures, candidates: GroupedFeatures, *, temperature: float
) -> Tensor:
    """Multi-positive contrast within a batch (StableRep, section 3.2; SynCLR; GenPoCCL's L_mp).

    ``KL(p || q)``, where ``q`` is the softmax of cosines over all candidates but the anchor's own
    image and ``p`` is uniform over those of its group: StableRep's loss minus its lower bound
    ``log |group|``, so that values do not depend on the group size. The gradient is that of
    SupCon's L_out.

    Args:
        anchors: Features of this process.
        candidates: Features of all processes, including the anchors.
        temperature: Divides the cosines; above 0.

    Returns:
        Scalar: mean over the anchors; an anchor without positives adds 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    other_image = anchors.image.unsqueeze(1) != candidates.image  # [B, N]
    positive = (anchors.group.unsqueeze(1) == candidates.group) & other_image
    similarity = anchors.feature @ candidates.feature.T
    loss = multi_positive_nce(
        similarity, positive, other_image, temperature=temperature, denominator="shared"
    )
    return loss - target_entropy(positive, other_image).to(loss.dtype)
