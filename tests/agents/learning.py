"""What the learning tests share: small agents, and how often a trained one is right. Imports no Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

SMALL: dict[str, dict[str, Any]] = {
    "dqn": {
        "network": {"type": "mlp", "units": [32]},
        "learning_rate": 5e-3,
        "memory": 1000,
        "start": 64,
        "frequency": 8,
        "gradient_steps": 4,
        "discount": 0.0,
        "target_update_period": 8,
        "exploration": {"type": "EpsilonGreedy", "fraction": 0.5},
    },
    "ppo": {
        "network": {"type": "mlp", "units": [32], "activation": "tanh", "initialization": "orthogonal"},
        "learning_rate": 1e-2,
        "n_steps": 64,
        "batch_size": 64,
        "epochs": 8,
        "discount": 0.0,
    },
    "sac": {
        "network": {"type": "mlp", "units": [32]},
        "learning_rate": 5e-3,
        "memory": 2000,
        "batch_size": 64,
        "start": 64,
        "frequency": 4,
        "gradient_steps": 4,
        "discount": 0.0,
        "temperature": 0.02,
    },
}


def make(kind: str, env: Any, **changes: Any) -> Any:
    """A small agent for one-step tasks, uncompiled: XLA would take longer to compile than these runs take."""
    import kagent

    preset = {"dqn": kagent.DQN, "ppo": kagent.PPO, "sac": kagent.SAC}[kind]
    agent = preset(env, **{**SMALL[kind], "seed": 0, **changes})
    agent.compile(jit_compile=False)
    return agent


def right_of(agent: Any, env: gymnasium.Env, closeness: float = 1.0, steps: int = 100) -> int:
    """Greedy steps of `steps` that paid at least `closeness` of the best possible reward of an `Identity` env."""
    observation, info = env.reset(seed=12345)
    right = 0
    for _ in range(steps):
        best = env.unwrapped.best()  # type: ignore[attr-defined]
        action = agent.act(observation, deterministic=True, mask=info.get("action_mask"))
        observation, reward, terminated, truncated, info = env.step(action)
        right += float(reward) >= closeness * best - 1e-6
        if terminated or truncated:
            observation, info = env.reset()
    return right


class Spy(gymnasium.Wrapper):
    """Keeps the actions and infos of every step of the environments that `factory` makes."""

    def __init__(self, env: gymnasium.Env, seen: list[Any]):
        super().__init__(env)
        self.seen = seen

    def step(self, action: Any) -> Any:
        self.seen.append(action)
        return self.env.step(action)


def spied(factory: Callable[[], gymnasium.Env]) -> tuple[Callable[[], gymnasium.Env], list[Any]]:
    seen: list[Any] = []
    return (lambda: Spy(factory(), seen)), seen
