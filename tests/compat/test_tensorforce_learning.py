"""A configuration for Tensorforce learns what it learned there."""

import pytest

from kagent.compat import tensorforce

# PPO for CartPole, as a search of Tensorforce's found it, in rounded numbers.
ENVIRONMENT = {
    "environment": "gym",
    "level": "CartPole",
    "max_episode_timesteps": 500,
    "min_value": -3.0,
    "max_value": 3.0,
}
PPO = {
    "agent": "ppo", "network": {"type": "auto", "rnn": False}, "batch_size": 12, "update_frequency": 1, "learning_rate": 0.0018,
    "multi_step": 5, "subsampling_fraction": 0.91, "likelihood_ratio_clipping": 0.1, "discount": 0.9985,
    "baseline": {"type": "auto", "rnn": False}, "entropy_regularization": 0.00114,
    "baseline_optimizer": {"optimizer": "adam", "learning_rate": 0.0037, "multi_step": 10}, "config": {"seed": 0},
}  # fmt: skip


@pytest.mark.learning
@pytest.mark.slow
def test_ppo_solves_cartpole():
    environment = tensorforce.Environment.create(ENVIRONMENT)
    environment.environment.gym.reset(seed=0)
    runner = tensorforce.Runner(tensorforce.Agent.create(PPO, environment), environment)
    runner.run(num_episodes=150, callback=lambda r, p: r.episode_returns[-1] < 500.0, use_tqdm=False)
    assert runner.episode_returns[-1] == 500.0  # four of five seeds needed 21 to 59 episodes, one more than 70
