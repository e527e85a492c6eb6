"""Modifiers in agents: every role, alone and together, as one update, compiled and not."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from toy_envs import Identity
from variants import with_few

import kagent

ADAM = {"type": "adam", "learning_rate": 1e-2}
EVERYTHING = {
    "multi_step": 3,
    "subsampling_fraction": 0.5,
    "clipping_threshold": 0.1,
    "linesearch_iterations": 4,
}
ONE = {"batch_size": 16, "epochs": 1}  # gradient step of PPO in 16 timesteps


def weights(part):
    return [variable.numpy() for variable in part.variables]


def moved(part, before):
    return any((a != b).any() for a, b in zip(weights(part), before, strict=True))


def distance(part, before):
    return np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(weights(part), before, strict=True)))


@pytest.mark.parametrize("kind, updates", with_few([("dqn", 1), ("ppo", 4), ("sac", 3)], [("dqn", 1)]))
def test_all_roles_take_them_and_it_is_one_update(small, kind, updates):
    optimizer = {**ADAM, **EVERYTHING}
    own = {"critic_optimizer": optimizer, "temperature_optimizer": optimizer} if kind == "sac" else {}
    agent = small(kind, optimizer=optimizer, **own)
    before = {role: weights(getattr(agent, role)) for role in agent.minimizer.roles}
    env = "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    history = agent.fit(env, steps=18, verbose=0).history
    assert agent.updates == updates  # as many as there are minibatches
    for role, values in before.items():
        # Each minimize moves all it minimizes together by 0.1 at most.
        assert 0 < distance(getattr(agent, role), values) <= agent.updates * 0.1 * 1.001, role
    assert np.isfinite(history["loss"][-1])
    assert agent.train_function.traces == 1
    inner = agent.optimizer.role_map.of("critic") if own else agent.optimizer
    assert int(inner.iterations.numpy()) == 3 * agent.updates


def test_steps_on_one_batch_are_those_of_as_many_calls(small):
    batch = {
        "observation": tf.random.stateless_normal((8, 4), [1, 2]), "action": tf.constant([0, 1] * 4),
        "old_log_prob": tf.fill((8,), -0.7), "advantage": tf.linspace(-1.0, 1.0, 8), "return": tf.linspace(-1.0, 1.0, 8),
    }  # fmt: skip
    one, many = small("ppo", optimizer=ADAM), small("ppo", optimizer={**ADAM, "multi_step": 3})
    logs = [one.train_step(batch) for _ in range(3)]
    found = many.train_step(batch)
    for a, b in zip(one.get_weights(), many.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert {k: float(v) for k, v in found.items()} == pytest.approx({k: float(v) for k, v in logs[0].items()}, abs=1e-6)


def test_roles_with_optimizers_of_their_own_step_one_after_the_other(small):
    agent = small("ppo", optimizer={"type": "SGD", "learning_rate": 0.1}, critic_optimizer={**ADAM, "multi_step": 2})
    before = {role: weights(getattr(agent, role)) for role in ("policy", "critic")}

    def loss(batch):
        value = tf.reduce_mean(agent.critic.values(batch["observation"]) ** 2)
        return value + tf.reduce_sum(agent.policy.parameters_of(batch["observation"])[0][:, 0]), {"value": value}

    batch = {"observation": tf.ones((4, 4))}
    first = float(loss(batch)[0])
    total, values = agent.minimize(("policy", "critic"), loss, batch)
    assert float(total) == pytest.approx(first) and set(values) == {"value"}
    assert all(moved(getattr(agent, role), before[role]) for role in before)
    counts = [int(agent.optimizer.role_map.of(role).iterations.numpy()) for role in before]
    assert counts == [1, 2]


@pytest.mark.eager
def test_bad_steps_are_taken_back_from_policy_and_critic_together(small):
    optimizer = {
        "type": "SGD",
        "learning_rate": 1e30,
        "global_clipnorm": None,
        "multi_step": 2,
        "doublecheck_update": True,
    }
    agent = small("ppo", optimizer=optimizer, **ONE)
    before = agent.get_weights()
    agent.fit("CartPole-v1", steps=16, verbose=0)
    for a, b in zip(agent.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.eager
def test_they_are_in_the_config_and_in_the_file(small, tmp_path):
    optimizer = {"type": "multi_step", "num_steps": 3, "optimizer": {**ADAM, "subsampling_fraction": 4}}
    agent = small("ppo", optimizer=optimizer, critic_optimizer={**ADAM, "clipping_threshold": 0.1}, **ONE)
    again = type(agent).from_config(json.loads(json.dumps(agent.get_config())))
    agent.fit("CartPole-v1", steps=16, verbose=0)
    agent.save(tmp_path / "agent.keras")
    loaded = kagent.load(tmp_path / "agent.keras")
    for other in (again, loaded):
        assert other.get_config() == agent.get_config()
        for role in ("policy", "critic"):
            assert other.minimizer.modifiers_of((role,)) == agent.minimizer.modifiers_of((role,)) != ()
    for a, b in zip(loaded.optimizer.variables, agent.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_an_optimizer_of_the_users_own_has_none(small):
    agent = small("ppo", optimizer={**ADAM, **EVERYTHING})
    agent.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    assert int(agent.optimizer.iterations.numpy()) == agent.updates == 4
    agent.compile(jit_compile=False)  # the optimizer is the agent's from then on, without modifiers
    assert agent.minimizer.modifiers_of(("policy",)) == () and isinstance(agent.optimizer, keras.optimizers.SGD)


def test_penalties_of_layers_are_those_of_each_evaluation(small):
    # Activity penalties are made anew by every call of a layer; stale ones would belong to another graph.
    penalty = keras.regularizers.L2(0.01)
    network = keras.Sequential([keras.layers.Dense(8, kernel_regularizer=penalty, activity_regularizer=penalty)])
    agent = small("dqn", network=network, optimizer={**ADAM, **EVERYTHING})
    history = agent.fit("CartPole-v1", steps=20, verbose=0).history
    assert history["regularization_loss"][-1] > 0


@pytest.mark.parametrize("l2, layers", [(0.5, False), (0.0, True), (0.5, True)])
def test_regularization_is_logged_where_there_is_some(small, l2, layers):
    penalty = keras.regularizers.L2(0.25) if layers else None
    network = keras.Sequential([keras.layers.Dense(8, kernel_regularizer=penalty)])
    agent = small("dqn", network=network, l2_regularization=l2)
    kernels = [v for v in agent.policy.trainable_variables if v.shape == (4, 8)]
    expected = l2 * sum((v.numpy() ** 2).sum() for v in agent.policy.trainable_variables)
    expected += 0.25 * (kernels[0].numpy() ** 2).sum() if layers else 0.0

    def loss(batch):
        return tf.reduce_mean(agent.policy.values(batch)), {}

    alone = float(loss(tf.zeros((2, 4)))[0])
    total, values = agent.minimize("policy", loss, tf.zeros((2, 4)))
    assert float(values["regularization_loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(total) == pytest.approx(alone + expected, rel=1e-5)


def test_without_regularization_nothing_is_logged_of_it(small):
    agent = small("dqn")
    loss = lambda batch: (tf.reduce_mean(agent.policy.values(batch)), {})  # noqa: E731
    _, values = agent.minimize("policy", loss, tf.zeros((2, 4)))
    assert values.keys() == {"gradient_norm"}  # which clipping computes


@pytest.mark.thorough
def test_a_run_is_the_same_twice_and_eager_and_compiled_runs_agree(small):
    def run(**compiled):
        agent = small("dqn", bool(compiled.pop("jit", False)), optimizer={**ADAM, **EVERYTHING}, compiled=compiled)
        agent.fit("CartPole-v1", steps=20, verbose=0)
        return agent.get_weights()

    for a, again, b, c in zip(run(), run(), run(run_eagerly=True), run(jit=True), strict=True):
        np.testing.assert_array_equal(a, again)
        np.testing.assert_allclose(a, b, atol=1e-4)
        np.testing.assert_allclose(a, c, atol=1e-4)


@pytest.mark.eager
def test_half_precision_takes_them(small, dtype_policy):
    dtype_policy("mixed_float16")
    agent = small("ppo", optimizer={**ADAM, **EVERYTHING}, **ONE)
    before = agent.get_weights()
    agent.fit("CartPole-v1", steps=16, verbose=0)
    after = agent.get_weights()
    assert any((a != b).any() for a, b in zip(before, after, strict=True)) and all(np.isfinite(a).all() for a in after)


def test_users_losses_need_no_dict(small):
    agent = small("dqn", optimizer={**ADAM, "subsampling_fraction": 2})
    rows = []

    def loss(batch):
        rows.append(batch.shape[0])
        return tf.reduce_mean(agent.policy.values(batch)), {}

    agent.minimize("policy", loss, tf.zeros((6, 4)))
    assert rows == [6, 2]


@pytest.mark.parametrize("optimizer", [{"type": "evolutionary", "learning_rate": 0.05}, {**ADAM, "multi_step": 4}])
def test_shared_by_policy_and_critic_both_move(optimizer):
    agent = kagent.PPO(
        Identity(spaces.Discrete(3)), network={"type": "mlp", "units": [8]}, n_steps=16, batch_size=16, epochs=1, seed=0,
        optimizer=optimizer,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    before = {role: weights(getattr(agent, role)) for role in ("policy", "critic")}
    agent.fit(Identity(spaces.Discrete(3)), steps=16, verbose=0)
    assert all(moved(getattr(agent, role), before[role]) for role in before)
