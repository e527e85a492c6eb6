"""Presets that learn from recorded episodes alone are about as good as, or better than, those were."""

import numpy as np
import pytest
from gymnasium import spaces
from recorded_episodes import balance, recorded, swing
from toy_envs import Identity

import kagent

SMALL = {"network": {"type": "mlp", "units": [64, 64]}}
# Name: environment, part of random actions in the episodes, arguments, gradient steps, the least return.
LEARNING = {
    "BC": ("CartPole-v1", 0.0, SMALL, 2_000, 450.0),
    "IQL": ("Pendulum-v1", 0.3, {**SMALL, "learning_rate": 1e-3, "inverse_temperature": 0.1, "expectile": 0.8}, 6_000, -300.0),
    # In one step of what an observation says: actions were random, of which 4.3 of 10 is the mean return.
    "CQL": (
        Identity(spaces.Box(-1, 1, (1,), np.float32)), 1.0,
        {
            "network": {"type": "mlp", "units": [32]}, "discount": 0.0, "temperature": 0.02, "alpha": 0.1, "drawn_actions": 4,
            "learning_rate": 3e-3, "critic_learning_rate": 3e-3, "batch_size": 64,
        },
        1_000, 8.5,
    ),
    "DiscreteCQL": ("CartPole-v1", 0.3, {**SMALL, "learning_rate": 1e-3, "target_update_period": 200}, 6_000, 450.0),
    "TD3BC": ("Pendulum-v1", 0.3, {**SMALL, "learning_rate": 1e-3}, 6_000, -200.0),
}  # fmt: skip
CONTROLLERS = {"CartPole-v1": balance, "Pendulum-v1": swing}


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.parametrize("name", LEARNING)
def test_it_learns_from_a_data_set(name):
    env, random_part, arguments, updates, least = LEARNING[name]
    episodes, _ = recorded(env, CONTROLLERS.get(str(env)), 100 if random_part == 1 else 50, random_part)
    agent = getattr(kagent, name)(env, seed=0, **arguments)
    agent.compile(jit_compile=random_part < 1)
    agent.fit(episodes, updates=updates, verbose=0)
    assert agent.evaluate(env, episodes=50)["episode_return"] >= least
