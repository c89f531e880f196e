"""Settings that were renamed."""

from __future__ import annotations

RENAMED = {
    "average": "ema_decay",
    "cross": "cross_attention_dim",
    "drop": "condition_dropout",
    "learn": "train_batch",
    "least": "min_angle",
    "least_difference": "min_difference",
    "least_identity": "min_identity",
    "least_score": "min_score",
    "least_structure": "min_structure",
    "live": "positive_from_batch",
    "mean_encoder": "ema_momentum",
    "mix": "mixup_alpha",
    "mixed": "mixup",
    "recompute": "gradient_checkpointing",
    "rule": "algorithm",
    "shuffle": "patch_size",
    "until": "control_end",
    "weigh": "weight_by_identity",
}
"""Old key -> new key in the same section; the error for an old key names the new one."""
