"""A program of two replicas, or of one of two workers: what it finds is printed as JSON. `test_replicas.py` runs it.

TensorFlow divides a CPU into logical devices only before it is used, hence a process of its own.
"""

import contextlib
import json
import os
import sys
import tempfile
import warnings

EPSILON = {"type": "EpsilonGreedy", "initial": 0.5, "final": 0.5}  # the same however long a run is
SIZES = {
    "DQN": (
        "CartPole-v1",
        {
            "memory": 100,
            "batch_size": 15,
            "start": 16,
            "frequency": 1,
            "target_update_period": 7,
            "exploration": EPSILON,
        },
        66,
    ),
    "PPO": ("CartPole-v1", {"n_steps": 32, "batch_size": 16, "epochs": 5}, 160),
    "SAC": ("Pendulum-v1", {"memory": 100, "batch_size": 16, "start": 16}, 66),
}  # 50 gradient steps or more; of 15 rows one replica has 8 and the other 7


def trained(name, strategy=None, steps=None):
    import kagent

    env, settings, most = SIZES[name]
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        agent = getattr(kagent, name)(env, seed=3, network={"type": "mlp", "units": [8]}, **settings)
    if strategy is None:
        agent.compile(jit_compile=False)
    agent.fit(env, steps=steps or most, verbose=0)
    return agent


def weights(agent):
    import numpy as np

    models = [agent.policy] + ([] if agent.critic is None else [agent.critic])
    return np.concatenate([v.numpy().ravel().astype(float) for model in models for v in model.variables])


def compared(strategy, names):
    """By preset: gradient steps, and how far weights are from those of one device."""
    import numpy as np

    found = {}
    for name in names:
        one, many = trained(name), trained(name, strategy)
        found[name] = [one.gradient_steps, many.gradient_steps, float(np.abs(weights(one) - weights(many)).max())]
    return found


def equations(strategy):
    """Of the rows 1, 2, 3 with weights 1, 1, 2 and a padded fourth: mean, gradient, draws."""
    import tensorflow as tf

    from kagent import ops
    from kagent.distributions.distribution import normal, uniform

    x, weight = tf.constant([1.0, 2.0, 3.0]), tf.constant([1.0, 1.0, 2.0])
    factor = tf.Variable(2.0)

    def replica():
        own = ops.replicas.own_rows({"x": x, "weight": weight, "scalar": tf.constant(5.0)})
        with tf.GradientTape() as tape:
            mean = ops.weighted_mean(factor * own["x"], own["weight"])
            loss = tf.square(mean) + factor
        gradient = tf.distribute.get_replica_context().all_reduce("MEAN", tape.gradient(loss, factor))
        return {
            "own": own["x"], "weight": own["weight"], "scalar": own["scalar"], "mean": mean, "gradient": gradient,
            "all": ops.replicas.all_rows(own["x"]), "advantage": ops.normalize_advantage(own["x"]),
            "rows": uniform((2, 3), [1, 2]), "columns": uniform((3, 2), [1, 2], axis=1), "same": normal((3,), [1, 2], axis=None),
        }  # fmt: skip

    @tf.function(autograph=False)
    def program():
        with strategy.scope():
            return tf.nest.map_structure(strategy.experimental_local_results, strategy.run(replica))

    found = {name: [each.numpy().tolist() for each in values] for name, values in program().items()}
    whole = {"rows": uniform((4, 3), [1, 2]), "columns": uniform((3, 4), [1, 2]), "same": normal((3,), [1, 2])}
    return {"found": found, "whole": {name: value.numpy().tolist() for name, value in whole.items()}}


def refused(strategy):
    """Messages of all that is not spread over replicas."""
    import keras

    import kagent
    from kagent.environments.compiled import CartPole

    def message(make):
        try:
            make()
        except (ValueError, TypeError) as error:
            return str(error)
        return ""

    outside = kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [4]})
    with strategy.scope():
        inside = kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [4]})
        found = {
            "natural gradient": message(lambda: kagent.TRPO("CartPole-v1")),
            "recurrent": message(lambda: kagent.RecurrentPPO("CartPole-v1")),
            "compiled environment": message(lambda: inside.fit(CartPole(num_envs=4), steps=10, verbose=0)),
            "elsewhere": message(lambda: outside.fit("CartPole-v1", steps=10, verbose=0)),
        }
    found["xla"] = message(lambda: inside.compile(jit_compile=True))
    inside.compile(optimizer=keras.optimizers.SGD(0.1))  # outside of the scope: the agent's is opened
    inside.fit("CartPole-v1", steps=1100, verbose=0)
    return {**found, "steps": inside.gradient_steps, "timesteps of the refused": outside.timesteps}


def second(strategy):
    """What is warned of where another strategy has the same devices, and where the scope of the first one is opened again."""
    import tensorflow as tf

    import kagent

    def made(scope):
        with warnings.catch_warnings(record=True) as caught, scope:
            warnings.simplefilter("always")
            kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [4]})
        return [str(warning.message) for warning in caught if "strategy" in str(warning.message)]

    return [made(strategy.scope()), made(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope())]


def resumed(strategy):
    """How far an agent that is loaded is from the saved one, in the scope and out of it, and a run that goes on from one not stopped."""
    import numpy as np

    import kagent

    def far(one, other):
        return float(np.abs(weights(one) - weights(other)).max())

    agent, folder = trained("DQN", strategy, 40), tempfile.mkdtemp()
    path, state = os.path.join(folder, "agent.keras"), os.path.join(folder, "agent.weights.h5")
    agent.save(path)
    agent.save_weights(state)
    with strategy.scope():
        again = kagent.load(path)
    found = [far(agent, again), far(agent, kagent.load(path))]
    again.load_weights(state)
    again.fit("CartPole-v1", max_steps=50, verbose=0)
    return [*found, far(again, trained("DQN", strategy, 50)), again.gradient_steps]


def main():
    import tensorflow as tf

    task, names = sys.argv[1], sys.argv[2].split(",")
    if task == "worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        print(json.dumps({"replicas": strategy.num_replicas_in_sync, **compared(strategy, names)}), flush=True)
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = compared(strategy, names)
    if task == "all":
        found |= {"equations": equations(strategy), "refused": refused(strategy), "resumed": resumed(strategy)}
        found["second"] = second(strategy)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
