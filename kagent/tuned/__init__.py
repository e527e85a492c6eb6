"""Tuned hyper-parameters, shipped as data: one JSON file per algorithm, one entry per environment.

The values are those of rl-baselines3-zoo in kagent's words, but where a seed in a few failed with them. DQN on CartPole: its
learning rate falls to 0, and its targets have the rewards of ten timesteps. DQN and QR-DQN on MountainCar: the rate falls to an
eighth, and targets have the rewards of five timesteps. PPO on CartPole looks further ahead. A2C on LunarLander has a tenth of the
critic's weight, and a `gae_lambda` of 0.97. The noise of TRPO on MountainCarContinuous stays for 16 timesteps, as A2C's does,
which were 4; PPO has the same noise there, and rollouts of 1,024 timesteps in place of 8, with which it found the goal and lost
it again. C51, the double and the dueling DQN have DQN's settings; those of IQN, VPG, discrete SAC, PQN, IMPALA, Rainbow, NAF and
CrossQ are kagent's own, and so are those of RecurrentPPO on the T-maze; without velocities it has independent noise, and on
Pendulum a rate that falls to 0. On MuJoCo's environments SAC, TD3 and TQC train for 100,000 timesteps, a tenth of
rl-baselines3-zoo's. An entry holds arguments of the preset, and under `"fit"` arguments of `agent.fit`.

Where a library counts otherwise, the words were translated: passes of a critic over a rollout are TRPO's `critic_steps`; PyTorch's
RMSprop of A2C, which adds 1e-5 outside the root, is Keras's with an epsilon of 1e-10 inside it; A2C's rollouts are a `Rollout`
memory with `gae_lambda`; weights of squared errors are `critic_weight` halves; and `ortho_init=False` is an `initialization` of
"fan_in", with a `head_gain` of "fan_in" for PPO on MuJoCo's environments (other heads begin orthogonal).
"""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

ATARI = "ALE/*"


def load(algorithm: str, environment: str) -> dict[str, Any] | None:
    """The tuned settings of a pair, or None where there are none.

    Args:
        algorithm: Name of a preset in lower case, such as `"dqn"`.
        environment: A gymnasium id, such as `"CartPole-v1"`. All Atari games have the settings of `"ALE/*"`.

    Returns:
        Nested dict of JSON values, a fresh one each time: preset arguments, and `"fit"`.

    Example:

    >>> load("dqn", "CartPole-v1")["fit"]
    {'steps': 50000}
    """
    from kagent.environments import atari  # it imports gymnasium, which `kagent --help` does without

    entries = _entries(algorithm)
    return entries.get(environment, entries.get(ATARI) if atari.is_atari(environment) else None)


def environments(algorithm: str) -> list[str]:
    """The environments that `algorithm` has tuned settings for.

    Example:

    >>> environments("naf")
    ['Pendulum-v1']
    """
    return list(_entries(algorithm))


def _entries(algorithm: str) -> dict[str, dict[str, Any]]:
    folder = importlib.resources.files(__name__)
    known = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".json")}
    entry = known.get(f"{algorithm}.json")  # a name is looked up, never joined to a path
    return {} if entry is None else json.loads(entry.read_text(encoding="utf-8"))
