"""Curves of training for TensorBoard: what the agent does, what comes of it, and how it learns."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.callbacks.callback import Callback, agent_of
from kagent.callbacks.summaries import labels as known_labels
from kagent.callbacks.summaries import losses, rewards
from kagent.callbacks.summaries.activations import ZeroFractions, is_dropout, is_relu
from kagent.callbacks.summaries.directory import open_run
from kagent.callbacks.summaries.labels import DISTRIBUTIONS, DIVERGENCES, ENTROPIES, FUNCTIONS, LABELS, LOSSES
from kagent.callbacks.summaries.latest_steps import Recent
from kagent.callbacks.summaries.parameters import parameters
from kagent.callbacks.summaries.policy import Behavior
from kagent.callbacks.summaries.writer import Writer
from kagent.config.checks import check_count
from kagent.config.signatures import check_known
from kagent.policies.unrolled import carried_sizes
from kagent.schedules import evaluate

_KEYS = ("directory", "frequency", "flush", "max_summaries", "labels")
_UNITS = {"act": 0, "observe": 1, "experience": 1, "update": 2, "variables": 2}  # of timesteps, episodes, updates
_OF_DECISIONS = frozenset((*DISTRIBUTIONS, *ENTROPIES, *DIVERGENCES, "estimated-reward", "dropout", "relu"))
_CHANGES = frozenset(("update-norm", "updates", "updates-histogram"))


class Summarizer(Callback):
    """Writes TensorBoard event files: `tensorboard --logdir <directory>`.

    Each run gets a sub-directory of its own, `summary-YYYYmmdd-HHMMSS`. A further `fit` of the same agent with the
    same object goes on in the same one. Steps are the agent's own counters, so that the curves of a resumed agent go on
    where it stood. Nothing is drawn from the agent's random streams: it learns the same with a summarizer and without.

    | label | tags | step |
    |---|---|---|
    | `bernoulli`, `beta`, `categorical`, `gaussian` | `<label>/<action>/<parameter>`, as acted by | timesteps |
    | `dropout`, `relu` | `<label>/<layer>`: part of zeros in the layer's outputs | timesteps |
    | `timestep-reward` | same | timesteps |
    | `raw-reward` | same: before preprocessing | timesteps |
    | `episode-reward` | same: undiscounted return | episodes |
    | `empirical-reward` | same: discounted rewards to come, mean over the episode's timesteps | episodes |
    | `estimated-reward` | same: mean of the estimated returns of recent timesteps | updates |
    | `entropy`; `action-entropies` | same; `action-entropies/<action>`, in nats | updates |
    | `kl-divergence`; `action-kl-divergences` | same; `action-kl-divergences/<action>`: KL(before, after) | updates |
    | `loss`, `objective-loss`, `regularization-loss` | same | updates |
    | `baseline-loss`, `baseline-objective-loss`, `baseline-regularization-loss` | same: the critic's | updates |
    | `parameters` | `parameters/<dotted name>`: numbers that may be schedules, their present values | updates |
    | `update-norm` | same: Euclidean norm of the change of all trained variables | updates |
    | `updates` | `updates/<variable>-mean`, `-variance` of the change | updates |
    | `updates-histogram` | `updates-histogram/<variable>` | updates |
    | `variables` | `variables/<variable>-mean`, `-variance` after the update | updates |
    | `variables-histogram` | `variables-histogram/<variable>` | updates |
    | `graph` | the policy's network | 0, once |

    `"all"` is all of these but the histograms. Groups: `distributions` (the first four), `entropies`, `kl-divergences`,
    `losses`, `rewards`. What an agent does not have (a critic, dropout, Gaussian actions) is not written.

    Steps are `agent.timesteps`, `agent.episodes` and `agent.updates` (gradient steps) when the thing has happened. Of
    several environments, values of a timestep are means over them. In detail:

    - `<action>` is the name of a leaf of the action space, "action" where that is not nested; `<variable>` a path.
    - Distributions: parameters are means over the observations just acted on, `-0`, `-1` ... for each number (of more
      than 32, `-mean` and `-variance`): `probability` of each choice, or `value` of each action of a value policy;
      `mean` and `stddev` of Gaussian actions (squashed ones: before squashing).
    - Entropies, divergences, zeros and estimates are of the last 64 timesteps. A value policy's distribution is the
      softmax of its action values. Where an entropy has no closed form (squashed Gaussian) it is estimated from a draw.
    - `dropout` is of the network called as in training, `relu` as in acting.
    - `estimated-reward` is what `reward_estimation` makes of rewards, with values by the critic; by the target policy's
      best action, of a value policy; by the target critics at the policy's mode and without the bonus for entropy, of
      soft actor-critic; or with none, where nothing estimates.
    - `loss` is all of what was minimized. The objective's part is the policy's; of rollouts it is without entropy, and
      the critic's is without its coefficient. Regularization is computed from the variables as they are before the
      update: where that takes several gradient steps, it is that of the first.
    - `parameters`: learning rates as the update used them, the rest as of the update's begin.

    Only labels asked for cost anything: with `graph` alone, nothing after the start. Updates asked for by
    `agent.update()` in a callback count too. In offline training (`fit(dataset)`) only the graph is written.

    Args:
        directory: Where the sub-directories go; made when training begins, if need be.
        frequency: None: always. An integer: what is counted in timesteps is written every so many, the rest always. A
            dict: `"act"` every so many timesteps, `"observe"` (`episode-reward`) and `"experience"`
            (`empirical-reward`) episodes, `"update"` and `"variables"` (both labels of them) updates, each of all its
            gradient steps; what it leaves out is never written. Due is what reaches or passes a multiple.
        flush: Seconds between flushes of the file, > 0.
        max_summaries: How many such sub-directories are kept, those of other runs included: the oldest are deleted.
            Nothing else in there is touched.
        labels: `"all"`, or labels and groups.

    Attributes:
        path: The run's sub-directory, or None before the first.

    Raises:
        TypeError, ValueError: A bad argument, at once; when training begins, no agent, or labels that need what a recurrent
            network makes of single observations.

    Example:

    >>> summarizer = kagent.callbacks.Summarizer("summaries", labels=["graph", "losses", "entropy", "episode-reward"])
    >>> history = agent.fit("CartPole-v1", steps=20_000, callbacks=[summarizer], verbose=0)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        frequency: int | Mapping[str, int] | None = None,
        flush: float = 10,
        max_summaries: int = 5,
        labels: str | Iterable[str] = ("graph",),
    ):
        super().__init__()
        if not isinstance(directory, str | os.PathLike):
            raise TypeError(
                f"`summarizer.directory` must be a path. Received: {directory!r} ({type(directory).__name__})"
            )
        self.directory = Path(directory)
        self.frequency, self.flush = frequency, _seconds(flush)
        self.max_summaries = check_count(max_summaries, "summarizer.max_summaries")
        found, pace = known_labels.expand(labels), known_labels.periods(frequency)
        functions = {name: LABELS[name] for name in found}
        self.labels = frozenset(name for name, f in functions.items() if f is None or pace[f] is not None)
        self.path: Path | None = None
        self._paces = {function: known_labels.Pace(pace[function]) for function in FUNCTIONS}
        self._of = {f: frozenset(name for name in self.labels if LABELS[name] == f) for f in FUNCTIONS}
        self._writer: Any = None
        self._begun: Any = None  # the agent whose run this is
        self._counts: tuple[int, ...] | None = None  # the agent's, when the last fit ended
        self._fresh = True
        self._updates: list[dict[str, Any]] = []  # what is known of the updates under way: one may ask for another
        judged = self.labels & {*ENTROPIES, *DIVERGENCES, "estimated-reward", "dropout", "relu"}
        self._recent = Recent("estimated-reward" in self.labels) if judged else None
        self._episodes = rewards.DiscountedRewards()

    @classmethod
    def from_spec(cls, spec: Any) -> Summarizer:
        """A summarizer from Tensorforce's `summarizer` dict, or as it is.

        Args:
            spec: `directory`, and what is wanted of `frequency`, `flush`, `labels`, and `max_summaries`, which may also
                be written `max-summaries`.

        Raises:
            ValueError, TypeError: Not a dict, an unknown or missing key, a bad value.

        Example:

        >>> kagent.callbacks.Summarizer.from_spec({"directory": "summaries", "max-summaries": 3}).max_summaries
        3
        """
        if isinstance(spec, cls):
            return spec
        if not isinstance(spec, Mapping):
            raise TypeError(f"`summarizer` must be a dict with the keys {list(_KEYS)}. Received: {spec!r}")
        arguments = {"max_summaries" if key == "max-summaries" else key: value for key, value in spec.items()}
        check_known(list(spec), [*_KEYS, "max-summaries"], "`summarizer`", "key")
        if len(arguments) < len(spec):
            raise ValueError(f"`summarizer` takes max_summaries or max-summaries, not both. Received: {list(spec)}")
        if "directory" not in arguments:
            raise ValueError(f"`summarizer` needs a 'directory'. Received: {list(spec)}")
        return cls(**arguments)

    def overrides(self, event: str) -> bool:
        needed = {
            "on_timestep_end": bool(self._of["act"] | self._of["experience"]) or self._recent is not None,
            "on_episode_begin": bool(self._of["experience"]),
            "on_episode_end": bool(self._of["observe"] | self._of["experience"]),
        }
        of_updates = ("on_update_begin", "on_update_end", "on_requested_update_end")
        needed |= dict.fromkeys(of_updates, bool(self._of["update"] | self._of["variables"]))
        return needed[event] if event in needed else super().overrides(event)

    # Begin and end ---------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        agent = agent_of(self)
        again = agent is self._begun and self.path is not None and self.path.is_dir()
        if not again:
            self.path, self._begun = open_run(self.directory, self.max_summaries), agent
            self._counts = None
        _check_recurrent(agent, self.labels)
        self._behavior = Behavior(agent)
        # Per layer: the function that finds them, and whether it is asked for.
        chosen = {"dropout": (is_dropout, True), "relu": (is_relu, False)}
        self._zeros = {
            label: ZeroFractions(agent.policy.model, *given) for label, given in chosen.items() if label in self.labels
        }
        assert self.path is not None
        self._writer = Writer(self.path, self.flush)
        self._fresh, self._updates = True, []
        if "graph" in self.labels and not again:
            self._writer.graph(_graph(agent.policy))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._fresh:
            return
        # Not in on_train_begin: a callback behind this one may load a checkpoint there.
        self._fresh, agent = False, self.model
        counts = agent.timesteps, agent.episodes, agent.updates
        passed = agent.timesteps, agent.episodes, _updates(agent)
        for function, pace in self._paces.items():
            pace.begin(passed[_UNITS[function]])
        if self._counts != counts:
            self._episodes.clear()  # their first steps were not seen
        if self._recent is not None:
            self._recent.clear()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        agent = self.model
        self._counts = agent.timesteps, agent.episodes, agent.updates
        self.on_train_abort()

    def on_train_abort(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # What happens ----------------------------------------------------------------------------------------------

    def on_timestep_end(self, timestep: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        valid = logs["valid"]
        if self._recent is not None:
            self._recent.append(logs)
        if self._of["experience"]:
            discount = evaluate(self.model.reward_estimation.discount, self.model.clock)
            self._episodes.append(logs["reward"], valid, discount)
        if not (self._of["act"] and valid.any() and self._paces["act"].is_due(timestep)):
            return
        found: dict[str, float] = {}
        if "timestep-reward" in self.labels:
            found["timestep-reward"] = rewards.mean_of(logs["reward"], valid)
        if "raw-reward" in self.labels:
            found["raw-reward"] = rewards.mean_of(logs.get("raw_reward", logs["reward"]), valid)
        if self.labels.intersection(DISTRIBUTIONS):
            rows = valid.astype(bool)
            masks = logs["action_mask"]
            masks = None if masks is None else [m if m is None else m[rows] for m in masks]
            given = self._behavior.parameters([x[rows] for x in logs["observation"]], masks)
            found |= self._behavior.distributions(given, self.labels)
        if self._zeros:
            assert self._recent is not None
            leaves, _ = self._recent.observations()
            for label, fractions in self._zeros.items():
                found |= {f"{label}/{name}": value for name, value in fractions(leaves, timestep).items()}
        self._writer.scalars(timestep, found)

    def on_episode_begin(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        self._episodes.begin(logs["env"])

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        finished = episode + 1
        found: dict[str, float] = {}
        if self._of["observe"] and self._paces["observe"].is_due(finished):
            found["episode-reward"] = logs["episode_return"]
        if self._of["experience"]:
            mean = self._episodes.end(logs["env"], logs["episode_length"])
            if self._paces["experience"].is_due(finished) and mean is not None:
                found["empirical-reward"] = mean
        self._writer.scalars(finished, found)

    def on_update_begin(self, update: int, logs: dict[str, Any] | None = None) -> None:
        agent = self.model
        count = _updates(agent) + agent.steps_per_execution  # with the coming ones
        due = [f for f in ("update", "variables") if self._of[f] and self._paces[f].is_due(count)]
        labels: frozenset[str] = frozenset().union(*(self._of[function] for function in due))
        known: dict[str, Any] = {"labels": labels, "clock": agent.clock}
        if labels & _CHANGES:
            known["variables"] = losses.read(agent.trainable_variables)
        if labels.intersection(LOSSES):
            roles = [role for role in ("policy", "critic") if getattr(agent, role) is not None]
            known["penalties"] = {role: losses.regularization(agent, role, agent.clock) for role in roles}
        if labels.intersection(DIVERGENCES) and self._recent:
            known["observations"] = self._recent.observations()
            known["parameters"] = self._behavior.parameters(*known["observations"])
        self._updates.append(known)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        known, agent = self._updates.pop(), self.model
        labels = known["labels"]
        if not labels:
            return
        found: dict[str, float] = {}
        if labels.intersection(LOSSES):
            penalties = known["penalties"]
            found |= losses.losses(agent, logs, penalties["policy"], penalties.get("critic", 0.0))
        if self._recent:
            found |= self._judged(known)
        if "parameters" in labels:
            found |= {f"parameters/{name}": value for name, value in parameters(agent, known["clock"]).items()}
        chosen = {tag: value for tag, value in found.items() if tag.split("/")[0] in labels}
        self._writer.scalars(update, chosen)
        self._write_variables(update, labels, known.get("variables"))

    def on_requested_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self.on_update_end(update, logs)

    def _judged(self, known: dict[str, Any]) -> dict[str, float]:
        assert self._recent is not None
        labels, behavior = known["labels"], self._behavior
        found: dict[str, float] = {}
        if labels.intersection((*ENTROPIES, *DIVERGENCES)):
            after = behavior.parameters(*(known.get("observations") or self._recent.observations()))
            if labels.intersection(ENTROPIES):
                found |= _with_sum("entropy", "action-entropies", behavior.entropies(after))
            if "parameters" in known:
                moved = behavior.divergences(known["parameters"], after)
                found |= _with_sum("kl-divergence", "action-kl-divergences", moved)
        if "estimated-reward" in labels:
            found["estimated-reward"] = behavior.estimated_reward(self._recent.rollout(), known["clock"])
        return found

    def _write_variables(self, step: int, labels: frozenset[str], before: list[np.ndarray] | None) -> None:
        if not labels & {*_CHANGES, "variables", "variables-histogram"}:
            return
        variables = self.model.trainable_variables
        names, values = losses.names_of(variables), losses.read(variables)
        found: dict[str, float] = {}
        arrays = {"variables": values}
        if before is not None:
            arrays["updates"] = [new - old for old, new in zip(before, values)]
            if "update-norm" in labels:
                found["update-norm"] = losses.norm(arrays["updates"])
        for label, given in arrays.items():
            if label in labels:
                found |= losses.moments(label, names, given)
        self._writer.scalars(step, found)
        for label in (f"{name}-histogram" for name in arrays):
            if label in labels:
                given = arrays[label.removesuffix("-histogram")]
                self._writer.histograms(step, {f"{label}/{name}": array for name, array in zip(names, given)})


def _check_recurrent(agent: Any, labels: frozenset[str]) -> None:
    """Refuses labels that need the policy's decisions, which depend on the states of episodes where it is recurrent."""
    refused = sorted(labels & _OF_DECISIONS)
    if refused and carried_sizes(agent.policy, agent.critic):
        raise ValueError(
            "`summarizer.labels` of an agent with a recurrent network must not need what it makes of single observations. "
            f"Received: {refused}. Allowed: {', '.join(sorted(known_labels.LABELS.keys() - _OF_DECISIONS))}"
        )


def _with_sum(whole: str, each: str, parts: dict[str, float | None]) -> dict[str, float]:
    found = {f"{each}/{name}": value for name, value in parts.items() if value is not None}
    # Of some of the actions alone it would not be that of the whole.
    return {whole: sum(found.values()), **found} if len(found) == len(parts) else found


def _graph(policy: Any) -> tf.Graph:
    specs = [tf.TensorSpec(x.shape, x.dtype, name=f"observation_{i}") for i, x in enumerate(policy.inputs())]
    traced = tf.function(lambda leaves: policy.model(leaves, training=False), autograph=False)
    return traced.get_concrete_function(specs).graph


def _updates(agent: Any) -> int:
    """How many there were, each of as many gradient steps as `update` says."""
    result: int = agent.counters.batches_drawn * agent.steps_per_execution
    return result


def _seconds(flush: Any) -> float:
    number = isinstance(flush, numbers.Real) and not isinstance(flush, bool)
    if not number or not 0 < float(flush) < math.inf:
        raise ValueError(f"`summarizer.flush` must be a number of seconds > 0. Received: {flush!r}")
    return float(flush)
