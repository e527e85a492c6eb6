"""Tensorforce's arguments, and the ones of kagent that they stand for. `translate` is the only place where they become kagent's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kagent import callbacks, objectives, reward_estimation, update
from kagent.arguments import baselines, compile_options
from kagent.arguments.space_sources import spaces_of
from kagent.config import signatures, vocabulary
from kagent.config.checks import MOST_ENVS, check_count
from kagent.schedules import Schedule

_WEIGHTS = ("variable_noise", "l2_regularization", "entropy_regularization")
_CRITIC = ("critic", "critic_optimizer", "critic_objective", "target")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
    """Arguments of Tensorforce's agent that are not kagent's own.

    Args:
        states, actions: Specifications in place of `observation_space` and `action_space`: see `kagent.specifications`.
        baseline_policy, baseline_optimizer, baseline_objective: `critic`, `critic_optimizer` and `critic_objective`, or
            `target`: see the table of `kagent.arguments.baselines`.
        variable_noise: Standard deviation of Gaussian noise on the policy's trainable variables, drawn anew for every
            exploring act; the variables themselves stay as they are. May be a schedule.
        l2_regularization: Weight in every loss of the sum of squares of the trained networks' variables. May be a schedule.
        entropy_regularization: Weight of the policy's entropy in its loss, beside what the objective has of it: larger
            keeps it exploring. For stochastic policies. May be a schedule.
        parallel_interactions: Episode streams of `act` and `observe`, each with its own index; and `n_envs`, where that is
            not given.
        buffer_observe: Taken and checked, without effect: what is observed is remembered at once, which costs no call into
            TensorFlow.
        execution, config: Options of `compile` as dicts; `config` may hold `device`, `name` and `seed` too. See
            `kagent.arguments.compile_options`.
        saver, summarizer, recorder: Callbacks of the agent's own, dicts or objects: `kagent.callbacks.Checkpoint`,
            `Summarizer`, `Recorder`. They go along in every `fit`; in loops of the user's own `close()` ends them. They are no
            part of the config or of saved files. What the saver's `load` says is loaded at once: by default the newest
            checkpoint in its directory. The first `fit(steps=...)` then counts from before that checkpoint.
    """

    states: dict[str, Any] | None = None
    actions: dict[str, Any] | None = None
    baseline_policy: Any = None
    baseline_optimizer: Any = None
    baseline_objective: objectives.Objective | str | dict[str, Any] | None = None
    variable_noise: float | Schedule | dict[str, Any] = 0.0
    l2_regularization: float | Schedule | dict[str, Any] = 0.0
    entropy_regularization: float | Schedule | dict[str, Any] = 0.0
    parallel_interactions: int = 1
    buffer_observe: bool | int | None = None
    execution: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    saver: callbacks.Checkpoint | dict[str, Any] | None = None
    summarizer: callbacks.Summarizer | dict[str, Any] | None = None
    recorder: callbacks.Recorder | dict[str, Any] | None = None


DEFAULTS: Mapping[str, Any] = MappingProxyType({field.name: field.default for field in dataclasses.fields(Words)})


def read(cls: type, given: Mapping[str, Any]) -> Words:
    """The words among what a constructor received beside its own arguments.

    Args:
        cls: The class of the agent.
        given: By name.

    Raises:
        TypeError: A name that is neither, with the one that is probably meant.
    """
    unknown = [name for name in given if name not in DEFAULTS]
    if unknown:
        raise TypeError(vocabulary.unexpected(cls.__name__, unknown, signatures.parameters(cls)))
    return Words(**given)


def translate(words: Words, given: Mapping[str, Any], agent: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """kagent's arguments, and options of `compile`.

    Args:
        words: Tensorforce's arguments.
        given: kagent's, by name: `env`, the spaces, the parts of the critic, `objective`, `optimizer`, `reward_estimation`,
            `update`, `device`, `name`, `seed` and `n_envs`, as given.
        agent: Whose they are: of a preset, defaults give way to words.

    Returns:
        `given` with what the words stand for, where the objective, the reward estimation and the update are objects, the
        spaces are spaces, and `time_limit` is the number of timesteps at which the environment cuts episodes off (None: it
        does not); with the number of episode streams, and the weights, that have no other name. And the options.

    Raises:
        ValueError, TypeError: Words without a meaning, or what a word and an argument both say.
    """
    made = dict(given)
    settings = {name: given[name] for name in ("device", "name", "seed")}
    buffer = {"buffer_observe": words.buffer_observe}
    options, found = compile_options.read(words.execution, words.config, {**buffer, **settings})
    made |= {name: found[name] for name in settings}
    made["parallel_interactions"] = check_count(words.parallel_interactions, "parallel_interactions", most=MOST_ENVS)
    if given["n_envs"] is None:
        made["n_envs"] = made["parallel_interactions"]
    made["observation_space"], made["action_space"], made["time_limit"] = spaces_of(
        given["env"], given["observation_space"], given["action_space"], words.states, words.actions
    )
    made["update"] = update.get(given["update"])
    compile_options.check_buffer(found["buffer_observe"], made["update"])
    made["objective"] = objectives.get(given["objective"])
    made["reward_estimation"] = reward_estimation.get(given["reward_estimation"])
    baseline = {
        "policy": words.baseline_policy, "optimizer": words.baseline_optimizer, "objective": words.baseline_objective,
    }  # fmt: skip
    own = baselines.without_defaults(baseline, {name: given[name] for name in _CRITIC}, agent)
    made |= own
    made |= baselines.translate(made["objective"], given["optimizer"], made["reward_estimation"], baseline, own)
    made |= {name: getattr(words, name) for name in _WEIGHTS}
    return made, options
