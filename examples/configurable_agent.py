"""Agents that no preset has, put together from parts.

    python examples/configurable_agent.py [--steps 20000]

The first learns values: dueling double-Q with returns over three rewards from a prioritized memory. The second learns a
policy from whole episodes whose baseline is a head on its own network. Both are data: they could as well be in a file.
"""

from __future__ import annotations

import argparse
import json

import kagent

VALUES = {
    "agent": "tensorforce",
    "policy": {"type": "ValuePolicy", "dueling": True, "network": [{"type": "dense", "size": 64}] * 2},
    "objective": {"type": "action_value", "huber": 1.0},
    "memory": {"type": "prioritized", "capacity": 50_000},
    "update": {"unit": "timesteps", "batch_size": 64, "frequency": 4, "start": 1000},
    "reward_estimation": {"horizon": 2, "discount": 0.99, "estimate_horizon": "late", "estimate_actions": True},
    "exploration": {
        "type": "linear", "unit": "timesteps", "num_steps": 5000, "initial_value": 1.0, "final_value": 0.05,
    },
    "optimizer": {"type": "adam", "learning_rate": 5e-4, "gradient_norm_clipping": 10.0},
    "baseline_optimizer": {"type": "synchronization", "update_weight": 1.0, "sync_frequency": 100},
}  # fmt: skip

POLICY = {
    "agent": "tensorforce",
    "policy": {"network": [{"type": "dense", "size": 64, "activation": "tanh"}] * 2},
    "objective": {"type": "policy_gradient", "importance_sampling": True, "clipping_value": 0.2},
    "memory": "recent",
    "update": {"unit": "episodes", "batch_size": 10, "frequency": 5},
    "reward_estimation": {"horizon": "episode", "discount": 0.99, "estimate_advantage": True},
    "baseline_objective": {"type": "state_value", "huber": 10.0},
    "baseline_optimizer": 0.01,
    "optimizer": {"type": "adam", "learning_rate": 3e-3, "multi_step": 10, "subsampling_fraction": 0.5},
    "entropy_regularization": 0.005,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="timesteps of training of each agent")
    steps = parser.parse_args().steps
    for title, settings in (("values", VALUES), ("policy", POLICY)):
        agent = kagent.Agent.create(settings, "CartPole-v1", seed=1, name=title)
        again = kagent.Agent.create(json.loads(json.dumps(agent.get_config())))
        assert again.get_config() == agent.get_config()
        history = agent.fit("CartPole-v1", steps=steps, verbose=0)
        returns = " ".join(f"{value:.0f}" for value in history.history["episode_return"])
        found = agent.evaluate("CartPole-v1", episodes=10)
        print(f"{title}: {returns}; best actions: {found['episode_return']:.0f}")


if __name__ == "__main__":
    main()
