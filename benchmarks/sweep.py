"""Memory that many agents in one process leave behind: MB per agent that is made, trained and deleted.

    python -m benchmarks.sweep --agents 20

TensorFlow keeps a compiled program for as long as the process lives, whoever made it. Each line is one kind of run in a
process of its own; the first agents, which also pay for what all share, are left out.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys

KINDS = ("dqn, XLA", "dqn, uncompiled", "dqn, eager", "dqn, one agent for all", "keras")


def resident() -> float:
    """Resident memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def once(kind: str) -> None:
    """Makes, trains and deletes what the kind says."""
    import keras
    import numpy as np

    import kagent

    if kind == "keras":
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(2)])
        model.compile("adam", "mse", jit_compile=True)
        model.fit(np.zeros((64, 4)), np.zeros((64, 2)), verbose=0)
        return
    agent = kagent.DQN("CartPole-v1", start=64, memory=1000)
    agent.compile(jit_compile=kind == "dqn, XLA", run_eagerly=kind == "dqn, eager")
    agent.fit("CartPole-v1", steps=200, verbose=0)


def growth(kind: str, count: int, first: int = 4) -> float:
    """MB per agent."""
    if kind == "dqn, one agent for all":
        import kagent

        agent = kagent.DQN("CartPole-v1", start=64, memory=1000)
        weights = agent.get_weights()

        def run() -> None:
            agent.set_weights(weights)
            agent.fit("CartPole-v1", steps=200, verbose=0)

    else:

        def run() -> None:
            once(kind)

    for number in range(first + count):
        if number == first:
            gc.collect()
            before = resident()
        run()
    gc.collect()
    return (resident() - before) / count


def main() -> None:
    """Prints a line per kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=20, help="agents per kind (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="only this one, in this process")
    args = parser.parse_args()
    if args.kind:
        print(f"{args.kind}: {growth(args.kind, args.agents):.1f} MB per agent")
        return
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.sweep", "--kind", kind, "--agents", str(args.agents)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
