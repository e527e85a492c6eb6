"""Model functions ready to use: DQN, DDQN, dueling networks, NAF, VPG, TRPO.

Each is an object to be called as a model function is, and to be handed to an agent as it is:

    agent = Agent(models.DDQN(num_actions=2, exploration=explorations.decay()), memory=Memory())

or to be called in a model function of one's own, which may then change what it returns (`dataclasses.replace`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kagent.config.checks import check_flag, check_positive
from kagent.config.signatures import check_function
from kagent.estimators import explorations, heads
from kagent.estimators.spec import Bootstrap, EstimatorSpec, Modes
from kagent.networks import backbones
from kagent.networks.layers import MeanLoss

GraphFn = Callable[..., Any]


def mlp(units: Sequence[int] = (64, 64), activation: str = "relu") -> GraphFn:
    """A `graph_fn`: dense layers on all features side by side.

    Args:
        units: Widths of the layers.
        activation: Of each. Without one, several layers are no more than one.

    Raises:
        ValueError: A width that is not an integer >= 1.
    """
    widths = backbones.widths(units, "units")

    def graph_fn(mode: str, features: Any) -> Any:
        x = backbones.side_by_side(keras.tree.flatten(features))
        for width in widths:
            x = keras.layers.Dense(width, activation)(x)
        return x

    return graph_fn


class Model:
    """What all model functions here share.

    Args:
        head: What it predicts from features: one of `kagent.estimators.heads`, with its `num_actions`: the choices of a
            Discrete action, or the components of a Box action.
        graph_fn: Function `(mode, features)`, called by keyword, that returns what the heads see, `(B, width)`; for images
            it may be a stack of convolutions. Heads are linear, so its last layer should not be. None: `mlp()`.
        optimizer: A Keras optimizer, or what `EstimatorSpec.train_op` takes. None: Adam with what follows.
        learning_rate: Of Adam; may be a schedule, which counts updates (`global_step`).
        clip_gradients: With `optimizer=None`: gradients longer than this are scaled to it; 0: never.

    Raises:
        ValueError, TypeError: Arguments outside their range, or a `graph_fn` without `mode` or `features`.
    """

    def __init__(
        self,
        head: Any,
        graph_fn: GraphFn | None = None,
        *,
        optimizer: Any = None,
        learning_rate: Any = 1e-3,
        clip_gradients: float = 0.5,
    ):
        self.head, self.graph_fn = head, mlp() if graph_fn is None else graph_fn
        check_function(self.graph_fn, "graph_fn", ("mode", "features"))
        clipping = None if clip_gradients == 0 else clip_gradients
        check_positive(clipping, "clip_gradients")
        adam = {"type": "Adam", "learning_rate": learning_rate, "global_clipnorm": clipping}
        self.optimizer = adam if optimizer is None else optimizer

    def __call__(self, features: Any, labels: Any, mode: str) -> EstimatorSpec:
        """See `EstimatorSpec`.

        Raises:
            TypeError: A mode of other estimators than agents.
        """
        if mode in (Modes.GENERATE, Modes.ENCODE):
            raise TypeError(f"An agent's model has no mode {mode!r}: it trains, evaluates and predicts")
        predictions = self.head.predict(lambda: self.graph_fn(mode=mode, features=features))
        return EstimatorSpec(mode, predictions, self.loss, self.optimizer, **self.more())

    def loss(self, labels: dict[str, Any], predictions: dict[str, Any]) -> Any:
        """The scalar to minimize."""
        raise NotImplementedError

    def more(self) -> dict[str, Any]:
        """Further fields of the specification."""
        return {}


class QModel(Model):
    """What the model functions share that learn values from a replay memory, with an `Agent`.

    Args:
        head, graph_fn, optimizer, learning_rate, clip_gradients: As for `Model`.
        discount: Weight of a reward one timestep later, in [0, 1].
        exploration: As `EstimatorSpec.exploration`, or a name or dict of `kagent.estimators.explorations`. None: none.
        target_update_frequency: Updates from one copy of the weights into the target network to the next.
        loss: Name of a Keras loss, or the object: of the value of what was done, `(B, 1)`, against its target.
    """

    bootstrap = Bootstrap()

    def __init__(
        self,
        head: Any,
        graph_fn: GraphFn | None = None,
        *,
        discount: float = 0.97,
        exploration: Any = None,
        target_update_frequency: int = 5,
        loss: Any = "huber",
        **arguments: Any,
    ):
        super().__init__(head, graph_fn, **arguments)
        own: dict[str, Any] = {"discount": discount, "target_update_frequency": target_update_frequency}
        self.bootstrap = dataclasses.replace(self.bootstrap, **own)
        self.exploration = explorations.get(exploration)
        self.loss_function = MeanLoss(loss).loss

    def more(self) -> dict[str, Any]:
        return {"bootstrap": self.bootstrap, "exploration": self.exploration}

    def loss(self, labels: dict[str, Any], predictions: dict[str, Any]) -> Any:
        value = self.head.value(labels["action"], predictions)
        return MeanLoss(self.loss_function)([labels["target"], value])


class DQN(QModel):
    """Q-learning of discrete actions: the target is `reward + discount * (1 - terminated) * max_a Q_target` (Mnih et al.
    2015, "Human-level control through deep reinforcement learning").

    Predictions: `results` `(B,)`, `q` and the advantage head `a` `(B, num_actions)`, and unless `dueling` is None `v`
    `(B,)`.

    Args:
        num_actions: Choices of an action.
        graph_fn: As for `Model`.
        dueling: Heads for the value of the state, V, and of actions, A (Wang et al. 2016, arXiv:1511.06581), joined as
            "mean": `V + A - mean(A)`, "max": `V + A - max(A)`, "naive": `V + A`; True: Q is A, and V stands beside it;
            None: Q is A, and there is no V.
        **arguments: `discount`, `exploration`, `target_update_frequency`, `loss`, `optimizer`, `learning_rate`,
            `clip_gradients`: as for `QModel`.

    Raises:
        ValueError, TypeError: Arguments outside their range.

    Example:

    >>> DQN(num_actions=2, discount=0.99).bootstrap.double
    False
    """

    def __init__(
        self, num_actions: int, graph_fn: Any = None, *, dueling: str | bool | None = "mean", **arguments: Any
    ):
        super().__init__(heads.Values(num_actions, dueling), graph_fn, **arguments)


class DDQN(DQN):
    """Double Q-learning: as `DQN`, but the network that learns chooses the action that the target network values (van
    Hasselt et al. 2016, arXiv:1509.06461).

    Example:

    >>> DDQN(num_actions=2).bootstrap.double
    True
    """

    bootstrap = Bootstrap(double=True)


class NAF(QModel):
    """Q-learning of continuous actions by normalized advantage functions (Gu et al. 2016, arXiv:1603.00748), see
    `kagent.ops.naf`; the target is `reward + discount * (1 - terminated) * V_target`.

    For a Box of one axis. Predictions: `results`, the best action mu, `(B, num_actions)`; its value `v` `(B,)`; and L,
    `lower`, `(B, num_actions, num_actions)`.

    Args:
        num_actions: Components of an action.
        graph_fn: As for `Model`.
        action_bound: Largest size of an action's components: `mu = action_bound * tanh(head)`. None: `mu` is the head.
        shared_torso: Whether the three heads see one torso. False: each has one of its own, for which `graph_fn` is called
            three times (it must then give its layers no names): what makes the value right does not push `mu` to its
            bounds then, where its gradient vanishes.
        **arguments: As for `DQN`.

    Raises:
        ValueError, TypeError: Arguments outside their range.
    """

    bootstrap = Bootstrap("v")

    def __init__(
        self,
        num_actions: int,
        graph_fn: Any = None,
        *,
        action_bound: float | None = None,
        shared_torso: bool = True,
        **arguments: Any,
    ):
        super().__init__(heads.NormalizedAdvantage(num_actions, action_bound, shared_torso), graph_fn, **arguments)


class VPG(Model):
    """The plain policy gradient, `-mean(log pi(a|s) * G)` with the discounted returns G as they are (Williams 1992), for a
    `PGAgent`.

    Predictions: `results`, the most likely action; of discrete actions `logits` `(B, num_actions)`, of continuous ones
    `loc` and `scale` `(B, num_actions)` of independent normal distributions.

    Args:
        num_actions, graph_fn: As for `DQN`, or with `is_continuous` for `NAF`.
        is_continuous: Whether actions are a Box, of one axis.
        log_std: With `is_continuous`: logarithm of `scale` at the start, about. It depends on the state.
        learning_rate, **arguments: As for `Model`: `optimizer`, `clip_gradients`.

    Raises:
        ValueError, TypeError: Arguments outside their range.
    """

    def __init__(
        self,
        num_actions: int,
        graph_fn: Any = None,
        *,
        is_continuous: bool = False,
        log_std: float = 0.0,
        learning_rate: Any = 4e-3,
        **arguments: Any,
    ):
        check_flag(is_continuous, "is_continuous")
        normal = heads.Normal(num_actions, log_std)  # checks `log_std` where it has no part, too
        head = normal if is_continuous else heads.Logits(num_actions)
        super().__init__(head, graph_fn, learning_rate=learning_rate, **arguments)

    def loss(self, labels: dict[str, Any], predictions: dict[str, Any]) -> Any:
        return -ops.mean(self.head.log_prob(labels["action"], predictions) * labels["discount_reward"])


class TRPO(VPG):
    """The surrogate of trust region policy optimization, `-mean(pi(a|s) / pi_old(a|s) * G)` (Schulman et al. 2015,
    arXiv:1502.05477, eq. 14), for a `TRPOAgent`, which bounds the steps and hands in `labels["log_prob"]`, that of the actions
    under the policy before the update; an optimizer has no part in it.

    Predictions and arguments: As for `VPG`.
    """

    def loss(self, labels: dict[str, Any], predictions: dict[str, Any]) -> Any:
        ratio = ops.exp(self.head.log_prob(labels["action"], predictions) - labels["log_prob"])
        return -ops.mean(ratio * labels["discount_reward"])
