"""What is trained, killed and resumed; see `train.py`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent_states import state_of
from goal_envs import BitFlipping

import kagent

NETWORK = {"network": {"type": "mlp", "units": [8]}}
SMALL = {**NETWORK, "batch_size": 8}
OFF = {**SMALL, "memory": 150, "start": 20}

# Few steps of small networks; epochs that end neither with an episode, nor a rollout, nor an update. The memory's ring
# goes round, targets move on the way, learning rates and epsilon fall.
QUICK = {
    "dqn": {
        "kind": "DQN", "env": "CartPole-v1", "steps": 240, "epoch": 55, "stops": [2], "jit": True,
        "arguments": {**OFF, "target_update_period": 50, "learning_rate": {"type": "Linear", "initial": 1e-2, "final": 1e-3}},
    },
    "dqn of 4": {
        "kind": "DQN", "env": "CartPole-v1", "n_envs": 4, "steps": 240, "epoch": 55, "stops": [3],
        "arguments": {**OFF, "frequency": 6, "target_update_period": 50}, "steps_per_execution": 2,
    },
    "ppo of 4": {
        "kind": "PPO", "env": "Pendulum-v1", "n_envs": 4, "steps": 500, "epoch": 130, "stops": [2],
        "arguments": {**SMALL, "n_steps": 24, "epochs": 2, "clip_range": {"type": "Linear", "initial": 0.3, "final": 0.1}},
    },
    "sac": {"kind": "SAC", "env": "Pendulum-v1", "steps": 250, "epoch": 60, "stops": [1], "arguments": OFF},
    "recent episodes of 2": {
        "kind": "PPO", "env": "CartPole-v1", "n_envs": 2, "steps": 400, "epoch": 95, "stops": [2],
        "arguments": {
            **NETWORK, "memory": {"type": "recent", "capacity": 150},
            "update": {"unit": "episodes", "batch_size": 2, "frequency": 1, "epochs": 2},
        },
    },
    "prioritized windows of 2": {
        "kind": "DQN", "env": "CartPole-v1", "n_envs": 2, "steps": 240, "epoch": 55, "stops": [2],
        "arguments": {
            **OFF, "memory": {"type": "prioritized", "capacity": 150}, "gradient_steps": 2,
            "reward_estimation": {"horizon": 2, "discount": 0.9},
        },
    },
}  # fmt: skip

# More memories and preprocessing; that they come back as they were is tested with each of them.
MORE = {
    "dqn preprocessed": {
        "kind": "DQN", "env": "CartPole-v1", "n_envs": 2, "steps": 240, "epoch": 55, "stops": [2],
        "arguments": {**OFF, "preprocessing": {
            "state": ["running_normalization", {"type": "sequence", "length": 3}, {"type": "deltafier", "concatenate": 0}],
            "reward": ["deltafier", {"type": "exponential_normalization", "decay": 0.9}],
        }},
    },
    "early windows of 3": {
        "kind": "SAC", "env": "Pendulum-v1", "n_envs": 3, "steps": 240, "epoch": 55, "stops": [2],
        "arguments": {**OFF, "reward_estimation": {"horizon": 4, "discount": 0.9, "estimate_horizon": "early"}},
    },
    "recent timesteps of 2": {
        "kind": "PPO", "env": "CartPole-v1", "n_envs": 2, "steps": 240, "epoch": 55, "stops": [2],
        "arguments": {
            **NETWORK, "memory": {"type": "recent", "capacity": 60},
            "update": {"unit": "timesteps", "batch_size": 24, "frequency": 14},
        },
    },
    "hindsight windows of 2": {
        "kind": "DQN", "env": BitFlipping, "n_envs": 2, "steps": 240, "epoch": 55, "stops": [2],
        "arguments": {
            **OFF, "memory": {"type": "hindsight", "capacity": 150}, "reward_estimation": {"horizon": 2, "discount": 0.9},
        },
    },
    "replayed episodes": {
        "kind": "DQN", "env": "CartPole-v1", "steps": 400, "epoch": 95, "stops": [2],
        "arguments": {
            **NETWORK, "memory": {"type": "replay", "capacity": 150},
            "update": {"unit": "episodes", "batch_size": 2, "frequency": 1, "steps": 2},
        },
    },
}  # fmt: skip

# The presets as they are.
DEFAULT = {
    f"{kind.lower()} on {env} of {n_envs}": {
        "kind": kind, "env": env, "n_envs": n_envs, "steps": steps, "epoch": epoch, "stops": [1, 3], "jit": True,
    }
    for kind, env, steps, epoch in (
        ("DQN", "CartPole-v1", 1200, 290),
        ("PPO", "CartPole-v1", 9000, 2130),
        ("PPO", "Pendulum-v1", 9000, 2130),
        ("SAC", "Pendulum-v1", 450, 110),
    )
    for n_envs in (1, 4)
}  # fmt: skip
CASES = {**QUICK, **MORE, **DEFAULT}


def make(case, seed):
    agent = getattr(kagent, case["kind"])(
        case["env"], seed=seed, n_envs=case.get("n_envs", 1), **case.get("arguments", {})
    )
    agent.compile(jit_compile=case.get("jit", False), steps_per_execution=case.get("steps_per_execution", 1))
    return agent


def train(name, callbacks=(), seed=7):
    """Trains a case to its end, and tells what came of it: digests of all state, and the log of each epoch."""
    case = CASES[name]
    agent, log = make(case, seed), {}
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: log.update({str(epoch): _lasting(logs)}))
    agent.fit(case["env"], case["steps"], steps_per_epoch=case["epoch"], callbacks=[*callbacks, record], verbose=0)
    state = {name: hashlib.sha256(value).hexdigest() for name, value in state_of(agent).items()}
    return {"state": state, "log": log}


def _lasting(logs):
    return {key: repr(float(value)) for key, value in logs.items() if key != "steps_per_second"}
