"""A program of an agent on the second of two devices: what it finds is printed as JSON. `test_compiled_devices.py` runs it.

TensorFlow divides a CPU into logical devices only before it is used, hence a process of its own.
"""

import contextlib
import json

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import kagent  # noqa: E402
from kagent.environments import compiled  # noqa: E402

REPLAY = {"memory": 40, "batch_size": 4, "start": 8, "frequency": 4}


def trained(kind, make, scope=None, **given):
    """Weights after some updates, and the devices of all of the agent's variables."""
    with contextlib.nullcontext() if scope is None else tf.device(scope):
        env = make(num_envs=2)
        agent = kind(env, network={"units": [4]}, seed=0, **given)
        agent.compile(jit_compile=True)
        agent.fit(env, steps=24, verbose=0)
    devices = sorted({variable.value.device[-5:] for variable in agent.variables})
    return np.concatenate([np.ravel(weight) for weight in agent.get_weights()]), devices


def main():
    found = {}
    for name, kind, make, given in (
        ("PPO", kagent.PPO, compiled.Catch, {"n_steps": 4, "batch_size": 8, "epochs": 1}),
        ("SAC", kagent.SAC, compiled.Pendulum, REPLAY),
    ):
        first, _ = trained(kind, make, **given)
        ways = {"argument": {"device": "CPU:1"}, "scope": {"scope": "CPU:1"}}
        for way, place in ways.items() if name == "PPO" else [("argument", ways["argument"])]:
            weights, devices = trained(kind, make, **given, **place)
            found[f"{name} {way}"] = [devices, bool(np.array_equal(weights, first))]
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
