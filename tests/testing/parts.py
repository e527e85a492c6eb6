"""The table of kagent's own parts, as `kagent.testing` takes them: small, with few updates."""

from __future__ import annotations

import functools
from typing import Any

import kagent
from kagent import exploration, memories, schedules

NETWORK: dict[str, Any] = {"network": {"type": "mlp", "units": [4]}}
REPLAY = {**NETWORK, "memory": 100, "batch_size": 4, "start": 8, "frequency": 8}
CHOICES = ("Discrete", "MultiDiscrete", "MultiBinary", "Dict")
ALL = (*CHOICES, "Box", "Dict with a Box")

# Name: how it is made, and the action spaces that it is for.
AGENTS = {
    "DQN": (functools.partial(kagent.DQN, **REPLAY, target_update_period=20), CHOICES),
    "Rainbow": (functools.partial(kagent.Rainbow, **REPLAY, atoms=3, low=0.0, stream_units=[3]), CHOICES),
    "DoubleDQN": (functools.partial(kagent.DoubleDQN, **REPLAY), CHOICES),
    "DuelingDQN": (functools.partial(kagent.DuelingDQN, **REPLAY), CHOICES),
    "QRDQN": (functools.partial(kagent.QRDQN, **REPLAY, quantiles=3, dueling=True), CHOICES),
    "IQN": (
        functools.partial(
            kagent.IQN, **REPLAY, policy_samples=4, samples=3, target_samples=2, cosines=5, head_units=[4]
        ),
        CHOICES,
    ),
    "C51": (functools.partial(kagent.C51, **REPLAY, atoms=3, low=0.0), CHOICES),
    "PQN": (functools.partial(kagent.PQN, network={"units": [4]}, n_steps=16, batch_size=8, epochs=2), CHOICES),
    "PPO": (functools.partial(kagent.PPO, **NETWORK, n_steps=16, batch_size=8, epochs=2), ALL),
    "IMPALA": (functools.partial(kagent.IMPALA, **NETWORK, n_steps=16, batch_size=8, epochs=2, sequence_length=4), ALL),
    "RecurrentPPO": (
        functools.partial(
            kagent.RecurrentPPO, network={"units": [4], "rnn": 3}, n_steps=16, batch_size=8, sequence_length=4
        ),
        ALL,
    ),
    "A2C": (functools.partial(kagent.A2C, **NETWORK, batch_size=6), ALL),
    "AC": (functools.partial(kagent.AC, **NETWORK, batch_size=6), ALL),
    "TRPO": (functools.partial(kagent.TRPO, **NETWORK, n_steps=16, critic_steps=3), ALL),
    "VPG": (functools.partial(kagent.VPG, **NETWORK, batch_size=2, memory={"type": "recent", "capacity": 100}), ALL),
    "SAC": (functools.partial(kagent.SAC, **REPLAY), ("Box",)),
    "TQC": (functools.partial(kagent.TQC, **REPLAY, quantiles=3), ("Box",)),
    "CrossQ": (functools.partial(kagent.CrossQ, **REPLAY, policy_delay=2, members=3, subset=2), ("Box",)),
    "DiscreteSAC": (functools.partial(kagent.DiscreteSAC, **REPLAY), ("Discrete",)),
    "DPG": (functools.partial(kagent.DPG, **REPLAY), ("Box",)),
    "TD3": (functools.partial(kagent.TD3, **REPLAY), ("Box",)),
    "NAF": (functools.partial(kagent.NAF, **REPLAY), ("Box",)),
    "PPO with state-dependent noise": (
        functools.partial(kagent.PPO, **NETWORK, n_steps=16, batch_size=8, epochs=2, state_dependent_noise=3),
        ("Box",),
    ),
    "SAC with state-dependent noise": (
        functools.partial(kagent.SAC, **REPLAY, state_dependent_noise={"period": 5, "expln": True}),
        ("Box",),
    ),
    "BC": (functools.partial(kagent.BC, **REPLAY), ALL),
    "TD3BC": (functools.partial(kagent.TD3BC, **REPLAY, normalize=False), ("Box",)),
    "IQL": (functools.partial(kagent.IQL, **REPLAY), ALL),
    "CQL": (functools.partial(kagent.CQL, **REPLAY, drawn_actions=2, normalize=False), ("Box",)),
    "DiscreteCQL": (functools.partial(kagent.DiscreteCQL, **REPLAY), CHOICES),
    "Random": (kagent.Random, ALL),
    "Constant": (kagent.Constant, ALL),
}
# Whose eager updates take long, or that others with the same parts stand for: their contract is marked thorough.
LONG = ("Rainbow", "PPO", "TRPO", "SAC", "TQC", "CrossQ", "DiscreteSAC", "NAF", "PQN", "AC", "DoubleDQN", "DuelingDQN")
LONG += ("DQN", "C51", "DPG", "RecurrentPPO")  # QRDQN and TD3 have the same parts, and more
LONG += ("VPG",)  # A2C has more; its memory is a row of `MEMORIES`
LONG += ("BC", "TD3BC", "IQL", "CQL", "DiscreteCQL")  # policies of PPO, TD3, SAC and DQN
LONG += ("IMPALA",)  # its objective has tests of its own, and all its other parts are those of A2C
LONG += ("IQN",)  # its policy and objective have tests of their own
LONG += ("PPO with state-dependent noise", "SAC with state-dependent noise")
MEMORIES = {
    "Replay": lambda: memories.Replay(50),
    "Prioritized": lambda: memories.Prioritized(40),
    "Hindsight": lambda: memories.Hindsight(60, n_sampled_goals=0),
    "Rollout": lambda: memories.Rollout(25),
    "Recent": lambda: memories.Recent(60),
    "RecentEpisodes": lambda: memories.RecentEpisodes(60),
    "ReplayEpisodes": lambda: memories.ReplayEpisodes(60),
    "ReplaySequences": lambda: memories.ReplaySequences(60, sequence_length=2, burn_in=1),
    "ReplaySequences by errors": lambda: memories.ReplaySequences(60, sequence_length=2, burn_in=1, prioritized=True),
}
EXPLORATIONS = {
    "EpsilonGreedy": exploration.EpsilonGreedy(final=0.1),
    "EpsilonGreedy of steps": exploration.EpsilonGreedy(steps=100),
    "Sampling": exploration.Sampling(random_steps=100),
    "ActionNoise": exploration.ActionNoise(schedules.Linear(0.3, 0.1)),
    "ActionNoise of half ranges": exploration.ActionNoise(0.1, relative=True, random_steps=100),
    "ActionNoise by name": exploration.ActionNoise({"action": 0.5}),
    "OrnsteinUhlenbeckNoise": exploration.OrnsteinUhlenbeckNoise(),
    "greedy": "greedy",
    "random": "random",
    "constant": {"type": "constant", "value": 0.2},
    "decay": {"type": "decay", "decay_steps": 1000},
    "random_decay": {"type": "random_decay", "exploration_rate": 0.2},
    "ornstein_uhlenbeck": "ornstein_uhlenbeck",
    "a number": 0.2,
}

EPISODES = {"update": {"unit": "episodes", "batch_size": 2}, "memory": {"type": "recent", "capacity": 100}}
ROLLOUT = {"update": {"unit": "timesteps", "batch_size": 8, "epochs": 1}, "memory": "rollout"}
CRITIC = {"critic": {"type": "StateValue", **NETWORK}}
ADVANTAGE = {"discount": 0.9, "estimate_horizon": "late", "estimate_advantage": True, "horizon": 2}
ACTION_VALUE = {"critic": {"type": "ActionValue", **NETWORK}, "memory": 100}

# Name: the parts that it is checked with, and the objective where it has arguments.
OBJECTIVES = {
    "action_value": {"memory": 100, "target": {"period": 100}},
    "quantile_regression": {"policy": {**NETWORK, "quantiles": 3}, "memory": 100},
    "implicit_quantiles": {"policy": {**NETWORK, "samples": 3, "cosines": 4, "head_units": [4]}, "memory": 100},
    "categorical_return": {"policy": {**NETWORK, "atoms": 3}, "memory": 100},
    "policy_gradient": {**EPISODES, "reward_estimation": {"discount": 0.9, "horizon": "episode"}},
    "vtrace": {**ROLLOUT, **CRITIC, "exploration": "sampling"},
    "clipped_policy": {**ROLLOUT, **CRITIC, "reward_estimation": ADVANTAGE},
    "state_value": {**CRITIC, "memory": 100},
    "deterministic_policy_gradient": ACTION_VALUE,
    "twin_delayed": ACTION_VALUE,
    "regularized_policy": ACTION_VALUE,
    "implicit_q_learning": {"critic": {"type": "ActionAndStateValue", **NETWORK}, "memory": 100},
    "conservative_action_value": {"memory": 100},
    "conservative_soft_actor_critic": {
        **ACTION_VALUE,
        "temperature": 0.3,
        "policy": {**NETWORK, "distribution": "squashed_gaussian"},
        "objective": {"type": "conservative_soft_actor_critic", "drawn_actions": 2},
    },
    "soft_actor_critic": {
        **ACTION_VALUE,
        "temperature": 0.3,
        "policy": {**NETWORK, "distribution": "squashed_gaussian"},
    },
    "crossq": {
        **ACTION_VALUE,
        "temperature": 0.3,
        "policy": {**NETWORK, "distribution": "squashed_gaussian"},
    },
    "truncated_quantiles": {
        "memory": 100,
        "critic": {**NETWORK, "quantiles": 3},
        "temperature": 0.3,
        "policy": {**NETWORK, "distribution": "squashed_gaussian"},
    },
    "discrete_soft_actor_critic": {"memory": 100, "critic": NETWORK, "temperature": 0.3},
    "normalized_advantage": {"memory": 100, "policy": NETWORK},
    "q_lambda": {
        **ROLLOUT,
        "policy": NETWORK,
        "reward_estimation": {"return_lambda": 0.5, "discount": 0.9},
    },
    "behavior_cloning": {"memory": 100},
    "plus": {
        "objective": {"type": "plus", "objective1": "action_value", "objective2": "behavior_cloning"},
        "memory": 100,
    },
}
# The programs of the others are made of steps of these, and take XLA seconds to compile. Their own
# equations have tests by hand in `tests/objectives`.
FIRST = (
    "action_value",
    "policy_gradient",
    "vtrace",
    "clipped_policy",
    "twin_delayed",
    "plus",
)
