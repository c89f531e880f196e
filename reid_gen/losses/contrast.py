"""Contrastive losses with one or many positives."""

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
    """InfoNCE with any number of weighted positives.

    With target ``t_n = positive_n / sum_m positive_m`` and ``s_n = similarity_n / temperature``:

    - ``own``: each positive against the negatives only,
      ``-sum_p t_p log(exp s_p / (exp s_p + sum_neg exp s_n))`` (GCL's sum of pair terms);
    - ``shared``: soft target over all candidates,
      ``-sum_p t_p log(exp s_p / sum_n exp s_n)`` (SupCon L_out, StableRep eq. 3).

    With one positive both are InfoNCE. Computed in at least float32.

    Args:
        similarity: Cosine similarities of Q queries and N columns, [Q, N].
        positive: Weight of column n as a positive of query q, [Q, N], bool or not negative; 0 is
            not a positive.
        candidate: Columns that may enter the denominator, [Q, N] bool; None means all.
        temperature: Divides the similarities; above 0.
        denominator: ``own`` or ``shared``.
        sample_weight: Factor of each query's loss, [Q]; None is 1.

    Returns:
        Scalar: mean over all queries; a query without positives adds 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    logits = at_least_float32(similarity) / temperature  # [Q, N]
    masked = torch.finfo(logits.dtype).min / 4  # -inf would make NaN gradients of an empty sum
    target = _target(positive, candidate, logits.dtype)  # [Q, N]
    if candidate is not None:
        logits = logits.masked_fill(~candidate, masked)
    is_positive = target > 0
    match denominator:
        case "own":
            negatives = logits.masked_fill(is_positive, masked)
            log_sum = torch.logaddexp(logits, negatives.logsumexp(dim=1, keepdim=True))
        case "shared":
            log_sum = logits.logsumexp(dim=1, keepdim=True)
    log_probability = torch.where(is_positive, logits - log_sum, 0.0)
    loss = -(target * log_probability).sum(dim=1)  # [Q]
    return (loss if sample_weight is None else loss * sample_weight).mean()


def target_entropy(positive: Tensor, candidate: Tensor | None = None) -> Tensor:
    """Lower bound of :func:`multi_positive_nce` with ``shared``, without gradient.

    The loss minus this bound is ``KL(target || softmax)`` (SynCLR, section 3), whose values do not
    depend on the number of positives.

    Args:
        positive: Weights of the positives, [Q, N], as for :func:`multi_positive_nce`.
        candidate: Columns that may enter the denominator, [Q, N] bool; None means all.

    Returns:
        Scalar: mean over all queries.
    """
    target = _target(positive, candidate, torch.float64)
    entropy: Tensor = torch.special.entr(target)
    return entropy.sum(dim=1).mean()


def _target(positive: Tensor, candidate: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Normalise the weights of positives to a sum of 1 per query, or 0 for one without any."""
    weight = positive.to(dtype)
    if candidate is not None:
        weight = weight * candidate
    total = weight.sum(dim=1, keepdim=True)
    return weight / total.clamp(min=torch.finfo(dtype).tiny)


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """``2 - 2 cos``, the squared distance of pairs of unit features (CLSP, eq. 7).

    It has no negatives, so a view of doubtful identity never pushes other people away.

    Args:
        first: Unit features, [B, D].
        second: Unit features of their positives, [B, D].

    Returns:
        Squared distances, [B] in 0..4.
    """
    return 2 - 2 * (at_least_float32(first) * at_least_float32(second)).sum(dim=1)


def pair_nce(
    similarity: Tensor,
    against: Tensor,
    negative: Tensor,
    *,
    temperature: float,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """InfoNCE with one positive per query that is not among the columns (GCL, eq. 6-8).

    ``-log(exp s / (exp s + sum_neg exp a_n))``, with s and a divided by the temperature.

    Args:
        similarity: Cosine similarity s of each query and its positive, [Q].
        against: Cosine similarities a of each query and N memory rows, [Q, N].
        negative: Rows that are negatives of the query, [Q, N] bool.
        temperature: Divides the similarities; above 0.
        sample_weight: Factor of each query's loss, [Q]; None is 1.

    Returns:
        Scalar: mean over all queries.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    logits = torch.cat([similarity.unsqueeze(1), against], dim=1)  # [Q, 1 + N]
    first = torch.ones_like(negative[:, :1])
    positive = torch.cat([first, torch.zeros_like(negative)], dim=1)
    candidate = torch.cat([first, negative], dim=1)
    return multi_positive_nce(
        logits, positive, candidate, temperature=temperature, sample_weight=sample_weight
    )
