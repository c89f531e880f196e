"""The contrastive head: one loss for one or many positives."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reid_gen.losses.precision import at_least_float32


def multi_positive_nce(
    similarity: Tensor,
    positive: Tensor,
    candidate: Tensor | None = None,
    *,
    temperature: float,
    denominator: Literal["own", "shared"] = "own",
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Noise-contrastive estimation with any number of weighted positives.

    With target ``t_n = positive_n / sum_m positive_m`` and ``s_n = similarity_n / temperature``:

    - ``own``: each positive against the negatives only,
      ``-sum_p t_p log(exp s_p / (exp s_p + sum_neg exp s_n))`` (GCL's sum of pair terms);
    - ``shared``: soft target over all candidates,
      ``-sum_p t_p log(exp s_p / sum_n exp s_n)`` (SupCon L_out, StableRep eq. 3).

    With one positive both are InfoNCE. Computed in float32 or better.

    Args:
        similarity: Cosine similarities, [Q, N].
        positive: Weight of column n as a positive of query q, [Q, N], bool or not negative; 0 is
            none.
        candidate: True where column n may enter the denominator, [Q, N] bool; None means all.
        temperature: Divides the similarities; above 0.
        denominator: See above.
        sample_weight: What each query's loss is multiplied by, [Q]; None is 1.

    Returns:
        Scalar: mean over all queries; a query without positives adds 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    logits = at_least_float32(similarity) / temperature
    nothing = torch.finfo(logits.dtype).min / 4  # -inf would make NaN gradients of an empty sum
    target = _target(positive, candidate, logits.dtype)
    if candidate is not None:
        logits = logits.masked_fill(~candidate, nothing)
    is_positive = target > 0
    match denominator:
        case "own":
            negatives = logits.masked_fill(is_positive, nothing)
            log_all = torch.logaddexp(logits, negatives.logsumexp(dim=1, keepdim=True))
        case "shared":
            log_all = logits.logsumexp(dim=1, keepdim=True)
    log_share = torch.where(is_positive, logits - log_all, 0.0)
    loss = -(target * log_share).sum(dim=1)
    return (loss if sample_weight is None else loss * sample_weight).mean()


def target_entropy(positive: Tensor, candidate: Tensor | None = None) -> Tensor:
    """The least that :func:`multi_positive_nce` with ``shared`` can be.

    Without it the loss is ``KL(target || softmax)`` (SynCLR, section 3), whose values compare
    whatever the number of positives. It has no gradient.

    Args:
        positive: As there, [Q, N].
        candidate: As there.

    Returns:
        Scalar: mean over all queries.
    """
    target = _target(positive, candidate, torch.float64)
    entropy: Tensor = torch.special.entr(target)
    return entropy.sum(dim=1).mean()


def _target(positive: Tensor, candidate: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Weights of positives that sum to 1 per query, or to 0 if it has none."""
    weight = positive.to(dtype)
    if candidate is not None:
        weight = weight * candidate
    total = weight.sum(dim=1, keepdim=True)
    return weight / total.clamp(min=torch.finfo(dtype).tiny)


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """``2 - 2 cos``, the squared distance of unit features that belong together (CLSP, eq. 7).

    It only pulls: a picture of doubtful identity never pushes anybody away.

    Args:
        one: Unit features, [B, D].
        other: Likewise.

    Returns:
        [B] in 0..4.
    """
    return 2 - 2 * (at_least_float32(one) * at_least_float32(other)).sum(dim=1)


def pair_nce(
    similarity: Tensor,
    against: Tensor,
    negative: Tensor,
    *,
    temperature: float,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """InfoNCE of one positive each, which need not be among the negatives' columns (GCL, eq. 6-8).

    ``-log(exp s / (exp s + sum_neg exp a_n))``, everything divided by the temperature.

    Args:
        similarity: Of each query with its positive, [Q].
        against: Of each query with all rows, [Q, N].
        negative: Which of these are its negatives, [Q, N] bool.
        temperature: Divides the similarities; above 0.
        sample_weight: As there.

    Returns:
        Scalar: mean over the queries.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    joined = torch.cat([similarity.unsqueeze(1), against], dim=1)
    first = torch.ones_like(negative[:, :1])
    positive = torch.cat([first, torch.zeros_like(negative)], dim=1)
    candidate = torch.cat([first, negative], dim=1)
    return multi_positive_nce(
        joined, positive, candidate, temperature=temperature, sample_weight=sample_weight
    )
