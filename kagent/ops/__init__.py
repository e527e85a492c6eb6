"""The equations of reinforcement learning as pure functions of tensors.

Every function takes and returns float32 (other inputs are cast), is batch-first (returns: time-major), holds
no state, and runs eagerly, in a graph and under XLA. Every mean is a weighted mean, so that padding has no
effect.
"""

from . import replicas
from .actor_critic import polyak, soft_policy_loss, soft_target, subset_minimum, temperature_loss
from .adam import Moments, adam
from .batch_renormalization import batch_renormalization
from .discrete_soft import categorical_entropy, soft_value
from .distributional import fraction_cosines, greedy_index, project, quantile_huber, select_atoms, truncate
from .dueling import dueling
from .imitation import cross_entropy
from .naf import lower_triangular, naf_value, precision, quadratic_advantage
from .narrow import narrow_product
from .noisy import noisy_linear, scaled_noise
from .norms import clip_by_global_norm, global_norm, sum_of_squares
from .offline import advantage_weights, conservative_gap, expectile_loss, regularized_policy_loss
from .policy_gradient import (
    approx_kl,
    clip_fraction,
    clipped_surrogate,
    clipped_value_loss,
    explained_variance,
    normalize_advantage,
    policy_gradient,
)
from .recurrence import gru, lstm, simple_rnn
from .returns import discounted_return, gae, lambda_return, n_step_return
from .shuffles import order_of
from .smoothing import smoothed_action
from .state_dependent_noise import deviation, state_dependent_log_std
from .td import (
    MASKED,
    by_component,
    discount_factor,
    greedy_value,
    huber,
    mask_values,
    q_learning,
    select,
    weighted_mean,
)
from .trust_region import conjugate_gradient, line_search, trust_region_length
from .value_rescaling import rescaled_value, restored_value
from .vectors import flatten, pieces, unflatten
from .vtrace import VTrace, importance_weight, vtrace
from .windows import window_ends

__all__ = [
    "MASKED",
    "Moments",
    "VTrace",
    "adam",
    "advantage_weights",
    "approx_kl",
    "batch_renormalization",
    "by_component",
    "categorical_entropy",
    "clip_by_global_norm",
    "clip_fraction",
    "clipped_surrogate",
    "clipped_value_loss",
    "conjugate_gradient",
    "conservative_gap",
    "cross_entropy",
    "deviation",
    "discount_factor",
    "discounted_return",
    "dueling",
    "expectile_loss",
    "explained_variance",
    "flatten",
    "fraction_cosines",
    "gae",
    "global_norm",
    "greedy_index",
    "greedy_value",
    "gru",
    "huber",
    "importance_weight",
    "lambda_return",
    "line_search",
    "lower_triangular",
    "lstm",
    "mask_values",
    "n_step_return",
    "naf_value",
    "narrow_product",
    "noisy_linear",
    "normalize_advantage",
    "order_of",
    "pieces",
    "policy_gradient",
    "polyak",
    "precision",
    "project",
    "q_learning",
    "quadratic_advantage",
    "quantile_huber",
    "regularized_policy_loss",
    "replicas",
    "rescaled_value",
    "restored_value",
    "scaled_noise",
    "select",
    "select_atoms",
    "simple_rnn",
    "smoothed_action",
    "soft_policy_loss",
    "soft_target",
    "soft_value",
    "state_dependent_log_std",
    "subset_minimum",
    "sum_of_squares",
    "temperature_loss",
    "truncate",
    "trust_region_length",
    "unflatten",
    "vtrace",
    "weighted_mean",
    "window_ends",
]
