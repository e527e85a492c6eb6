"""PPO whose environments are in the processes of a Ray cluster: on this machine, or on all machines of a cluster.

    pip install 'kagent[ray]'
    python examples/ray_cluster.py                       # a local cluster, for this run
    python examples/ray_cluster.py --address auto        # the cluster that this machine belongs to (`ray start --head`)

The environment takes its time, as a simulator does. What is learned is what as many environments in one process would give.
"""

import argparse
import time

import gymnasium

import kagent
from kagent.distributed import Ray

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=40_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--workers", type=int, default=4, help="processes with environments (default: %(default)s)")
parser.add_argument("--envs-per-worker", type=int, default=2, help="environments of each (default: %(default)s)")
parser.add_argument("--address", help="auto, or host:port of a cluster's head (default: a local cluster)")


class SlowCartPole(gymnasium.Wrapper):
    """CartPole whose step takes a millisecond."""

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))

    def step(self, action):
        time.sleep(0.001)
        return self.env.step(action)


def main() -> None:
    args = parser.parse_args()
    workers = Ray(args.workers, args.envs_per_worker, args.address)
    agent = kagent.PPO("CartPole-v1", n_steps=64, batch_size=128, epochs=4, seed=0)
    begin = time.perf_counter()
    agent.fit(SlowCartPole, steps=args.steps, workers=workers, verbose=2)
    seconds = time.perf_counter() - begin
    print(f"{agent.timesteps:,} timesteps in {args.workers * args.envs_per_worker} environments, {seconds:.0f} seconds")
    outcome = agent.evaluate("CartPole-v1", 10, seed=1)
    print(f"mean return of 10 greedy episodes: {outcome['episode_return']:.1f}")


if __name__ == "__main__":
    main()
