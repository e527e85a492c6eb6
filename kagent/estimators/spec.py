"""What a model function returns: the specification of an estimator."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

from kagent import schedules
from kagent.config.checks import check_count, check_flag


class Modes:
    """What a model function is called for.

    `TRAIN` explores and learns, `EVAL` acts greedily and measures, `PREDICT` acts greedily. `GENERATE` and `ENCODE` are
    words of other estimators than agents; here they count as inference and are never handed to a model function.
    """

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"
    GENERATE = "generate"
    ENCODE = "encode"

    @classmethod
    def is_train(cls, mode: str) -> bool:
        """Whether `mode` trains."""
        return mode == cls.TRAIN

    @classmethod
    def is_eval(cls, mode: str) -> bool:
        """Whether `mode` evaluates."""
        return mode == cls.EVAL

    @classmethod
    def is_infer(cls, mode: str) -> bool:
        """Whether `mode` only infers: there are no labels then."""
        return mode in (cls.PREDICT, cls.GENERATE, cls.ENCODE)


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """How `Agent` computes `labels["target"]`: `reward + discount * (1 - terminated) * value(next_state)`.

    The value is what the target network, a copy of the model, predicts of the next state. An episode that was truncated
    is bootstrapped, one that terminated is not.

    Args:
        value: Name of the prediction that values a state: `(B, n)`, of which the maximum is taken, such as "q"; or `(B,)`
            or `(B, 1)`, taken as it is, such as "v".
        discount: Factor per timestep, in [0, 1]. May be a schedule.
        double: The online network picks the maximum's index, the target network values it (van Hasselt et al. 2016,
            arXiv:1509.06461, eq. 4). Without effect on a value that is taken as it is.
        target_update_frequency: Updates (`global_step`) from one copy of the weights into the target network to the next;
            1: it always equals the model, as if there were none.

    Raises:
        ValueError, TypeError: A value outside its range.
    """

    value: str = "q"
    discount: float = 0.97
    double: bool = False
    target_update_frequency: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.value, str) or not self.value:
            raise ValueError(f"`bootstrap.value` must be the name of a prediction. Received: {self.value!r}")
        schedules.get(self.discount, "bootstrap.discount", 0.0, 1.0)
        check_flag(self.double, "bootstrap.double")
        check_count(self.target_update_frequency, "bootstrap.target_update_frequency")


@dataclasses.dataclass(frozen=True)
class EstimatorSpec:
    """What a model function returns.

    A model function is called by keyword, once for each mode that is used, with symbolic tensors (`keras.Input`), and builds
    its layers anew in each call; those for EVAL and PREDICT are computed with the weights of those for TRAIN. B is the
    batch, its size unknown.

    `features`: the state, a tensor `(B, *shape)`, which is also `features["state"]`; float32 with the numbers and axes that the
    space declares (of a uint8 image 0 to 255: begin with `keras.layers.Rescaling(1 / 255)`). Of a Dict or Tuple observation
    space a dict of its leaves by their names. Discrete observations are one-hot.

    `labels` is None for PREDICT, else a dict:

    - `action`: index from 0 of a Discrete action, `(B,)` int32; or a Box action, `(B, *shape)` float32.
    - `reward`: of the timestep, `(B,)` float32.
    - `done`: whether the episode ended there, terminated or truncated; `terminated`: whether it came to its own end, after
      which no reward follows. `(B,)` bool.
    - `next_state`, for an `Agent` only: the state that the action led to, at an end too. As `features["state"]`; of a nested
      observation space a dict, as `features`.
    - `target`, for an `Agent` only: what `bootstrap` says, `(B,)` float32.
    - `discount_reward`, for `PGAgent` and `TRPOAgent` only: discounted sum of the rewards from this timestep to its episode's
      end, or to the end of the batch where that is earlier, `(B,)` float32.
    - `log_prob`, for `PGAgent` and `TRPOAgent` only: log-probability of the action under the policy before the update, `(B,)`
      float32; 0 where actions are not sampled.

    Args:
        mode: One of `Modes`; it says what is needed: TRAIN `loss` and `train_op`, EVAL `loss`, PREDICT `predictions`.
        predictions: Dict of symbolic tensors of the features only, `(B, ...)`. "results" is what the agent does: `(B,)`
            integer indices from 0 of a Discrete action space, or `(B, *shape)` of a Box. Policy gradient agents sample
            in training from "logits" `(B, n)`, or from the normal distribution of "loc" and "scale" `(B, *shape)`; where
            there are none of these they do "results".
        loss: Scalar symbolic tensor of features and labels, or a function `loss(labels, predictions)` that returns one.
        train_op: A Keras optimizer, or what `kagent` takes for one: its name, a learning rate, a dict. A schedule of its
            learning rate counts updates (`global_step`).
        eval_metric_ops: Dict of scalar symbolic tensors, logged with every update, by name.
        extra_ops: Dict of symbolic tensors of features and labels, `(B, ...)` or scalar, for agents that need more than a
            loss; others ignore it.
        training_hooks, evaluation_hooks: Keras callbacks that go along in `train`, in `evaluate`.
        bootstrap: What `labels["target"]` is made of. None: `Bootstrap()` where the predictions have "q", else the target
            is the reward.
        exploration: How `Agent` strays from "results" in training; as `kagent.Agent` takes it: None is greedy, a number
            or a schedule over timesteps (`kagent.estimators.explorations`) is, of Discrete actions, the probability of a
            uniformly random one, and of a Box the standard deviation of normal noise; or an exploration object.

    Raises:
        ValueError: An unknown mode, something that the mode needs is missing, a loss that is not scalar, no "results".
        TypeError: Fields of other types.
    """

    mode: str
    predictions: Mapping[str, Any] | None = None
    loss: Any = None
    train_op: Any = None
    eval_metric_ops: Mapping[str, Any] | None = None
    extra_ops: Mapping[str, Any] | None = None
    training_hooks: Any = None
    evaluation_hooks: Any = None
    bootstrap: Bootstrap | None = None
    exploration: Any = None

    def __post_init__(self) -> None:
        needed: dict[str, tuple[str, ...]] = {
            mode: ("predictions",) for mode in (Modes.PREDICT, Modes.GENERATE, Modes.ENCODE)
        }
        needed |= {Modes.TRAIN: ("loss", "train_op"), Modes.EVAL: ("loss",)}
        if not isinstance(self.mode, str) or self.mode not in needed:
            raise ValueError(f"`mode` must be one of {sorted(needed)}. Received: {self.mode!r}")
        for name in needed[self.mode]:
            if getattr(self, name) is None:
                raise ValueError(f"Missing {name}: an EstimatorSpec of mode {self.mode!r} needs it")
        for name in ("predictions", "eval_metric_ops", "extra_ops"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"`{name}` must be a dict of tensors. Received: {value!r}")
        if isinstance(self.loss, str | bytes | Mapping):
            raise TypeError(f"`loss` must be a scalar tensor or a function of them. Received: {self.loss!r}")
        if self.loss is not None and tuple(getattr(self.loss, "shape", ())) != ():
            raise ValueError(f"`loss` must be a scalar. Received: shape {tuple(self.loss.shape)}")
        if self.bootstrap is not None and not isinstance(self.bootstrap, Bootstrap):
            raise TypeError(f"`bootstrap` must be a Bootstrap or None. Received: {self.bootstrap!r}")
        if isinstance(self.exploration, numbers.Number):
            schedules.get(self.exploration, "exploration")
