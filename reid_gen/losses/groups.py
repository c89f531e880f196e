"""Groups of pictures that are each other's positives within a batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from reid_gen.losses.contrast import multi_positive_nce, target_entropy


@dataclass(frozen=True)
class Members:
    """Pictures in groups.

    Attributes:
        feature: Unit features, [B, D].
        group: Pictures with the same number here are positives of each other, [B] int64.
        image: Pictures with the same number here are of one image and never compared, [B] int64.
    """

    feature: Tensor
    group: Tensor
    image: Tensor


def group_nce(anchors: Members, candidates: Members, *, temperature: float) -> Tensor:
    """Multi-positive contrast within a batch (StableRep, section 3.2; SynCLR; GenPoCCL's L_mp).

    ``KL(p || q)`` with ``q`` the softmax of cosines over all candidates but the anchor's own image,
    and ``p`` uniform over those of its group: StableRep's loss less its floor ``log |group|``, so
    that values compare whatever the size of groups. SupCon's L_out has the same gradient.

    Args:
        anchors: Of this process.
        candidates: Of all processes, the anchors among them.
        temperature: Divides the cosines; above 0.

    Returns:
        Scalar: mean over the anchors; one that is alone in its group adds 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    others = anchors.image.unsqueeze(1) != candidates.image
    positive = (anchors.group.unsqueeze(1) == candidates.group) & others
    similarity = anchors.feature @ candidates.feature.T
    loss = multi_positive_nce(
        similarity, positive, others, temperature=temperature, denominator="shared"
    )
    return loss - target_entropy(positive, others).to(loss.dtype)
