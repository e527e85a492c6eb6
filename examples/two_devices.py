"""One agent on two devices: each has half of every minibatch, and all steps are those of one device.

On a machine with GPUs, `tf.distribute.MirroredStrategy()` takes all of them. Here a CPU is divided into two devices, so that it
runs anywhere; that shows how it is written, and makes nothing faster.

    python examples/two_devices.py
"""

import argparse

import numpy as np
import tensorflow as tf

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=4096, help="timesteps to train (default: %(default)s)")


def make() -> kagent.PPO:
    return kagent.PPO("CartPole-v1", n_steps=256, batch_size=64, epochs=2, seed=0)


def main() -> None:
    args = parser.parse_args()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        agent = make()
    agent.fit("CartPole-v1", steps=args.steps, verbose=2)

    alone = make()
    alone.compile(jit_compile=False)  # as the replicas are
    alone.fit("CartPole-v1", steps=args.steps, verbose=0)
    pairs = zip(agent.policy.variables, alone.policy.variables)
    far = max(float(np.abs(one.numpy() - other.numpy()).max()) for one, other in pairs)
    print(
        f"{agent.gradient_steps} gradient steps on {strategy.num_replicas_in_sync} devices; weights differ by {far:.1e} from one device's"
    )
    outcome = agent.evaluate("CartPole-v1", 10, seed=1)
    print(f"mean return of 10 greedy episodes: {outcome['episode_return']:.1f}")


if __name__ == "__main__":
    main()
