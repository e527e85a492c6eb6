"""Train inside a loop of your own: a robot, a simulator, a service that cannot be an environment.

`act` chooses an action and `observe` takes its outcome; the agent learns whenever an update is due.

    python examples/own_loop.py
"""

import argparse

import gymnasium

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=20_000, help="timesteps to train (default: %(default)s)")


def main() -> None:
    args = parser.parse_args()
    world = gymnasium.make("CartPole-v1")  # stands for whatever you have
    agent = kagent.DQN(
        observation_space=world.observation_space,
        action_space=world.action_space,
        # This loop has no known length, so epsilon falls over timesteps. Otherwise `agent.begin(steps=...)` gives the length.
        exploration=kagent.EpsilonGreedy(steps=max(args.steps // 5, 1)),
        learning_rate=1e-3,
        gradient_steps=4,
        target_update_period=500,
        seed=0,
    )
    observation, _ = world.reset(seed=0)
    total = 0.0
    for _ in range(args.steps):
        action = agent.act(observation)
        observation, reward, terminated, truncated, _ = world.step(action)
        agent.observe(reward, terminated, truncated, observation)
        total += float(reward)
        if terminated or truncated:
            if agent.episodes % 50 == 0:
                print(f"episode {agent.episodes}: return {total:.0f}, {agent.updates} gradient steps")
            observation, _ = world.reset()
            total = 0.0
    world.close()
    print(f"mean return of 10 episodes: {agent.evaluate('CartPole-v1')['episode_return']:.1f}")


if __name__ == "__main__":
    main()
