"""The estimators that train a policy from its own latest timesteps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent import schedules
from kagent.config.signatures import check_known
from kagent.estimators.agent import Agent
from kagent.estimators.config import RunConfig
from kagent.estimators.function_objective import ModelReturnsObjective
from kagent.estimators.function_policy import ModelPolicy
from kagent.estimators.memories import BatchMemory
from kagent.estimators.spec import EstimatorSpec
from kagent.exploration import Sampling
from kagent.objectives.objective import positive
from kagent.optimizers import NaturalGradient
from kagent.update import Update


class PGAgent(Agent):
    """Trains and evaluates a policy that a function describes, by the policy gradient.

    It acts until its memory is full and an episode ends, learns once from all of that, and forgets it. The loss finds the
    discounted returns in `labels["discount_reward"]`. In training, actions are sampled from `predictions["logits"]`, or
    from the normal distribution of `loc` and `scale`.

    Args:
        model_fn, model_dir, config, params: As for `Agent`; the labels are others, see `EstimatorSpec`.
        memory: A `BatchMemory`.
        optimizer_params: `discount`: weight of a reward one timestep later, 0.97 unless given.

    Raises:
        ValueError, TypeError: As `Agent`; another memory, or unknown `optimizer_params`, or such outside their range.

    Example:

    >>> agent = PGAgent(models.VPG(num_actions=2), memory=BatchMemory(1000), optimizer_params={"discount": 0.99})
    >>> found = agent.train("CartPole-v1", steps=50).evaluate("CartPole-v1", episodes=1)
    """

    memories: type = BatchMemory
    columns = ("return", "old_log_prob")
    sampled = True
    defaults: Mapping[str, Any] = {"discount": 0.97}

    def __init__(
        self,
        model_fn: Any,
        memory: Any,
        optimizer_params: Mapping[str, Any] | None = None,
        model_dir: Any = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
    ):
        super().__init__(model_fn, memory, model_dir, config, params)
        self._optimizer_params = self._read(optimizer_params)
        memory.at_episode_ends = True

    optimizer_params = property(lambda self: dict(self._optimizer_params), doc="A copy, with what was not given.")

    def _read(self, given: Any) -> dict[str, Any]:
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"`optimizer_params` must be a dict or None. Received: {given!r}")
        check_known(given or {}, self.defaults, "`optimizer_params`")
        found = {**self.defaults, **(given or {})}
        schedules.get(found["discount"], "optimizer_params['discount']", 0.0, 1.0)
        return found

    def train(  # type: ignore[override]
        self,
        env: Any,
        episodes: int | None = None,
        steps: int | None = None,
        hooks: Any = None,
        max_steps: int | None = None,
        max_episodes: int | None = None,
        verbose: str | int = "auto",
    ) -> Any:
        """Trains in an environment, and returns the agent. Arguments as for `Agent.train`."""
        rule = Update(batch_size=self.memory.batch_size, epochs=1)
        bounds = {"steps": steps, "max_steps": max_steps, "episodes": episodes, "max_episodes": max_episodes}
        return self._train(env, rule, hooks, verbose, **bounds)

    def _parts(self, spec: EstimatorSpec, policy: ModelPolicy) -> dict[str, Any]:
        return {
            "objective": ModelReturnsObjective(),
            "reward_estimation": {"horizon": "episode", "discount": self._optimizer_params["discount"]},
            "exploration": Sampling() if policy.samples else spec.exploration or 0.0,
        }


class TRPOAgent(PGAgent):
    """Trains a policy by steps of a bounded KL divergence: trust region policy optimization (Schulman et al. 2015,
    arXiv:1502.05477), see `kagent.optimizers.NaturalGradient`.

    It learns whenever its memory is full, also within an episode. The loss finds, beside the returns, the log-probability
    of the action under the policy before the update in `labels["log_prob"]`. `train_op` has no part in it.

    A step that would leave the trust region, or does not make the loss smaller, is shrunk, and in the end refused. A refused
    step is none: `global_step`, and with it `steps` and `max_steps`, count those that were accepted. A policy that is as good
    as it gets may refuse all of them: bound `episodes`, too. Updates log `accepted`, 1 or 0, and `kl_divergence`.

    Args:
        model_fn, memory, model_dir, config, params: As for `PGAgent`; the predictions must say from what to sample.
        optimizer_params: What is given of

            - `discount` (0.97): as for `PGAgent`,
            - `max_kl_divergence` (0.005): largest mean KL divergence of an update, in nats,
            - `cg_damping` (0.001): added to the diagonal of the Fisher information,
            - `cg_iterations` (20): products with it, in the search of a direction,
            - `line_search_iterations` (20): how often a step may be shrunk,
            - `override_line_search` (False): whether the whole step is taken where the search finds none, beyond
              `max_kl_divergence` or to a larger loss as it may be.

    Raises:
        ValueError, TypeError: As `PGAgent`; when trained, predictions to sample nothing from.
    """

    defaults = {
        "discount": 0.97,
        "max_kl_divergence": 0.005,
        "cg_damping": 0.001,
        "cg_iterations": 20,
        "line_search_iterations": 20,
        "override_line_search": False,
    }

    _others = {  # names of the optimizer's, where it has others
        "max_kl_divergence": "learning_rate",
        "cg_iterations": "cg_max_iterations",
        "line_search_iterations": "linesearch_iterations",
    }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.memory.at_episode_ends = False

    def _read(self, given: Any) -> dict[str, Any]:
        found = super()._read(given)
        positive(found["max_kl_divergence"], "optimizer_params['max_kl_divergence']")
        for name in self.defaults.keys() - {"discount"}:
            try:
                NaturalGradient(**{self._others.get(name, name): found[name]})
            except (TypeError, ValueError) as error:
                raise type(error)(f"`optimizer_params[{name!r}]`: {error}") from error
        return found

    def _parts(self, spec: EstimatorSpec, policy: ModelPolicy) -> dict[str, Any]:
        optimizer = {self._others.get(name, name): value for name, value in self._optimizer_params.items()}
        optimizer["type"] = "natural_gradient"
        del optimizer["discount"]
        return {**super()._parts(spec, policy), "optimizer": optimizer}

    def get_theta(self) -> np.ndarray:
        """The policy's trainable variables side by side, float32 `(n,)`.

        Raises:
            ValueError: The agent has not been trained, and there is no checkpoint in `model_dir`.
        """
        self._trained()
        result: np.ndarray = self.model.policy.get_theta()
        return result

    def set_theta(self, theta: Any) -> None:
        """The inverse of `get_theta`.

        Raises:
            ValueError: As `get_theta`; numbers that are not so many, or not finite.
        """
        self._trained()
        self.model.policy.set_theta(theta)
        self.model.actor.expire()
