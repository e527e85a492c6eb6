"""Makes the files in `agents_1`: agents of every preset, as the tree of their day writes them.

    PYTHONPATH=.:tests python -m files.make_agents FOLDER [CASE ...]

The files in `agents_1` are never made anew: later trees must read them. Those of before TD3 are of commit cb9c4a6. A new preset's
are made with it: `python -m files.make_agents FOLDER CASE`, and its entry in `expected.json` is added to the other one. Of every
case there are a `.keras` file, a `.weights.h5` file with the memory, and in `expected.json` how the agent acts and how far it has
come. The environment is that of the golden runs (`benchmarks.golden`), as it was then.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from files.own_parts import Doubled, Rate

import kagent
import kagent.callbacks
from benchmarks.golden import Track

STEPS = 60
NETWORK = {"type": "mlp", "units": [4]}
REPLAYED = {"network": NETWORK, "memory": 12, "batch_size": 4, "start": 8, "frequency": 13}
ROLLED = {"network": NETWORK, "n_steps": 11}

# Name: class, arguments of it, arguments of the environment.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dqn": ("DQN", {**REPLAYED, "horizon": 0, "target_update_period": 20}, {}),
    "double_dqn": ("DoubleDQN", {**REPLAYED, "horizon": 0}, {}),
    "dueling_dqn": ("DuelingDQN", {**REPLAYED, "horizon": 0, "stream_units": [4]}, {}),
    "dqn_images": (
        "DQN",
        {**REPLAYED, "horizon": 0, "network": [{"type": "conv2d", "size": 2, "window": 4, "stride": 2}, {"type": "flatten"}]},
        {"observed": "image"},
    ),
    "ppo": ("PPO", {**ROLLED, "batch_size": 8, "epochs": 1}, {}),
    "recurrent_ppo": ("RecurrentPPO", {"network": {"units": [4], "rnn": 3}, "n_steps": 12, "batch_size": 12, "epochs": 1}, {}),
    "impala": ("IMPALA", {**ROLLED, "batch_size": 8, "epochs": 1}, {}),
    "a2c": ("A2C", {"network": NETWORK, "batch_size": 12}, {"acted": "box"}),
    "ac": ("AC", {"network": NETWORK, "batch_size": 12}, {}),
    "vpg": ("VPG", {"network": NETWORK, "batch_size": 1, "max_episode_timesteps": 9}, {}),
    "trpo": ("TRPO", {**ROLLED, "critic_steps": 1}, {}),
    "sac": ("SAC", REPLAYED, {"acted": "box"}),
    "dpg": ("DPG", REPLAYED, {"acted": "box"}),
    "td3": ("TD3", REPLAYED, {"acted": "box"}),
    "iql": ("IQL", REPLAYED, {}),
    "cql": ("CQL", {**REPLAYED, "drawn_actions": 2, "normalize": False}, {"acted": "box"}),
    "discretecql": ("DiscreteCQL", REPLAYED, {}),
    "td3bc": ("TD3BC", REPLAYED, {"acted": "box"}),
    "bc": ("BC", REPLAYED, {}),
    "qrdqn": ("QRDQN", {**REPLAYED, "quantiles": 3}, {}),
    "iqn": (
        "IQN",
        {**REPLAYED, "policy_samples": 3, "samples": 2, "target_samples": 2, "cosines": 3, "head_units": [4]},
        {},
    ),
    "c51": ("C51", {**REPLAYED, "atoms": 3, "dueling": True}, {}),
    "tqc": ("TQC", {**REPLAYED, "quantiles": 3}, {"acted": "box"}),
    "crossq": ("CrossQ", {**REPLAYED, "gradient_steps": 4}, {"acted": "box"}),
    "discrete_sac": ("DiscreteSAC", REPLAYED, {}),
    "naf": ("NAF", REPLAYED, {"acted": "box"}),
    "pqn": ("PQN", {**ROLLED, "batch_size": 8, "epochs": 1}, {}),
    "rainbow": ("Rainbow", {**REPLAYED, "atoms": 3, "stream_units": [3]}, {}),
    "random": ("Random", {}, {}),
    "constant": ("Constant", {"action_values": [0.5, -0.5]}, {"acted": "box"}),
    "parts": (
        "Agent",
        {
            "policy": {"type": "value", "network": NETWORK},
            "objective": "action_value", "update": {"unit": "timesteps", "batch_size": 4, "start": 12, "frequency": 14},
            "reward_estimation": {"horizon": 2, "discount": 0.9, "estimate_horizon": "late"},
            "memory": {"type": "prioritized", "capacity": 14}, "target": {"tau": 0.5}, "exploration": 0.5,
            "optimizer": {"type": "adam", "learning_rate": Rate(1e-2)},
            "preprocessing": {
                "box": [Doubled(), "running_normalization", {"type": "sequence", "length": 2}],
                "reward": {"type": "clipping", "lower": -1.0, "upper": 0.75},
            },
            "n_envs": 2,
        },
        {"observed": "nested", "masked": True},
    ),
}  # fmt: skip

SEEDS = {"dueling_dqn": 4, "rainbow": 5, "parts": 4}  # with 3 they would act alike everywhere


def environment(case: str) -> gymnasium.Env:
    """An environment as that of the case."""
    return Track(**CASES[case][2])


def make(case: str, seed: int) -> kagent.Agent:
    """An agent as that of the case, untrained."""
    kind, arguments, _ = CASES[case]
    agent = getattr(kagent, kind)(environment(case), seed=seed, **arguments)
    agent.compile(run_eagerly=True)  # which files keep
    return agent


def observations(case: str) -> list[Any]:
    """Observations to act on."""
    space = environment(case).observation_space
    space.seed(5)
    return [space.sample() for _ in range(6)]


def actions(case: str, agent: kagent.Agent) -> list[Any]:
    """The best actions for `observations`, as lists."""
    mask = np.array([True, False, True]) if CASES[case][2].get("masked") else None
    return [np.asarray(agent.act(seen, deterministic=True, mask=mask)).tolist() for seen in observations(case)]


def digests(arrays: Any) -> list[str]:
    """Short SHA-256 of arrays, sorted: a later tree may have them in another order."""
    return sorted(hashlib.sha256(np.asarray(array).tobytes()).hexdigest()[:12] for array in arrays)


def facts(case: str, agent: kagent.Agent) -> dict[str, Any]:
    """How far an agent has come, and how it acts."""
    found = {
        "counters": [agent.timesteps, agent.episodes, agent.updates],
        "weights": digests(agent.get_weights()),
        "optimizer": digests(variable.numpy() for variable in agent.optimizer.variables),
    }
    return found if case == "random" else {**found, "actions": actions(case, agent)}


class Ends(kagent.callbacks.Callback):
    """Keeps the timestep, the environment, and the length of each episode that ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[tuple[int, int, int]] = []

    def on_episode_end(self, episode: int, logs: Any = None) -> None:
        self.ends.append((self.model.timesteps, logs["env"], logs["episode_length"]))


def main(folder: Path, cases: list[str]) -> None:
    folder.mkdir(parents=True)
    expected = {}
    for case in cases or CASES:
        agent, ends = make(case, seed=SEEDS.get(case, 3)), Ends()
        agent.fit(lambda case=case: environment(case), steps=STEPS, verbose=0, callbacks=[ends])
        agent.save(folder / f"{case}.keras")
        agent.save_weights(folder / f"{case}.weights.h5")
        # Of each environment the length of its open episode.
        count = agent.n_envs
        last = {env: max([time for time, other, _ in ends.ends if other == env], default=0) for env in range(count)}
        opened = [(STEPS - last[env]) // count for env in range(count)]
        expected[case] = {**facts(case, agent), "memory": len(agent.memory), "open": opened}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
