"""Presets that learn from recorded episodes alone are about as good as, or better than, those were."""

import pytest
from recorded_episodes import balance, recorded, swing

import kagent

SMALL = {"network": {"type": "mlp", "units": [64, 64]}}
FALLING = {"type": "linear", "initial": 1e-3, "final": 0.0}
# Name: environment, part of random actions in the episodes, arguments, gradient steps, the least return.
LEARNING = {
    "BC": ("CartPole-v1", 0.0, SMALL, 2_000, 450.0),
    "IQL": ("Pendulum-v1", 0.3, {**SMALL, "learning_rate": 1e-3, "inverse_temperature": 0.1, "expectile": 0.8}, 6_000, -300.0),
    "CQL": (
        "Pendulum-v1", 0.3,
        {**SMALL, "learning_rate": FALLING, "critic_learning_rate": FALLING, "alpha": 10.0, "drawn_actions": 4, "batch_size": 64},
        4_000, -500.0,
    ),
    "DiscreteCQL": ("CartPole-v1", 0.3, {**SMALL, "learning_rate": 1e-3, "batch_size": 32, "target_update_period": 200}, 6_000, 450.0),
    "TD3BC": ("Pendulum-v1", 0.3, {**SMALL, "learning_rate": 1e-3}, 6_000, -200.0),
}  # fmt: skip
CONTROLLERS = {"CartPole-v1": balance, "Pendulum-v1": swing}


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.parametrize("name", LEARNING)
def test_it_learns_from_a_data_set(name):
    env, random_part, arguments, updates, least = LEARNING[name]
    episodes, _ = recorded(env, CONTROLLERS[env], 50, random_part)
    agent = getattr(kagent, name)(env, seed=0, **arguments)
    agent.fit(episodes, updates=updates, verbose=0)
    assert agent.evaluate(env, episodes=50)["episode_return"] >= least
