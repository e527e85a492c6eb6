"""The compiled learner: one program per shape, the same numbers however it is run, no stale data."""

import warnings

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_envs import Counter
from variants import thorough

import kagent
from kagent.learning.learner import Learner

ENVS = {"dqn": "CartPole-v1", "ppo": "CartPole-v1", "sac": "Pendulum-v1"}


def variables(agent):
    """Everything that learning changes, by where it is."""
    found = {f"{role}/{v.path}": v.numpy() for role in ("policy", "critic", "temperature", "target_policy",
             "target_critic") for v in getattr(getattr(agent, role, None), "variables", ())}  # fmt: skip
    return found | {f"{i}/{v.path}": v.numpy() for i, v in enumerate(agent.optimizer.variables)}


@pytest.mark.parametrize(
    ("kind", "jit", "steps", "changes"),
    [
        ("dqn", True, 140, {"frequency": 1}),
        thorough(("dqn", False, 40, {"frequency": 2, "gradient_steps": 8})),
        thorough(("dqn", False, 100, {"frequency": 1, "gradient_steps": 2, "n_envs": 3})),
        thorough(("ppo", True, 512, {})),
        thorough(("ppo", False, 512, {"n_envs": 2, "n_steps": 8})),
    ],
)
def test_hundreds_of_updates_take_one_trace(small, kind, jit, steps, changes):
    agent = small(kind, jit=jit, **changes)
    for _ in range(2):
        agent.fit("CartPole-v1", steps=steps, verbose=0)
    assert agent.updates >= 250
    assert agent.train_function.traces == 1


@pytest.mark.thorough
def test_an_agent_that_goes_on_takes_its_pipeline_with_it(small, monkeypatch, tmp_path):
    """Another iterator would have TensorFlow make the program ready anew, for longer than a short fit takes."""
    agent, bound = small("dqn"), []
    bind = Learner.bind
    monkeypatch.setattr(Learner, "bind", lambda self, iterator: (bound.append(iterator), bind(self, iterator)))
    for _ in range(2):
        agent.fit("CartPole-v1", steps=30, verbose=0)
        agent.update()
    assert len(bound) == 1 and agent.updates == 14
    agent.save_weights(tmp_path / "a.weights.h5")
    agent.fit("CartPole-v1", steps=30, verbose=0)
    assert len(bound) == 1
    agent.load_weights(tmp_path / "a.weights.h5")
    agent.fit("CartPole-v1", steps=30, verbose=0)
    assert len(bound) == 2  # what was drawn since then is drawn again
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=30, verbose=0)
    assert len(bound) == 3


def test_the_batch_of_an_update_that_failed_is_drawn_again(small, monkeypatch):
    agent = small("dqn")
    agent.fit("CartPole-v1", steps=30, verbose=0)

    def fail(learner, steps, weights):
        raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "_took", fail)
    before, drawn = agent._update_cycle.iterator(agent), next(agent._update_cycle.elements(agent))
    with pytest.raises(KeyboardInterrupt):
        agent.update()
    again = agent._update_cycle.iterator(agent)
    assert again is not before
    tf.nest.map_structure(np.testing.assert_array_equal, next(again), drawn)


def test_the_program_reads_the_time_at_every_call(small):
    """The clock's tensor is captured, and must not be taken for a constant."""
    agent = small("dqn", frequency=1, optimizer={"type": "SGD", "learning_rate": {"type": "Linear", "initial": 0.0,
                  "final": 0.64, "steps": 64, "unit": "updates"}})  # fmt: skip
    seen = []

    class Rates(kagent.callbacks.Callback):
        def on_update_end(self, update, logs=None):
            seen.append(float(agent.optimizer.learning_rate.numpy()))

    agent.fit("CartPole-v1", steps=60, callbacks=[Rates()], verbose=0)
    assert agent.train_function.traces == 1 and len(seen) > 20
    np.testing.assert_allclose(seen, 0.01 * np.arange(len(seen)), rtol=1e-5)


@pytest.mark.thorough
def test_many_agents_in_one_process_are_not_taken_for_retracing(small, caplog):
    logger = tf.get_logger()  # it does not tell the root
    logger.addHandler(caplog.handler)
    try:
        for seed in range(7):
            agent = small("dqn", seed=seed, target_update_period=30, frequency=4)
            agent.fit("CartPole-v1", steps=40, verbose=0)
            assert agent.counters.targets_moved > 0
    finally:
        logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("dqn", {}),
        pytest.param("ppo", {}, marks=pytest.mark.thorough),
        pytest.param("sac", {"start": 40}, marks=pytest.mark.thorough),
    ],
)
def test_xla_graph_and_eager_agree(small, kind, changes):
    finals = []
    for compiled in ({"jit": True}, {"jit": False}, {"compiled": {"run_eagerly": True}}):
        agent = small(kind, **compiled, **changes)
        agent.fit(ENVS[kind], steps=48, verbose=0)
        finals.append((agent.updates, variables(agent)))
    (updates, first), *others = finals
    assert updates >= 9
    for other_updates, other in others:
        assert other_updates == updates and other.keys() == first.keys()
        for name, value in first.items():
            np.testing.assert_allclose(other[name], value, atol=1e-4, rtol=1e-4, err_msg=name)


@pytest.mark.xla
def test_large_steps_are_left_to_tensorflow_unless_xla_is_asked_for(tmp_path):
    """4 x 512 + 512 + 512 x 512 + 512 + 512 x 2 + 2 = 266,242 parameters, times 126 below 2**25, times 127 above."""
    network = {"type": "mlp", "units": [512, 512]}
    for batch_size, jit in ((126, True), (127, False)):
        agent = kagent.DQN("CartPole-v1", network=network, batch_size=batch_size, seed=0)
        assert agent.jit_compile is jit
    agent.compile(jit_compile=True)
    assert agent.jit_compile
    agent.compile()
    assert not agent.jit_compile
    agent.save(tmp_path / "a.keras")
    assert not kagent.load(tmp_path / "a.keras").jit_compile
    asked = kagent.DQN("CartPole-v1", network=network, batch_size=127, seed=0, execution={"jit_compile": True})
    assert asked.jit_compile
    # How long episodes are is not known: 127 of them may be anything.
    assert kagent.VPG("CartPole-v1", network=network, batch_size=127, seed=0).jit_compile


@pytest.mark.xla
def test_convolutions_are_left_to_tensorflow_and_xla_is_warned_of(recwarn):
    seen, action = gymnasium.spaces.Box(0, 255, (10, 10, 1), np.uint8), gymnasium.spaces.Discrete(3)
    spaces = {"observation_space": seen, "action_space": action, "seed": 0}
    small = {"type": "cnn", "filters": [2], "kernels": [3], "strides": [1], "units": [4]}
    own = [keras.layers.Conv1D(2, 3), keras.layers.Flatten()]
    vector = {**spaces, "observation_space": gymnasium.spaces.Box(-1, 1, (6, 3))}
    agents = [
        kagent.PPO(**spaces, network=small),
        kagent.VPG(**spaces, network=small, batch_size=2, max_episode_timesteps=8),
    ]
    agents.append(kagent.DQN(**vector, network=own))
    assert not any(agent.jit_compile for agent in agents) and not recwarn.list
    assert kagent.PPO(**vector, network={"type": "mlp", "units": [4]}).jit_compile
    for agent in agents:
        with pytest.warns(
            UserWarning, match="XLA's convolutions are slower than TensorFlow's, which 'auto' takes"
        ) as caught:
            agent.compile(jit_compile=True)
        assert agent.jit_compile and [one.filename for one in caught] == [__file__]


@pytest.mark.sensitive
@pytest.mark.thorough
def test_large_steps_on_many_threads_are_the_same_in_every_run():
    """SAC's defaults run uncompiled: products side by side, Adam of large matrices by TensorFlow's kernel."""
    finals = []
    for jit in ("auto", "auto", True):
        agent = kagent.SAC("Pendulum-v1", seed=0)
        agent.compile(jit_compile=jit)
        assert agent.jit_compile is (jit is True)
        agent.fit("Pendulum-v1", steps=265, verbose=0)
        assert agent.updates == 10 and agent.train_function.traces == 1
        finals.append(variables(agent))
    first, again, xla = finals
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
        np.testing.assert_allclose(xla[name], value, atol=1e-3, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("policy", "kind", "jit"),
    [
        ("mixed_bfloat16", "dqn", False),
        ("mixed_float16", "dqn", True),  # its losses are scaled
        thorough(("mixed_float16", "ppo", False)),
        thorough(("mixed_float16", "sac", False)),
    ],
)
def test_mixed_precision_trains(small, dtype_policy, policy, kind, jit):
    dtype_policy(policy)
    agent = small(kind, jit=jit)
    assert agent.policy.model.layers[-1].compute_dtype == policy.removeprefix("mixed_")
    before = [w.copy() for w in agent.policy.get_weights()]
    history = agent.fit(ENVS[kind], steps=64, steps_per_epoch=32, verbose=0).history
    assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in agent.policy.get_weights())
    assert any((a != b).any() for a, b in zip(before, agent.policy.get_weights()))
    assert np.isfinite(history["loss"]).all()


@keras.saving.register_keras_serializable("tests")
class OnTheHost(keras.layers.Layer):
    """Computes where XLA cannot follow."""

    def call(self, x):
        doubled = tf.numpy_function(lambda a: 2 * a, [tf.stop_gradient(x)], tf.float32)
        return x + 0.0 * tf.ensure_shape(doubled, x.shape)


@pytest.mark.thorough
def test_a_model_that_xla_refuses_trains_uncompiled_after_one_warning(small):
    def trained(jit):
        dense = keras.layers.Dense(8, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed=1))
        agent = small("dqn", jit=jit, network=keras.Sequential([dense, OnTheHost()]))
        for _ in range(2):
            agent.fit("CartPole-v1", steps=60, verbose=0)
        return agent

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agent = trained(jit=True)
    said = [str(w.message) for w in caught if "XLA" in str(w.message)]
    assert len(said) == 1 and "jit_compile=False" in said[0]
    assert agent.updates == 27  # at 16, 20 ... 120: the refused call took no step of its own
    assert int(agent.optimizer.iterations) == 27
    # Nor did it lose an element: all is as if it had been uncompiled from the start.
    others = variables(trained(jit=False)).values()
    for (name, ours), other in zip(variables(agent).items(), others, strict=True):
        np.testing.assert_array_equal(ours, other, err_msg=name)


def test_a_true_error_in_the_model_is_not_taken_for_a_refusal(small):
    class Wrong(kagent.DQN):
        def train_step(self, batch):
            return {"loss": tf.reduce_sum(tf.reshape(batch["reward"], (3,)))}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="reshape"):
            small(Wrong, jit=True).fit("CartPole-v1", steps=40, verbose=0)


class Watched(Counter):
    """A Counter that counts its steps over all episodes."""

    taken = 0

    def step(self, action):
        self.taken += 1
        return super().step(action)


def test_mistakes_in_train_step_show_before_any_environment_step(small):
    class TooMany(kagent.DQN):
        def train_step(self, batch):
            return {f"log_{i}": 0.0 for i in range(65)}

    env = Watched()
    with pytest.raises(ValueError, match="at most 64 logs"):
        small(TooMany, env=env).fit(env, steps=100, verbose=0)
    assert env.taken == 0


@keras.saving.register_keras_serializable("tests")
class Mistaken(keras.layers.Layer):
    """Has a mistake that shows in a gradient step only."""

    def call(self, x, training=False):
        return tf.reshape(x, (-1, 999, 5)) if training else x


def test_mistakes_in_layers_show_before_any_environment_step(small):
    env = Watched()
    agent = small("dqn", env=env, network=keras.Sequential([keras.layers.Dense(8), Mistaken()]))
    with pytest.raises((ValueError, tf.errors.OpError)):
        agent.fit(env, steps=100, verbose=0)
    assert env.taken == 0


def test_the_program_is_traced_by_the_first_update(small):
    traces = []

    class Look(kagent.callbacks.Callback):
        def on_timestep_end(self, timestep, logs=None):
            traces.append(self.model.train_function.traces)

    agent = small("dqn", start=16, frequency=4)
    agent.fit("CartPole-v1", steps=24, steps_per_epoch=24, verbose=0, callbacks=[Look()])
    assert traces == [0] * 16 + [1] * 8  # in the sixteenth timestep it was traced after its end


@pytest.mark.eager(as_users=True)
def test_an_epoch_without_an_update_has_it_traced_for_the_names_of_logs(small):
    agent = small("dqn", start=100, compiled={"run_eagerly": False})
    history = agent.fit("CartPole-v1", steps=4, verbose=0).history
    assert agent.train_function.traces == 1 and np.isnan(history["loss"]).all() and agent.updates == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_replay_batch_can_hold_the_newest_transition(small, count):
    """With room for two transitions, what is drawn is one of the last two steps', or it was read ahead."""

    class Times(kagent.DQN):
        def train_step(self, batch):
            return {"loss": 0.0, "time": batch["next_observation"][0, 2]}

    class Compare(keras.callbacks.Callback):
        seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append((self.model.timesteps, logs["time"]))

    env, compare = Counter(lengths=(1000,)), Compare()
    agent = small(Times, env=env, memory=2, batch_size=1, start=0, frequency=1, gradient_steps=count)
    agent.fit(env, steps=100, verbose=0, callbacks=[compare])
    assert [step for step, _ in compare.seen] == list(range(1, 101))
    age = np.array([step - time for step, time in compare.seen])  # of several gradient steps the mean
    # Of one draw a step the mean is 0.5 +- 0.05.
    assert age.min() == 0 and age.max() == 1 and 0.2 < age.mean() < 0.8


def test_a_rollout_is_learned_from_before_the_next_overwrites_it(small):
    class Times(kagent.PPO):
        def train_step(self, batch):
            return {"loss": 0.0, "time": tf.reduce_mean(batch["observation"][:, 2])}

    class Collect(keras.callbacks.Callback):
        seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(logs["time"])

    env, collect = Counter(lengths=(1000,)), Collect()
    agent = small(Times, env=env, n_steps=4, batch_size=4, epochs=3)
    agent.fit(env, steps=20, verbose=0, callbacks=[collect])
    assert collect.seen == [1.5, 5.5, 9.5, 13.5, 17.5]


def test_it_keeps_the_contract_of_a_keras_train_function(small):
    agent = small("dqn")
    agent.fit("CartPole-v1", steps=20, verbose=0)
    learner = agent.make_train_function()
    assert learner is agent.train_function
    logs = learner(agent._update_cycle.fresh_iterator(agent))
    assert set(logs) == {"loss", "q_mean", "gradient_norm"} and all(isinstance(value, float) for value in logs.values())
    with pytest.raises(StopIteration):
        learner(iter([]))
    assert agent.make_train_function(force=True) is not learner


def test_a_scheduled_learning_rate_reaches_the_optimizer(small):
    rate = kagent.schedules.Linear(1e-2, 1e-3, steps=10, unit="updates")
    agent = small("dqn", learning_rate=rate, frequency=1, gradient_steps=5)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    assert float(agent.optimizer.learning_rate) == pytest.approx(1e-2)
    agent.fit("CartPole-v1", steps=1, verbose=0)
    assert float(agent.optimizer.learning_rate) == pytest.approx(5.5e-3)
    agent.fit("CartPole-v1", steps=9, verbose=0)
    assert float(agent.optimizer.learning_rate) == pytest.approx(1e-3)
