"""The agent: a Keras model made of parts."""

from __future__ import annotations

from kagent import backend  # isort: skip  # noqa: F401  (first: Keras itself may fail to be imported)

import copy
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import gymnasium
import keras
import numpy as np
import tensorflow as tf

from kagent import (
    baselines,
    creation,
    exporting,
    objectives,
    older_configs,
    optimizers,
    spaces,
)
from kagent import execution as execution_
from kagent import reward_estimation as reward_estimations
from kagent.actors import PolicyActor
from kagent.arguments import MOST_ENVS, check_count
from kagent.attachments import Attachments
from kagent.composition import Composition
from kagent.config import allowed, budget, limits
from kagent.counters import Counting
from kagent.evaluation import Evaluation
from kagent.experience import Experience
from kagent.guidance import Guidance
from kagent.interaction import Interaction
from kagent.learner import Learner
from kagent.memories.storage import free_memory
from kagent.optimization import Optimization
from kagent.policies import roles
from kagent.preprocessing.model import Preprocessor
from kagent.pretraining import Pretraining
from kagent.saving import Saving
from kagent.space_sources import spaces_of
from kagent.spaces import Structure
from kagent.training import Training
from kagent.updating import Updating

STREAMS = ("initialize", "act", "reset", "sample", "graph", "evaluate", "pretrain")  # add at the end: they are numbered


@keras.saving.register_keras_serializable("kagent")
class Agent(
    Guidance,
    Saving,
    Training,
    Counting,
    Updating,
    Pretraining,
    Evaluation,
    Interaction,
    Experience,
    Attachments,
    Preprocessor,
    Optimization,
    Composition,
    keras.Model,
):
    """Acts in an environment's spaces, remembers, and learns by an objective. Presets give it its parts.

    Every part may be a name, a dict `{"type": name, **arguments}`, or the object.

    Args:
        env: Where the spaces come from: an environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a
            callable that returns one. Nothing is stepped.
        observation_space, action_space: The spaces themselves, in place of `env`.
        states, actions: Specifications of them, in place of both: see `kagent.specifications`.
        max_episode_timesteps: Timesteps at which episodes are truncated, in `fit` and `evaluate`; what `observe` is told
            must keep it too.
        policy: What decides: `ValuePolicy`, `StochasticPolicy`, `DeterministicPolicy`; "default": the one that the
            objective needs. A list of layers or a Keras model is its network.
        objective: What is learned: `ActionValueObjective`, `ClippedPolicyObjective`, `PolicyGradientObjective`,
            `SoftActorCriticObjective`, `DeterministicPolicyGradientObjective`, `StateValueObjective`, `PlusObjective`.
        memory: Where experience goes: `Replay`, `Recent`, `Rollout`, or an int: a replay memory's capacity. None: what the
            objective needs, as large as it must be. See `kagent.memories.suit`.
        update: When and from how much it learns: `Update`, or an int: the batch size. Kept as `update_rule`.
        reward_estimation: How rewards to come are summed: `RewardEstimation`.
        exploration: How actions are chosen in training: `EpsilonGreedy`, `Sampling`, `ActionNoise`; or a number, a
            schedule, or a dict of these by action: of a value policy epsilon, else the amount of noise.
        critic: Estimate of values beside the policy, or None: `StateValue`, `SharedStateValue`, `ActionValue`.
        critic_objective: What the critic of a policy gradient learns: `StateValueObjective`; None: what the objective
            says; "advantage": it learns through the advantage in the policy's loss.
        temperature: Weight of entropy, or None: `Temperature`, or a number: its initial value.
        target: How target networks follow: `Target`.
        optimizer: Optimizer of the policy, and of all roles without their own: a Keras optimizer, a learning rate, or
            a dict `{"type": "Adam", "learning_rate": ..., "global_clipnorm": ...}`; rates may be schedules. A dict
            may also modify its steps (`multi_step`, `subsampling_fraction`, `clipping_threshold`,
            `linesearch_iterations` ...), see `kagent.optimizers.modifiers_of`; such a step is one update.
        critic_optimizer, temperature_optimizer: Optimizers of those roles; None: they share the policy's, and their
            losses are minimized together.
        baseline_policy, baseline_optimizer, baseline_objective: The critic or the target network in the words of
            Tensorforce: see the table of `kagent.baselines`.
        preprocessing: What is done to observations and rewards between the environment and the agent: layers by name or
            type of the state and for `"reward"`, see `kagent.preprocessing`.
        variable_noise: Standard deviation of Gaussian noise on the policy's trainable variables, drawn anew for every
            exploring act; the variables themselves stay as they are. May be a schedule.
        l2_regularization: Weight in every loss of the sum of squares of the trained networks' variables. May be a
            schedule.
        entropy_regularization: Weight of the policy's entropy in its loss, beside what the objective has of it: larger
            keeps it exploring. For stochastic policies. May be a schedule.
        parallel_interactions: Episode streams of `act` and `observe`, each with its own index.
        buffer_observe: Taken and checked, without effect: what is observed is remembered at once, which costs no call
            into TensorFlow.
        device: Where variables and the learner live, such as "CPU:0"; None: TensorFlow's choice.
        execution, config: Options of `compile` as dicts; see `kagent.execution`.
        saver, summarizer, recorder: Callbacks of the agent's own, dicts or objects: `kagent.callbacks.Checkpoint`,
            `Summarizer`, `Recorder`. They go along in every `fit`; in loops of the user's own `close()` ends them. They
            are no part of the config or of saved files. What the saver's `load` says is loaded at once: by default the
            newest checkpoint in its directory. The first `fit(steps=...)` then counts from before that checkpoint.
        n_envs: Environments that `fit` makes of an id or a callable. None: `parallel_interactions`.
        seed: Seed of every random stream of the agent, an integer >= 0; None takes one from Keras's global
            generator, so that `keras.utils.set_random_seed` makes runs equal (it is then found in `agent.seed`).
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

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        for name, value in kwargs.items():  # before anything walks them that would not end
            limits.check(value, name)
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        env: Any = None,
        *,
        update: Any = None,
        objective: Any = None,
        reward_estimation: Any = None,
        policy: Any = "default",
        memory: Any = None,
        exploration: Any = 0.0,
        observation_space: Any = None,
        action_space: Any = None,
        states: Any = None,
        actions: Any = None,
        max_episode_timesteps: int | None = None,
        critic: Any = None,
        critic_objective: Any = None,
        temperature: Any = None,
        target: Any = None,
        optimizer: Any = "adam",
        critic_optimizer: Any = None,
        temperature_optimizer: Any = None,
        baseline_policy: Any = None,
        baseline_optimizer: Any = None,
        baseline_objective: Any = None,
        preprocessing: Any = None,
        variable_noise: Any = 0.0,
        l2_regularization: Any = 0.0,
        entropy_regularization: Any = 0.0,
        parallel_interactions: int = 1,
        buffer_observe: bool | int | None = None,
        device: str | None = None,
        execution: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        saver: Any = None,
        summarizer: Any = None,
        recorder: Any = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ):
        self._refuse_unknown(unknown)
        self._refuse_missing({"objective": objective, "update": update, "reward_estimation": reward_estimation})
        given = {"buffer_observe": buffer_observe, "device": device, "name": name, "seed": seed}
        options, given = execution_.read(execution, config, given)
        super().__init__(name=given["name"] or type(self).__name__.lower())
        self.seed = _seed(given["seed"])
        self.parallel_interactions = check_count(parallel_interactions, "parallel_interactions", most=MOST_ENVS)
        self.n_envs = check_count(parallel_interactions if n_envs is None else n_envs, "n_envs", most=MOST_ENVS)
        self.max_episode_timesteps = _limit(max_episode_timesteps)
        self.device = execution_.check_device(given["device"])
        self.execution = options
        self._observation, self._action, self._own_limit = spaces_of(
            env, observation_space, action_space, states, actions
        )
        self._set_preprocessing(preprocessing)
        self._make_streams()
        objective = objectives.get(objective)
        parts = baselines.translate(
            objective,
            optimizer,
            reward_estimations.get(reward_estimation),
            {"policy": baseline_policy, "optimizer": baseline_optimizer, "objective": baseline_objective},
            {
                "critic": critic, "critic_optimizer": critic_optimizer, "critic_objective": critic_objective,
                "target": target,
            },
        )  # fmt: skip
        estimation = parts["reward_estimation"]
        self._set_parts(policy, parts["objective"], memory, update, estimation, exploration, parts["target"])
        self._set_roles(parts["critic"], parts["critic_objective"], temperature)
        self._set_regularization(variable_noise, l2_regularization, entropy_regularization)
        # No dict: Keras would put dicts of its own in the place of those inside, and a copy of such a one copies the agent.
        self._optimizer_parts = MappingProxyType(
            {"policy": optimizer, "critic": parts["critic_optimizer"], "temperature": temperature_optimizer}
        )
        self._check_parts()
        self._check_saves(self.get_config)
        execution_.check_buffer(given["buffer_observe"], self.update_rule)
        self._attach(saver, summarizer, recorder)
        with tf.device(self.device):
            self._setup_roles()
            self.actor = PolicyActor(self.policy, self._observation, self._action, self.preprocessing is not None)
            self._begin_training_state()
            self.built = True
            self.compile(**options)
        self._begin_saving()
        self._restore_attached()

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None, **places: Any) -> Agent:
        found = [name for name in creation.PLACES if config.get(name) is not None]
        if found:
            raise ValueError(f"A config says nothing of places on this machine. Received: {found}")
        if "env" in config:  # gymnasium imports the module that an id names; a file may not choose one
            raise ValueError(f"A config holds spaces, never an `env`. Received: env={config['env']!r}")
        allowed.check_settings(config)  # before any of it is made, or copied
        config = older_configs.modernized(copy.deepcopy(config))
        config.pop("agent", None)
        for key in ("observation_space", "action_space"):
            if isinstance(config.get(key), dict):
                config[key] = spaces.from_config(config[key])
        try:
            with budget.of_variables(free_memory(), "no more memory is free"):
                return cls(**config, **places)
        except TypeError as error:
            raise ValueError(str(error)) from error
        except (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, tf.errors.OpError) as error:
            raise ValueError(f"The config makes no agent: {type(error).__name__}: {error}") from error

    @classmethod
    def create(cls, agent: Any = None, environment: Any = None, **overrides: Any) -> Agent:
        """Makes an agent from data.

        Args:
            agent: A name ("ppo", "dqn", "sac" ...), a dict `{"agent": name, **arguments}` (without a name: of this class),
                or the path of a `.json`, `.yaml` or `.yml` file that holds such a dict. Parts in it are names or dicts
                too. What `get_config` gives is such a dict.
            environment: What `env` is to the constructor; None where the data holds the spaces.
            **overrides: Arguments of the constructor; they take the place of those in the data.

        Raises:
            ValueError, TypeError: Unknown names or arguments, with the known ones; an unreadable file; an environment
                in the data.

        Example:

        >>> agent = kagent.Agent.create({"agent": "dqn", "learning_rate": 1e-3}, "CartPole-v1", seed=0)
        """
        return creation.create(cls, agent, environment, overrides)

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
        if self._trainability.has_changed() or self.train_function is None or force:
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

    @property
    def has_own_train_step(self) -> bool:
        """Whether a class derived from kagent's overrides `train_step`."""
        return type(self).train_step is not Agent.train_step

    @property
    def trainable(self) -> bool:
        """Whether it may learn, as of `keras.Model`. If not, nothing in it moves; target networks never learn, and follow
        only an agent that does."""
        return keras.Model.trainable.fget(self)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        for role in self.objective.targets:
            getattr(self, f"target_{role}").trainable = False

    def learn(
        self, batch: Any = None, step: Callable[[dict[str, Any]], dict] | None = None, **others: Any
    ) -> dict[str, Any]:
        """`train_step` (or `step`), then what follows every gradient step. Runs in the learner.

        Raises:
            TypeError: No batch: a call for another library's `learn`.
        """
        self._refuse_training_call(batch, others)
        logs = self.step_metrics.take(self.train_step(batch)) if step is None else step(batch)
        if isinstance(self.optimizer, optimizers.RoleOptimizer):
            self.optimizer.iterations.assign_add(1)
        if self.objective.targets and self.target.unit == "updates" and self.trainable:
            self.move_targets(self.clock.updates + 1)
        return logs

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.summary`: a line per role; `expand_nested=True` shows the layers inside them too.

        Below it there is a line for every image of the observation: how the networks take it.
        """
        token = roles.EXPANDED.set(True)
        try:
            super().summary(*args, **kwargs)
        finally:
            roles.EXPANDED.reset(token)
        show = kwargs.get("print_fn") or (args[2] if len(args) > 2 else None) or print
        for role, found in self.image_readings().items():
            for name, text in found.items():
                show(f"Image {name!r} of {role}: {text}" if name else f"Image of {role}: {text}")

    # Acting ----------------------------------------------------------------------------------------------------

    def call(self, observation: Any) -> Any:
        """Greedy actions for a batch of observations, as the environment takes them.

        Args:
            observation: `(N, ...)`, nested as the observation space; `preprocessing` takes each for an episode's first.

        Returns:
            `(N, ...)`, nested as the action space.
        """
        return self.actions_of(self._preprocess_batch(self.stored(observation)))

    def stored(self, observation: Any) -> list[tf.Tensor]:
        """A batch of observations as the environment gives them, `(N, ...)`, as leaves in the form that kagent keeps."""
        leaves = []
        for leaf, x in zip(self._raw_observation.leaves, self._raw_observation.flatten(observation)):
            x = tf.convert_to_tensor(x)
            if leaf.start is not None and leaf.start.any():
                x = x - tf.cast(leaf.start, x.dtype)
            leaves.append(tf.cast(x, leaf.stored_dtype))
        return leaves

    def actions_of(self, leaves: list[tf.Tensor]) -> Any:
        """Greedy actions, as the environment takes them, for leaves that preprocessing has gone over."""
        actions = self.policy.joint.to_env(self.policy.greedy(leaves))
        return self._action.unflatten([_as_declared(leaf, a) for leaf, a in zip(self._action.leaves, actions)])

    @property
    def raw_structure(self) -> Structure:
        """The observation space's leaves, before preprocessing."""
        return self._raw_observation

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: Any = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Writes the greedy policy, preprocessing included, for programs without kagent: observation in, action out.

        What is written takes a batch of observations `(N, ...)` as the environment gives them, nested as the observation
        space, and gives greedy actions `(N, ...)` as the environment takes them. Masks are respected where the observation
        holds them under "action_mask". Statistics of preprocessing are frozen.

        Args:
            filepath: Where to: a directory for a SavedModel, a name that ends in ".onnx" or ".tflite" for the others.
            format: "tf_saved_model", "onnx" (`pip install 'kagent[onnx]'`) or "litert".
            verbose: As in Keras.
            input_signature: As in Keras; None: observations of any batch size.
            **kwargs: Passed on to Keras: `opset_version` of "onnx", settings of the converter of "litert".

        Raises:
            ValueError: An unknown format, another suffix, a policy without a best action, preprocessing that remembers the
                episode.
            ImportError: A package is missing.
            OSError: The disk cannot take it: full, or read-only. The error names the path and what is free; what was there
                before is as it was.

        Example:

        >>> agent.export("served")
        >>> served = tf.saved_model.load("served")
        >>> actions = served.serve(observations)
        """
        exporting.export(self, filepath, format, verbose, input_signature, kwargs)


def _as_declared(leaf: Any, action: tf.Tensor) -> tf.Tensor:
    # What `Decision.to_env` does in NumPy: a start that is not 0, integers of a Box.
    if leaf.start is not None and leaf.start.any():
        return action + tf.cast(leaf.start, action.dtype)
    return tf.cast(tf.round(action), leaf.dtype) if leaf.kind == "box" and np.dtype(leaf.dtype).kind != "f" else action


def _seed(seed: Any) -> int:
    if seed is None:
        # From Keras's global generator, which `keras.utils.set_random_seed` sets.
        return int(keras.random.randint((), 0, 2**31 - 1))
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"`seed` must be None or an integer from 0 to 2**63 - 1. Received: {seed!r}")
    return int(seed)


def _limit(value: Any) -> int | None:
    return None if value is None else check_count(value, "max_episode_timesteps")
