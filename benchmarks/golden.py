"""Digests of short training runs of every preset: whether a change of the code changes a number.

    python -m benchmarks.golden --write golden.json       # in the tree before the change
    python -m benchmarks.golden --compare golden.json     # in the tree after it; exit status 1: something differs

Each run trains a small agent for 500 timesteps. Its digests are those of the weights, of the optimizer's variables, of the target
networks, of evaluated returns, of actions (of NumPy and of Keras), of counters and logs, and the sequence of callback events.
Processors round differently: files are compared on the machine that wrote them, and with the same versions.

The program uses kagent's documented names only and imports nothing of this project, so that a copy of it runs on another tree:

    PYTHONPATH=/path/to/tree python golden.py --write before.json
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import numpy as np
from gymnasium import spaces

STEPS, EPOCH = 500, 130  # timesteps; epochs end neither with episodes nor with rollouts
SEEDS = (0, 1, 2)
SETTINGS = ("OPENBLAS_CORETYPE", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS")  # which may change how numbers are rounded
MODES: dict[str, dict[str, Any]] = {
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "eager": {"jit_compile": False, "run_eagerly": True},
}
EVENTS = (
    "train_begin", "train_end", "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end", "test_begin", "test_end",
    "test_batch_begin", "test_batch_end", "episode_begin", "episode_end", "timestep_end", "update_begin", "update_end",
)  # fmt: skip


class Track(gymnasium.Env):
    """A point on a line, pushed to and fro. Its episodes end in both ways: off the track, or after 25 steps.

    The agents in `tests/files/agents_1` are of its spaces, and their open episodes are replayed in it: leave it as it is.

    Args:
        observed: "box" `(3,)`, "nested" (a dict of a box, a bounded integer and bits), or "image" `(8, 8, 1)` of uint8.
        acted: "discrete" (3 values), "box" `(2,)`, or "nested" (both).
        masked: Whether `info["action_mask"]` forbids one of the discrete actions.
    """

    def __init__(self, observed: str = "box", acted: str = "discrete", masked: bool = False):
        self.observed, self.acted, self.masked = observed, acted, masked
        box = spaces.Box(-4.0, 4.0, (3,), np.float32)
        observations: dict[str, spaces.Space] = {
            "box": box,
            "nested": spaces.Dict(
                box=box, pair=spaces.Tuple((spaces.Discrete(5, start=2), spaces.MultiBinary(2))),
            ),
            "image": spaces.Box(0, 255, (8, 8, 1), np.uint8),
        }  # fmt: skip
        actions: dict[str, spaces.Space] = {
            "discrete": spaces.Discrete(3),
            "box": spaces.Box(-2.0, 1.0, (2,), np.float32),
            "nested": spaces.Dict(push=spaces.Discrete(3), turn=spaces.Box(-1.0, 1.0, (2,), np.float32)),
        }
        self.observation_space, self.action_space = observations[observed], actions[acted]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.speed, self.time = float(self.np_random.uniform(-0.5, 0.5)), 0.0, 0
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        push, turn = (action["push"], action["turn"]) if self.acted == "nested" else (action, action)
        force = (int(push) - 1) * 0.4 if self.acted != "box" else 0.0
        force += 0.3 * float(turn[0]) - 0.1 * float(turn[1]) if self.acted != "discrete" else 0.0
        self.speed = 0.8 * self.speed + force + float(self.np_random.normal(0, 0.1))
        self.place += 0.3 * self.speed
        self.time += 1
        terminated = abs(self.place) > 1
        return self._observe(), 1 - self.place**2, terminated, self.time >= 25 and not terminated, self._info()

    def _observe(self) -> Any:
        box = np.clip([self.place, self.speed, self.time / 25], -4, 4).astype(np.float32)
        if self.observed == "nested":
            return {"box": box, "pair": (2 + self.time % 5, np.array([self.place > 0, self.speed > 0], np.int8))}
        if self.observed == "image":
            image = np.zeros((8, 8, 1), np.uint8)
            image[:, int(np.clip(4 * (self.place + 1), 0, 7))] = 200
            image[self.time % 8] += 50
            return image
        return box

    def _info(self) -> dict[str, Any]:
        return {"action_mask": np.arange(3) != self.time % 3} if self.masked else {}


NETWORK = {"type": "mlp", "units": [6]}
REPLAYED = {"network": NETWORK, "memory": 150, "batch_size": 8, "start": 20}
VALUES = {**REPLAYED, "frequency": 4, "target_update_period": 50, "learning_rate": 5e-3}
ROLLED = {"network": NETWORK, "n_steps": 20, "batch_size": 16, "epochs": 2, "n_envs": 2, "learning_rate": 5e-3}

# Name: class, arguments of it, arguments of the environment. "of parts" are agents without a preset.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dqn": ("DQN", VALUES, {}),
    "dqn masked": ("DQN", {**VALUES, "n_envs": 2}, {"masked": True}),
    "dqn prioritized windows": (
        "DQN",
        {
            **VALUES, "n_envs": 2, "gradient_steps": 2, "memory": {"type": "prioritized", "capacity": 150}, "horizon": 2,
            "learning_rate": {"type": "Linear", "initial": 1e-2, "final": 1e-3}, "l2_regularization": 1e-3,
        },
        {},
    ),
    "double_dqn": ("DoubleDQN", VALUES, {}),
    "dueling_dqn": ("DuelingDQN", {**VALUES, "stream_units": [4]}, {}),
    "qrdqn": ("QRDQN", {**VALUES, "quantiles": 5, "double": True}, {"masked": True}),
    "iqn": ("IQN", {**VALUES, "policy_samples": 4, "samples": 3, "cosines": 5, "head_units": [4]}, {"masked": True}),
    "c51": ("C51", {**VALUES, "atoms": 5, "dueling": True}, {}),
    "iql": ("IQL", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3}, {"masked": True}),
    "cql": ("CQL", {**REPLAYED, "frequency": 6, "drawn_actions": 2}, {"acted": "box"}),
    "discretecql": ("DiscreteCQL", VALUES, {"masked": True}),
    "td3bc": ("TD3BC", {**REPLAYED, "frequency": 3}, {"acted": "box"}),
    "bc": ("BC", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3}, {"masked": True}),
    "naf": ("NAF", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3}, {"acted": "box"}),
    "pqn": ("PQN", ROLLED, {"masked": True}),
    "rainbow": ("Rainbow", {**VALUES, "atoms": 5, "stream_units": [4]}, {"masked": True}),
    "ppo": ("PPO", ROLLED, {}),
    "impala": ("IMPALA", ROLLED, {}),
    "recurrent_ppo": ("RecurrentPPO", {**ROLLED, "network": {"units": [4], "rnn": 3}, "sequence_length": 4}, {"acted": "box"}),
    "ppo of a shared network": ("PPO", {**ROLLED, "critic": "shared_state_value", "n_envs": 1}, {"acted": "box"}),
    "ppo nested": (
        "PPO",
        {
            **ROLLED, "entropy_coefficient": 0.01, "clip_range": {"type": "Linear", "initial": 0.3, "final": 0.1},
            "preprocessing": {
                "box": ["running_normalization", {"type": "sequence", "length": 2}],
                "reward": {"type": "exponential_normalization", "decay": 0.9},
            },
        },
        {"observed": "nested", "acted": "nested"},
    ),
    "ppo images": (
        "PPO",
        {
            **ROLLED, "network": [
                {"type": "conv2d", "size": 3, "window": 3, "stride": 2}, {"type": "flatten"}, {"type": "dense", "size": 6},
            ],
            "preprocessing": {"type": "deltafier", "concatenate": 2},
        },
        {"observed": "image"},
    ),
    "ac": ("AC", {"network": NETWORK, "batch_size": 16, "horizon": 2, "learning_rate": 5e-3}, {}),
    "a2c": ("A2C", {"network": NETWORK, "batch_size": 16, "learning_rate": 5e-3}, {"acted": "box"}),
    "vpg": ("VPG", {"network": NETWORK, "batch_size": 1, "learning_rate": 5e-3, "max_episode_timesteps": 25}, {}),
    "vpg with a baseline": (
        "VPG",
        {
            "network": NETWORK, "batch_size": 2, "frequency": 1, "baseline": {"network": NETWORK}, "baseline_optimizer": 1e-2,
            "max_episode_timesteps": 25,
        },
        {"acted": "box"},
    ),
    "trpo": ("TRPO", {"network": NETWORK, "n_steps": 20, "critic_steps": 3}, {}),
    "sac": ("SAC", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3}, {"acted": "box"}),
    "tqc": ("TQC", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3, "quantiles": 5}, {"acted": "box"}),
    "crossq": ("CrossQ", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3, "gradient_steps": 2}, {"acted": "box"}),
    "discrete_sac": ("DiscreteSAC", {**REPLAYED, "frequency": 4, "learning_rate": 5e-3}, {"masked": True}),
    "sac early windows": (
        "SAC",
        {
            **REPLAYED, "frequency": 4, "n_envs": 2, "temperature": 0.1,
            "reward_estimation": {"horizon": 3, "discount": 0.9, "estimate_horizon": "early"},
        },
        {"acted": "box"},
    ),
    "dpg": ("DPG", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3, "members": 2}, {"acted": "box"}),
    "td3": ("TD3", {**REPLAYED, "frequency": 3, "learning_rate": 5e-3, "gradient_steps": 2}, {"acted": "box"}),
    "of parts, on policy": (
        "Agent",
        {
            "policy": {"type": "stochastic", "network": NETWORK}, "objective": "policy_gradient",
            "update": {"unit": "timesteps", "batch_size": 16, "frequency": 8}, "memory": {"type": "recent", "capacity": 40},
            "reward_estimation": {"horizon": 3, "discount": 0.95, "estimate_horizon": "late", "estimate_advantage": True},
            "critic": {"type": "state_value", "network": NETWORK}, "critic_optimizer": {"type": "sgd", "learning_rate": 1e-2},
            "optimizer": {"type": "adam", "learning_rate": 5e-3, "clipping_threshold": 0.5},
            "entropy_regularization": 0.02, "l2_regularization": 1e-3, "variable_noise": 0.05, "exploration": 0.1,
        },
        {},
    ),
    "of parts, evolutionary": (
        "Agent",
        {
            "policy": {"type": "stochastic", "network": NETWORK}, "objective": "policy_gradient", "max_episode_timesteps": 25,
            "update": {"unit": "episodes", "batch_size": 2}, "memory": "recent",
            "reward_estimation": {"horizon": "episode", "discount": 0.95},
            "optimizer": {"type": "evolutionary", "learning_rate": 1e-2, "num_samples": 2},
        },
        {},
    ),
    "of parts, replayed episodes": (
        "Agent",
        {
            "policy": {"type": "value", "network": NETWORK}, "objective": {"type": "action_value", "huber": 1.0},
            "update": {"unit": "episodes", "batch_size": 2, "frequency": 1}, "memory": {"type": "replay", "capacity": 150},
            "reward_estimation": {"horizon": 2, "discount": 0.9, "estimate_horizon": "late"}, "target": {"tau": 0.1},
            "optimizer": {"type": "adam", "learning_rate": 5e-3, "multi_step": 2, "subsampling_fraction": 0.5},
            "exploration": {"type": "EpsilonGreedy", "initial": 1.0, "final": 0.1, "steps": 300},
        },
        {},
    ),
}  # fmt: skip
CASES |= {f"{case} by act and observe": CASES[case] for case in ("dqn", "ppo nested")}
COMPILED = ("dqn", "ppo", "sac")  # cases that run in each of `MODES`, all others in the first


def runs(cases: Iterable[str] = tuple(CASES), seeds: Sequence[int] = SEEDS) -> list[tuple[str, str, int]]:
    """Case, mode and seed of every run."""
    found = [(case, "graph", seed) for case in cases for seed in seeds]
    return found + [(case, mode, seeds[0]) for case in cases if case in COMPILED for mode in ("xla", "eager")]


def digest(arrays: Iterable[Any]) -> list[str]:
    """One short SHA-256 for each array's dtype, shape and bytes, so that the first that differs can be named."""
    digests = []
    for array in map(np.asarray, arrays):
        head = f"{array.dtype} {array.shape} ".encode()
        digests.append(hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()[:16])
    return digests


def interact(agent: Any, env: gymnasium.Env) -> dict[str, list[float]]:
    """Trains in a loop of `act` and `observe`, and gives the logs of the updates."""
    logs: dict[str, list[float]] = {}
    agent.begin(steps=STEPS)
    observation, _ = env.reset(seed=1)
    for _ in range(STEPS):
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        for name, value in (agent.observe(float(reward), terminated, truncated, observation) or {}).items():
            logs.setdefault(name, []).append(value)
        if terminated or truncated:
            observation, _ = env.reset()
    return logs


def record_events(agent: Any, env: Callable[[], gymnasium.Env]) -> list[str]:
    """Names, indices and keys of logs of the events of a short `fit`, in their order."""
    from kagent.callbacks import Callback

    events: list[str] = []

    def listener(name: str) -> Any:
        def listen(self: Any, *arguments: Any, **named: Any) -> None:
            given = [*arguments, *named.values()]
            index = [str(value) for value in given if isinstance(value, int | np.integer)]
            keys = [",".join(sorted(value)) for value in given if isinstance(value, dict)]
            events.append(" ".join([name, *index, *keys]))

        return listen

    methods = {f"on_{name}": listener(name) for name in EVENTS}
    agent.fit(
        env, steps=36, steps_per_epoch=24, verbose=0, callbacks=[type("Recorded", (Callback,), methods)()],
        validation_env=env, validation_episodes=2,
    )  # fmt: skip
    return events


def measure(case: str, mode: str, seed: int, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Trains one agent and gives the digests of what it has become.

    Args:
        case: Name in `CASES`.
        mode: Name in `MODES`.
        seed: The agent's seed.
        changes: Arguments in place of those of the case.
    """
    import kagent

    kind, arguments, settings = CASES[case]

    def env() -> gymnasium.Env:
        return Track(**settings)

    agent = getattr(kagent, kind)(env, seed=seed, **{**arguments, **(changes or {})})
    agent.compile(**MODES[mode])
    if case.endswith("by act and observe"):
        history = interact(agent, env())
    else:
        history = agent.fit(env, steps=STEPS, steps_per_epoch=EPOCH, verbose=0).history
    found: dict[str, Any] = {
        "weights": digest(agent.get_weights()),
        "optimizer": digest(variable.numpy() for variable in agent.optimizer.variables),
    }
    for name in ("target_policy", "target_critic"):
        if hasattr(agent, name):
            found[name] = digest(variable.numpy() for variable in getattr(agent, name).variables)
    found["counters"] = [agent.timesteps, agent.episodes, agent.updates, len(agent.memory)]
    if agent.updates < 12:
        raise RuntimeError(f"{case}: {agent.updates} gradient steps are too few to say anything")
    found["logs"] = {
        name: [repr(float(value)) for value in values] for name, values in history.items() if name != "steps_per_second"
    }
    found["returns"] = [repr(float(value)) for value in agent.evaluate(env, episodes=4, seed=5)["episode_returns"]]
    space = agent.observation_space
    space.seed(11)
    observations = [space.sample() for _ in range(8)]
    mask = np.array([True, False, True]) if settings.get("masked") else None
    found["actions"] = _flat(agent.act(observation, deterministic=True, mask=mask) for observation in observations)
    found["exploring actions"] = _flat(
        agent.act(observation, mask=mask, independent=True) for observation in observations
    )
    batch = gymnasium.vector.utils.concatenate(space, observations, gymnasium.vector.utils.create_empty_array(space, 8))
    found["actions of Keras"] = _flat([agent(batch)])
    if seed == SEEDS[0]:
        found["events"] = record_events(agent, env)
        found["weights after the events"] = digest(agent.get_weights())
    return found


def _flat(actions: Iterable[Any]) -> list[str]:
    import tensorflow as tf

    return [" ".join(digest(np.asarray(leaf) for leaf in tf.nest.flatten(action))) for action in actions]


def machine() -> dict[str, str]:
    """What numbers may depend on beside the code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor()
    found = {"processor": processor, "processors": str(os.cpu_count())}
    found |= {"python": platform.python_version()}
    # Of the modules: TensorFlow's distribution may be tensorflow-cpu.
    found |= {name: importlib.import_module(name).__version__ for name in ("tensorflow", "keras", "numpy", "gymnasium")}
    return found | {name: os.environ.get(name, "") for name in SETTINGS}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each digest of a run that differs, with the first place where it does."""
    lines = []
    for name in sorted({*before, *now}):
        one, other = before.get(name), now.get(name)
        if one == other:
            continue
        if one is None or other is None:
            lines.append(f"{name}: {'only before' if other is None else 'only now'}")
        elif isinstance(one, dict):
            lines += [f"{name}: {line}" for line in differences(one, other)]
        else:
            places = [i for i, (a, b) in enumerate(zip(one, other)) if a != b]
            first = f", first [{places[0]}]: {one[places[0]]} before, {other[places[0]]} now" if places else ""
            sizes = f"{len(one)} entries before, {len(other)} now; " if len(one) != len(other) else ""
            lines.append(f"{name}: {sizes}{len(places)} of {min(len(one), len(other))} differ{first}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Digests of short training runs, written or compared.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", metavar="FILE.json", type=Path)
    what.add_argument("--compare", metavar="FILE.json", type=Path)
    parser.add_argument(
        "--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE", help=", ".join(CASES)
    )
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    options = parser.parse_args(arguments)
    written: dict[str, Any] = {"machine": machine(), "runs": {}}
    if options.compare:
        written = json.loads(options.compare.read_text())
        if written["machine"] != machine():
            changed = "\n".join(
                differences({k: [v] for k, v in written["machine"].items()}, {k: [v] for k, v in machine().items()})
            )
            print(
                f"{options.compare} was written under other conditions, where numbers may be rounded otherwise:\n{changed}"
            )
            return 2
    import kagent

    print(f"kagent of {Path(kagent.__file__).parent}", flush=True)
    wrong, began = 0, time.perf_counter()
    for case, mode, seed in runs(options.cases, options.seeds):
        name, start = f"{case}, {mode}, seed {seed}", time.perf_counter()
        found = measure(case, mode, seed)
        before = written["runs"].get(name)
        lines = [] if options.write else ["not in the file"] if before is None else differences(before, found)
        wrong += bool(lines)
        if options.write:
            written["runs"][name] = found
        print(f"{name} ({time.perf_counter() - start:.1f} s){': DIFFERS' if lines else ''}", flush=True)
        for line in lines:
            print(f"    {line}", flush=True)
    if options.write:
        options.write.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    total = f"{len(runs(options.cases, options.seeds))} runs in {time.perf_counter() - began:.0f} s"
    print(f"{total}, written to {options.write}" if options.write else f"{total}, {wrong} differ", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
