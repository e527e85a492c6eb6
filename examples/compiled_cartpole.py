"""CartPole and PPO in one program: hundreds of environments, without a step of Python between two updates.

    python examples/compiled_cartpole.py --num-envs 512 --steps 1000000

What is trained is an ordinary agent: it is evaluated in gymnasium's own CartPole, and saved to a file.
"""

import argparse
import time

import kagent
from kagent.environments import compiled

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--num-envs", type=int, default=64, help="environments side by side (default: %(default)s)")
parser.add_argument("--steps", type=int, default=300_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

env = compiled.CartPole(num_envs=arguments.num_envs)
agent = kagent.PPO(
    env,
    n_steps=32,
    batch_size=8 * arguments.num_envs,
    epochs=4,
    learning_rate=1e-3,
    gae_lambda=0.9,
    seed=arguments.seed,
)
agent.fit(env, steps=32 * arguments.num_envs, verbose=0)  # compiles the program

start, before = time.perf_counter(), agent.timesteps
agent.fit(env, max_steps=arguments.steps, verbose=2)
seconds, taken = time.perf_counter() - start, agent.timesteps - before
print(f"{taken:,} timesteps in {seconds:.1f} s: {taken / max(seconds, 1e-9):,.0f} per second")

found = agent.evaluate("CartPole-v1", episodes=10, seed=1)
print(f"return in gymnasium's CartPole-v1: {found['episode_return']:.1f}")
agent.save("compiled_cartpole.keras")
