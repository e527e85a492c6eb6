"""The agent: a Keras model made of parts."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

import gymnasium
import keras
import numpy as np
import tensorflow as tf

from kagent import (
    creation,
    environments,
    exploration,
    memories,
    objectives,
    optimizers,
    reward_estimation,
    schedules,
    spaces,
    update,
)
from kagent.actors import PolicyActor
from kagent.evaluation import Evaluation
from kagent.interaction import Interaction
from kagent.learner import Learner
from kagent.optimization import Optimization
from kagent.policies import critics, roles, stochastic, value  # noqa: F401  (they register themselves)
from kagent.preprocessing.model import Preprocessor
from kagent.pretraining import Pretraining
from kagent.registry import plain
from kagent.saving import Saving
from kagent.schedules import Clock
from kagent.spaces import Structure
from kagent.training import Training

STREAMS = ("initialize", "act", "reset", "sample", "graph", "evaluate", "pretrain")  # add at the end: they are numbered


@keras.saving.register_keras_serializable("kagent")
class Agent(Saving, Training, Pretraining, Evaluation, Interaction, Preprocessor, Optimization, keras.Model):
    """Acts in an environment's spaces, remembers, and learns by an objective. Presets give it its parts.

    Every part may be a name, a dict `{"type": name, **arguments}`, or the object.

    Args:
        env: Where the spaces come from: an environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a
            callable that returns one. Nothing is stepped.
        observation_space, action_space: The spaces themselves, in place of `env`.
        policy: What decides: `ValuePolicy`, `StochasticPolicy`.
        objective: What is learned: `ActionValueObjective`, `ClippedPolicyObjective`, `PolicyGradientObjective`,
            `SoftActorCriticObjective`.
        memory: Where experience goes: `Replay`, `Rollout`, or an int: a replay memory's capacity.
        update: When and from how much it learns: `Update`, or an int: the batch size. Kept as `update_rule`.
        reward_estimation: How rewards to come are summed: `RewardEstimation`.
        exploration: How actions are chosen in training: `EpsilonGreedy`, `Sampling`, `ActionNoise`; or a number, a
            schedule, or a dict of these by action: of a value policy epsilon, else the amount of noise.
        critic: Estimate of values beside the policy, or None: `StateValue`, `ActionValue`.
        temperature: Weight of entropy, or None: `Temperature`, or a number: its initial value.
        target: How target networks follow: `Target`.
        optimizer: Optimizer of the policy, and of all roles without their own: a Keras optimizer, a learning rate, or
            a dict `{"type": "Adam", "learning_rate": ..., "global_clipnorm": ...}`, whose rate may be a schedule.
        critic_optimizer, temperature_optimizer: Optimizers of those roles; None: they share the policy's, and their
            losses are minimized together.
        preprocessing: What is done to observations and rewards between the environment and the agent: layers by name or
            type of the state and for `"reward"`, see `kagent.preprocessing`.
        variable_noise: Standard deviation of Gaussian noise on the policy's trainable variables, drawn anew for every
            exploring act; the variables themselves stay as they are. May be a schedule.
        l2_regularization: Weight in every loss of the sum of squares of the trained networks' variables. May be a
            schedule.
        entropy_regularization: Weight of the policy's entropy in its loss, beside what the objective has of it: larger
            keeps it exploring. For stochastic policies. May be a schedule.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Seed of every random stream of the agent, an integer >= 0; None takes one from the system (it is
            then found in `agent.seed`).
        name: The model's name.

    Attributes:
        timesteps: Environment steps taken in training, over all environments.
        episodes: Episodes finished in training.
        updates: Gradient steps taken.
        actor: What computes actions, a `kagent.acting.Actor`.
        explorer: What chooses them in training: the exploration, with noise on the policy where that is asked for.
        target_policy, target_critic: Target networks, where the objective has them.

    Raises:
        ValueError, TypeError: Parts that do not go together, unsupported spaces, both or none of `env` and spaces.
    """

    def __init__(
        self,
        env: Any = None,
        *,
        policy: Any,
        objective: Any,
        memory: Any,
        update: Any,
        reward_estimation: Any,
        exploration: Any,
        observation_space: Any = None,
        action_space: Any = None,
        critic: Any = None,
        temperature: Any = None,
        target: Any = None,
        optimizer: Any = "adam",
        critic_optimizer: Any = None,
        temperature_optimizer: Any = None,
        preprocessing: Any = None,
        variable_noise: Any = 0.0,
        l2_regularization: Any = 0.0,
        entropy_regularization: Any = 0.0,
        n_envs: int = 1,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name or type(self).__name__.lower())
        self.seed = _seed(seed)
        self.n_envs = memories.memory.check_count(n_envs, "n_envs")
        self._observation, self._action = _spaces(env, observation_space, action_space)
        self._set_preprocessing(preprocessing)
        self.program_clock: Clock | None = None
        self._make_streams()
        self._set_parts(policy, objective, memory, update, reward_estimation, exploration, target)
        self._set_roles(critic, temperature)
        self._set_regularization(variable_noise, l2_regularization, entropy_regularization)
        self._optimizer_parts = {
            "policy": optimizer, "critic": critic_optimizer, "temperature": temperature_optimizer
        }  # fmt: skip
        self._check_parts()
        self._setup_roles()
        preprocessed = self.preprocessing is not None
        self.actor = PolicyActor(self.policy, self._observation, self._action, preprocessed)
        self._begin_training_state()
        self.built = True
        self.compile()

    # Parts -----------------------------------------------------------------------------------------------------

    def _set_parts(self, policy, objective, memory, update_, estimation, exploration_, target) -> None:
        self.policy = roles.ROLES.get(policy, "policy", name="policy")
        self.objective = objectives.get(objective)
        self.memory = memories.get(memory)
        self.update_rule = update.get(update_)
        self.reward_estimation = reward_estimation.get(estimation)
        self.exploration = exploration.get(exploration_, sample=isinstance(self.policy, stochastic.StochasticPolicy))
        target = {"type": "Target", **target} if isinstance(target, dict) else target
        self.target = optimizers.Target() if target is None else optimizers.TARGETS.get(target, "target")

    def _set_roles(self, critic, temperature) -> None:
        self.critic = None if critic is None else roles.ROLES.get(critic, "critic", name="critic")
        if isinstance(temperature, int | float) and not isinstance(temperature, bool):
            temperature = {"type": "Temperature", "initial": temperature}
        found = None if temperature is None else roles.ROLES.get(temperature, "temperature", name="temperature")
        self.temperature = found

    def _set_regularization(self, variable_noise: Any, l2: Any, entropy: Any) -> None:
        self.variable_noise = schedules.get(variable_noise, "variable_noise", 0.0)
        self.l2_regularization = schedules.get(l2, "l2_regularization", 0.0)
        self.entropy_regularization = schedules.get(entropy, "entropy_regularization", 0.0)
        if self.entropy_regularization != 0.0 and not isinstance(self.policy, stochastic.StochasticPolicy):
            raise ValueError(
                "`entropy_regularization` needs a policy with an entropy, a StochasticPolicy. "
                f"Received: {entropy!r} and {type(self.policy).__name__}"
            )
        noisy = self.variable_noise != 0.0
        self.explorer = (
            exploration.WithVariableNoise(self.exploration, self.variable_noise) if noisy else self.exploration
        )

    def _check_parts(self) -> None:
        objective = self.objective
        kind = type(objective).__name__
        for role, part, allowed in (
            ("policy", self.policy, objective.policies),
            ("memory", self.memory, (objective.memory,)),
            ("critic", self.critic, (objective.critic,) if objective.critic else ()),
        ):
            names = [cls.__name__ for cls in type(part).__mro__]
            if part is None and (not allowed or (role == "critic" and objective.critic_optional)):
                continue
            if not set(names) & set(allowed):
                expected = " or ".join(allowed) or "None"
                raise ValueError(f"`objective` {kind} needs {role}={expected}. Received: {type(part).__name__}")
        objective.check(self)
        if hasattr(self.exploration, "check"):
            self.exploration.check(self._action)
        if isinstance(self.memory, memories.Replay):
            self.memory.check(self.update_rule.batch_size)
            if self.update_rule.steps is None:
                raise ValueError(f"A replay memory needs update.steps. Received: {self.update_rule}")
        elif self.update_rule.epochs is None or self.update_rule.frequency is not None:
            raise ValueError(
                "A rollout memory needs update.epochs, and no update.frequency: it is learned from when it is full. "
                f"Received: {self.update_rule}"
            )

    def _setup_roles(self) -> None:
        generator = self._streams["initialize"]
        seeds: Callable[[], int] = lambda: int(generator.integers(2**31 - 1))  # noqa: E731
        mask_leaves = tuple(i for i, leaf in enumerate(self._observation.leaves) if leaf.path[:1] == ("action_mask",))
        skip = mask_leaves if len(mask_leaves) < len(self._observation.leaves) else ()
        for role in ("policy", "critic"):
            online = getattr(self, role)
            if online is None:
                continue
            online.setup(self._observation, self._action, seeds, skip)
            if role in self.objective.targets:
                target = online.twin(f"target_{role}")
                target.setup(self._observation, self._action, seeds, skip)
                target.trainable = False
                for copied, original in zip(target.variables, online.variables):
                    copied.assign(original)
                setattr(self, f"target_{role}", target)

    def get_config(self) -> dict[str, Any]:
        """Spaces and parts, JSON-ready; `from_config` is the inverse."""
        parts = {
            "policy": self.policy.get_part(),
            "objective": objectives.OBJECTIVES.serialize(self.objective),
            "memory": self.memory.get_part(),
            "update": update.UPDATES.serialize(self.update_rule),
            "reward_estimation": reward_estimation.REWARD_ESTIMATIONS.serialize(self.reward_estimation),
            "exploration": exploration.EXPLORATIONS.serialize(self.exploration),
            "critic": None if self.critic is None else self.critic.get_part(),
            "temperature": None if self.temperature is None else self.temperature.get_part(),
            "target": optimizers.TARGETS.serialize(self.target),
            "optimizer": optimizers.serialize(self._optimizer_parts["policy"]),
            "critic_optimizer": optimizers.serialize(self._optimizer_parts["critic"]),
            "temperature_optimizer": optimizers.serialize(self._optimizer_parts["temperature"]),
        }
        return {
            "observation_space": spaces.to_config(self.observation_space),
            "action_space": spaces.to_config(self.action_space),
            **parts,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.get_config(),
            "variable_noise": plain(self.variable_noise),
            "l2_regularization": plain(self.l2_regularization),
            "entropy_regularization": plain(self.entropy_regularization),
            "n_envs": self.n_envs,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Agent:
        config = copy.deepcopy(config)
        if "env" in config:  # gymnasium imports the module that an id names; a file may not choose one
            raise ValueError(f"A config holds spaces, never an `env`. Received: env={config['env']!r}")
        for key in ("observation_space", "action_space"):
            if isinstance(config.get(key), dict):
                config[key] = spaces.from_config(config[key])
        return cls(**config)

    @classmethod
    def create(cls, agent: Any = None, environment: Any = None, **overrides: Any) -> Agent:
        """Makes an agent from data.

        Args:
            agent: A name ("ppo", "dqn", "sac" ...), a dict `{"agent": name, **arguments}`, or the path of a `.json`,
                `.yaml` or `.yml` file that holds such a dict. Parts in it are names or dicts too.
            environment: What `env` is to the constructor; None where the data holds the spaces.
            **overrides: Arguments of the constructor; they take the place of those in the data.

        Raises:
            ValueError, TypeError: Unknown names or arguments, with the known ones; an unreadable file; an environment
                in the data.

        Example:

        >>> agent = kagent.Agent.create({"agent": "dqn", "learning_rate": 1e-3}, "CartPole-v1", seed=0)
        """
        return creation.create(cls if agent is None else agent, environment, overrides)

    @property
    def observation_space(self) -> gymnasium.Space:
        """Space of one environment's observations."""
        return self._raw_observation.space

    @property
    def action_space(self) -> gymnasium.Space:
        """Space of one environment's actions."""
        return self._action.space

    @property
    def num_action_components(self) -> int:
        """Scalars in one action, over all leaves."""
        return sum(leaf.size for leaf in self._action.leaves)

    # Randomness ------------------------------------------------------------------------------------------------

    def _make_streams(self) -> None:
        # One counter-based generator per purpose: acting more never changes what is sampled or initialized.
        self._streams = {
            name: np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, number])))
            for number, name in enumerate(STREAMS)
        }
        self._sample_seed = int(self._streams["sample"].integers(2**62))
        self._graph_seed = int(self._streams["graph"].integers(2**31))
        self._evaluation_seed = int(self._streams["evaluate"].integers(2**31))

    @property
    def clock(self) -> Clock:
        """The time now: tensors inside the learner's program, numbers elsewhere."""
        return self.host_clock if self.program_clock is None else self.program_clock

    def step_seed(self) -> tf.Tensor:
        """Seed `(2,)` for `tf.random.stateless_*` in this gradient step: the same step always draws the same."""
        return tf.stack(
            [
                tf.constant(self._graph_seed, tf.int32),
                tf.cast(tf.math.floormod(tf.cast(self.clock.updates, tf.float64), 2.0**31), tf.int32),
            ]
        )

    # Learning --------------------------------------------------------------------------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's seam: `train_function(iterator)` is the compiled learner."""
        if self.train_function is None or force:
            self.train_function = Learner(self, jit=bool(self.jit_compile), eager=bool(self.run_eagerly))
        return self.train_function

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        """Once per update, before it is cut into minibatches: returns, advantages, old log-probabilities."""
        return self.objective.prepare(self, experience)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One gradient step on one minibatch. Override it to learn in your own way.

        Args:
            batch: `observation`, `action`, `reward`, `terminated`, `truncated`, `next_observation` `(B, ...)` from a
                replay memory, or what `prepare` made of a rollout; `weight` `(B,)`, where present, is 0 for padding.

        Returns:
            Scalars to log.
        """
        return self.objective.update(self, batch)

    def learn(self, batch: dict[str, Any], step: Callable[[dict[str, Any]], dict] | None = None) -> dict[str, Any]:
        """`train_step` (or `step`), then what follows every gradient step. Runs in the learner."""
        logs = (step or self.train_step)(batch)
        if isinstance(self.optimizer, optimizers.RoleOptimizer):
            self.optimizer.iterations.assign_add(1)
        if self.objective.targets and self.target.unit == "updates":
            self.move_targets(self.clock.updates + 1)
        return logs

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.summary`: a line per role; `expand_nested=True` shows the layers inside them too."""
        token = roles.EXPANDED.set(True)
        try:
            super().summary(*args, **kwargs)
        finally:
            roles.EXPANDED.reset(token)

    # Acting ----------------------------------------------------------------------------------------------------

    def call(self, observation: Any) -> Any:
        """Greedy actions for a batch of observations, as the environment takes them.

        Args:
            observation: `(N, ...)`, nested as the observation space; `preprocessing` takes each for an episode's first.

        Returns:
            `(N, ...)`, nested as the action space.
        """
        leaves = []
        for leaf, x in zip(self._raw_observation.leaves, self._raw_observation.flatten(observation)):
            x = tf.convert_to_tensor(x)
            if leaf.start is not None and leaf.start.any():
                x = x - tf.cast(leaf.start, x.dtype)
            leaves.append(tf.cast(x, leaf.stored_dtype))
        actions = self.policy.joint.to_env(self.policy.greedy(self._preprocess_batch(leaves)))
        shifted = [
            a + tf.cast(leaf.start, a.dtype) if leaf.start is not None and leaf.start.any() else a
            for leaf, a in zip(self._action.leaves, actions)
        ]
        return self._action.unflatten(shifted)


def _seed(seed: Any) -> int:
    if seed is None:
        return secrets.randbits(31)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"`seed` must be None or an integer from 0 to 2**63 - 1. Received: {seed!r}")
    return int(seed)


def _spaces(env: Any, observation_space: Any, action_space: Any) -> tuple[Structure, Structure]:
    given = [space is not None for space in (observation_space, action_space)]
    if (env is None) != all(given) or (env is not None and any(given)):
        raise ValueError(
            "Give either `env`, or both `observation_space` and `action_space`. "
            f"Received: env={env!r}, observation_space={observation_space!r}, action_space={action_space!r}"
        )
    if env is not None:
        observation_space, action_space = _spaces_of(env)
    return Structure(observation_space, "observation_space"), Structure(action_space, "action_space")


def _spaces_of(env: Any) -> tuple[gymnasium.Space, gymnasium.Space]:
    made = environments.make(env)
    try:
        return made.observation_space, made.action_space
    finally:
        if made.owned:
            made.close()
