"""Tensorforce's agents: what each of them puts into the arguments of the most general one, `tensorforce`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kagent.compat.tensorforce.translation.context import check_taken

Arguments = dict[str, Any]

NAMES = {
    "tensorforce": "tensorforce", "default": "tensorforce", "tensorforceagent": "tensorforce", "agent": "tensorforce",
    "vpg": "vpg", "reinforce": "vpg", "vanillapolicygradient": "vpg",
    "ppo": "ppo", "proximalpolicyoptimization": "ppo",
    "trpo": "trpo", "trustregionpolicyoptimization": "trpo",
    "dqn": "dqn", "deepqnetwork": "dqn",
    "double_dqn": "double_dqn", "ddqn": "double_dqn", "doubledqn": "double_dqn",
    "dueling_dqn": "dueling_dqn", "duelingdqn": "dueling_dqn",
    "dpg": "dpg", "ddpg": "dpg", "deterministicpolicygradient": "dpg",
    "ac": "ac", "actorcritic": "ac",
    "a2c": "a2c", "advantageactorcritic": "a2c",
    "random": "random", "randomagent": "random",
    "constant": "constant", "constantagent": "constant",
}  # fmt: skip

# Arguments of all agents that learn, which go on as they are.
SHARED = (
    "state_preprocessing", "exploration", "variable_noise", "l2_regularization", "entropy_regularization",
    "parallel_interactions", "config", "saver", "summarizer", "tracking", "recorder", "max_episode_timesteps", "execution",
)  # fmt: skip
_ON_POLICY = {
    "batch_size": None, "network": "auto", "use_beta_distribution": False, "memory": "minimum", "update_frequency": 1.0,
    "learning_rate": 1e-3, "discount": 0.99, "reward_processing": None, "return_processing": None,
    "predict_terminal_values": False,
}  # fmt: skip
_BASELINE = {**_ON_POLICY, "advantage_processing": None, "baseline": None, "baseline_optimizer": None}
_CRITIC = {**_ON_POLICY, "horizon": 1, "critic": "auto", "critic_optimizer": 1.0}
_OFF_POLICY = {
    "memory": None, "batch_size": None, "network": "auto", "update_frequency": 0.25, "start_updating": None,
    "learning_rate": 1e-3, "horizon": 1, "discount": 0.99, "reward_processing": None, "return_processing": None,
    "predict_terminal_values": False,
}  # fmt: skip
_Q = {**_OFF_POLICY, "huber_loss": None, "target_update_weight": 1.0, "target_sync_frequency": 1}
_MULTI = {"multi_step": 10, "subsampling_fraction": 0.33, "likelihood_ratio_clipping": 0.25}

# What each agent takes beside `SHARED`, with the defaults of 0.6. None of `batch_size` and `memory` is: required.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "vpg": _BASELINE,
    "ppo": {**_BASELINE, **_MULTI},
    "trpo": {
        **_BASELINE, "learning_rate": 1e-2, "linesearch_iterations": 10, "subsampling_fraction": 1.0,
        "likelihood_ratio_clipping": None,
    },
    "dqn": _Q, "double_dqn": _Q, "dueling_dqn": _Q,
    "ac": {**_CRITIC, "state_action_value": False},
    "a2c": {**_CRITIC, "advantage_processing": None},
    "dpg": {
        **_OFF_POLICY, "use_beta_distribution": True, "update_frequency": 1.0, "critic": "auto", "critic_optimizer": 1.0,
    },
}  # fmt: skip
# Where the defaults of 0.5 are others.
_OLDER = {"batch_size": 10, "learning_rate": 3e-4, "update_frequency": None}
_OLDER_Q = {"batch_size": 32, "learning_rate": 3e-4, "update_frequency": None, "horizon": 0}
OLDER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "vpg": _OLDER,
    "ppo": {**_OLDER, "likelihood_ratio_clipping": 0.2},
    "trpo": {**_OLDER, "learning_rate": 1e-3, "likelihood_ratio_clipping": 0.2},
    "dqn": _OLDER_Q, "double_dqn": _OLDER_Q, "dueling_dqn": _OLDER_Q,
    "ac": {**_OLDER, "horizon": 0}, "a2c": {**_OLDER, "horizon": 0},
    "dpg": {**_OLDER_Q},
}  # fmt: skip


def general(agent: str, spec: Mapping[str, Any], older: bool) -> Arguments:
    """The arguments of `tensorforce` that an agent's stand for.

    Args:
        agent: A value of `NAMES`.
        spec: Its arguments, in the words of 0.6.
        older: Whether it is one of 0.5.

    Raises:
        ValueError: An unknown argument, or a required one that is missing.
    """
    if agent not in ARGUMENTS:
        return dict(spec)
    defaults = {**ARGUMENTS[agent], **(OLDER_ARGUMENTS[agent] if older else {})}
    check_taken(spec, [*defaults, *SHARED], f"agent {agent}")
    given = {**defaults, **{name: value for name, value in spec.items() if name in defaults}}
    for name in ("batch_size", "memory"):
        if given[name] is None and not (name == "memory" and older and ARGUMENTS[agent]["memory"] is not None):
            raise ValueError(f"`{name}` is required of agent {agent!r}. Received: None")
    shared = {name: spec[name] for name in SHARED if name in spec}
    return {**_BUILDERS[agent](given, agent), **shared}


def _update(given: Arguments, unit: str) -> Arguments:
    return {
        "unit": unit, "batch_size": given["batch_size"], "frequency": given["update_frequency"],
        "start": given.get("start_updating"),
    }  # fmt: skip


def _memory(given: Arguments) -> Any:
    minimal = given["memory"] in (None, "minimum")
    return {"type": "recent"} if minimal else {"type": "recent", "capacity": given["memory"]}


def _with_baseline(given: Arguments, agent: str) -> Arguments:
    """VPG, PPO and TRPO: whole episodes, and perhaps a baseline."""
    estimation = {
        "horizon": "episode", "discount": given["discount"], "reward_processing": given["reward_processing"],
        "return_processing": given["return_processing"], "predict_horizon_values": False,
    }  # fmt: skip
    made: Arguments = {}
    if given["baseline"] is not None:
        if given["baseline_optimizer"] is None:
            raise ValueError(f"`baseline_optimizer` is required of agent {agent!r} with a baseline. Received: None")
        estimation |= {
            "predict_horizon_values": "early", "estimate_advantage": True,
            "advantage_processing": given["advantage_processing"],
            "predict_terminal_values": given["predict_terminal_values"],
        }  # fmt: skip
        made = {
            "baseline": {"type": "parametrized_state_value", "network": given["baseline"]},
            "baseline_optimizer": given["baseline_optimizer"],
            "baseline_objective": "state_value",
        }
    else:
        for name in ("baseline_optimizer", "predict_terminal_values", "advantage_processing"):
            if given[name]:
                raise ValueError(f"`{name}` of agent {agent!r} needs a `baseline`. Received: {given[name]!r}")
    return {
        **made,
        "policy": _stochastic(given),
        "memory": _memory(given),
        "update": _update(given, "episodes"),
        "optimizer": _own_optimizer(given, agent),
        "objective": _own_objective(given, agent),
        "reward_estimation": estimation,
    }


def _stochastic(given: Arguments) -> Arguments:
    return {
        "type": "parametrized_distributions", "network": given["network"], "temperature": 1.0,
        "use_beta_distribution": given["use_beta_distribution"],
    }  # fmt: skip


def _own_optimizer(given: Arguments, agent: str) -> Arguments:
    rate = given["learning_rate"]
    if agent == "ppo":
        modified = {name: given[name] for name in ("multi_step", "subsampling_fraction")}
        return {"optimizer": "adam", "learning_rate": rate, **modified}
    if agent == "trpo":
        return {
            "optimizer": {"type": "natural_gradient", "learning_rate": rate},
            "linesearch_iterations": given["linesearch_iterations"],
            "subsampling_fraction": given["subsampling_fraction"],
        }
    return {"type": "adam", "learning_rate": rate}


def _own_objective(given: Arguments, agent: str) -> Arguments:
    objective: Arguments = {"type": "policy_gradient"}
    if agent in ("ppo", "trpo"):
        objective |= {"importance_sampling": True, "clipping_value": given["likelihood_ratio_clipping"]}
    return objective


def _actor_critic(given: Arguments, agent: str) -> Arguments:
    actions = given.get("state_action_value", False)
    estimation = {
        "horizon": given["horizon"], "discount": given["discount"], "predict_horizon_values": "early",
        "estimate_advantage": agent == "a2c", "predict_action_values": actions,
        "predict_terminal_values": given["predict_terminal_values"], "reward_processing": given["reward_processing"],
        "return_processing": given["return_processing"], "advantage_processing": given.get("advantage_processing"),
    }  # fmt: skip
    return {
        "policy": _stochastic(given),
        "memory": _memory(given),
        "update": _update(given, "timesteps"),
        "optimizer": {"type": "adam", "learning_rate": given["learning_rate"]},
        "objective": "policy_gradient",
        "reward_estimation": estimation,
        "baseline": {"network": given["critic"]},
        "baseline_optimizer": given["critic_optimizer"],
        "baseline_objective": "action_value" if actions else "state_value",
    }


def _replayed(given: Arguments) -> Arguments:
    return {
        "memory": {"type": "replay", "capacity": given["memory"]},
        "update": _update(given, "timesteps"),
        "optimizer": {"type": "adam", "learning_rate": given["learning_rate"]},
        "reward_estimation": {
            "horizon": given["horizon"], "discount": given["discount"], "predict_horizon_values": "late",
            "predict_terminal_values": given["predict_terminal_values"],
            "reward_processing": given["reward_processing"], "return_processing": given["return_processing"],
        },
    }  # fmt: skip


def _q(given: Arguments, agent: str) -> Arguments:
    made = _replayed(given)
    made["reward_estimation"]["predict_action_values"] = agent != "dqn"
    mode = "separate" if agent == "dueling_dqn" else "implicit"
    return {
        **made,
        "policy": {"type": "parametrized_value_policy", "network": given["network"], "state_value_mode": mode},
        "objective": {"type": "action_value", "huber_loss": given["huber_loss"]},
        "baseline_optimizer": {
            "type": "synchronization", "update_weight": given["target_update_weight"],
            "sync_frequency": given["target_sync_frequency"],
        },
    }  # fmt: skip


def _deterministic(given: Arguments, agent: str) -> Arguments:
    made = _replayed(given)
    made["reward_estimation"]["predict_action_values"] = True
    return {
        **made,
        "policy": {"type": "parametrized_distributions", "network": given["network"], "temperature": 0.0},
        "objective": "deterministic_policy_gradient",
        "baseline": {"type": "parametrized_action_value", "network": given["critic"]},
        "baseline_optimizer": given["critic_optimizer"],
        "baseline_objective": "action_value",
        "exploration": 0.1,
    }


_BUILDERS: dict[str, Callable[[Arguments, str], Arguments]] = {
    "vpg": _with_baseline, "ppo": _with_baseline, "trpo": _with_baseline,
    "dqn": _q, "double_dqn": _q, "dueling_dqn": _q,
    "ac": _actor_critic, "a2c": _actor_critic, "dpg": _deterministic,
}  # fmt: skip
