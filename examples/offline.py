"""Offline: learn from recorded episodes, without an environment.

A clumsy controller swings a pendulum up and takes a random action now and then. `kagent.TD3BC` sees its episodes alone, and becomes better
than it was.

    python examples/offline.py

Needs nothing but kagent and gymnasium's Pendulum-v1.
"""

import argparse

import gymnasium
import numpy as np

import kagent


def controller(observation):
    """Pumps energy into the pendulum, and holds it where it stands nearly upright."""
    cos, sin, turn = observation
    if cos > 0.85:
        torque = -16 * np.arctan2(sin, cos) - 4 * turn
    else:
        torque = 2 * np.sign(turn * (5.2 - turn**2 / 6 - 5 * cos) + 1e-6)
    return np.clip([torque], -2, 2).astype(np.float32)


def play(env, random, clumsiness=0.3):
    """One episode as a trace: arrays by name, as `kagent.traces` describes them. A row for each timestep."""
    seen, actions, rewards, over = [env.reset(seed=int(random.integers(2**31)))[0]], [], [], False
    while not over:
        clumsy = random.random() < clumsiness
        actions.append(random.uniform(-2, 2, 1).astype(np.float32) if clumsy else controller(seen[-1]))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        seen.append(observation)
        rewards.append(reward)
        over = terminated or truncated
    last = np.arange(len(rewards)) == len(rewards) - 1
    return {
        "observation": np.array(seen[:-1]),
        "final_observation": np.array(seen[-1:]),
        "action": np.array(actions),
        "reward": np.array(rewards, np.float64),
        "terminated": last & terminated,
        "truncated": last & truncated,
        "episode_length": np.array([len(rewards)]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000, help="gradient steps")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    env, random = gymnasium.make("Pendulum-v1"), np.random.default_rng(options.seed)
    episodes = kagent.datasets.Episodes([play(env, random) for _ in range(options.episodes)])
    print(f"mean return of the episodes: {np.mean([trace['reward'].sum() for trace in episodes]):.0f}")

    agent = kagent.TD3BC(env, network={"type": "mlp", "units": [64, 64]}, learning_rate=1e-3, seed=options.seed)
    agent.fit(episodes, updates=options.steps, validation_env="Pendulum-v1", validation_episodes=5)
    agent.save("offline.keras")

    results = agent.evaluate("Pendulum-v1", episodes=20)
    print(f"mean return of 20 episodes: {results['episode_return']:.0f}")


if __name__ == "__main__":
    main()
