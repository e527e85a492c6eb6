"""Layers that are others in training: which of them move, draw and stay as they are in a gradient step."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import SGD, tensors
from gymnasium import spaces
from modes import MODES, compiled

import kagent
from kagent.learning.learner import gradient_step
from kagent.training.update_cycle import UpdateTask

SEEN = np.asarray([[1.0, 2.0], [3.0, 6.0]])  # means 2 and 4, variances 1 and 4
# 0.9 of (0, 1) and 0.1 of these; of actions 0.5 and -0.5, beside the observations in a critic, of 0 and 0.25
MEAN, VARIANCE = [0.2, 0.4, 0.0], [1.0, 1.3, 0.925]
DISCRETE, BOX = spaces.Discrete(2), spaces.Box(-1, 1, (1,))
REPLAYED = {"memory": 100, "batch_size": 2, "start": 2}
PRESETS = {
    "dqn": (kagent.DQN, DISCRETE, REPLAYED, ("policy",)),
    "sac": (kagent.SAC, BOX, REPLAYED, ("policy", "critic")),
    "dpg": (kagent.DPG, BOX, REPLAYED, ("policy", "critic")),
    "ppo": (kagent.PPO, DISCRETE, {"n_steps": 2, "batch_size": 2}, ("policy", "critic")),
    "a2c": (kagent.A2C, DISCRETE, {"batch_size": 2}, ("policy", "critic")),
    "vpg": (kagent.VPG, DISCRETE, {"batch_size": 1, "max_episode_timesteps": 9}, ("policy",)),
    "trpo": (kagent.TRPO, BOX, {"n_steps": 2, "critic_steps": 1}, ("policy", "critic")),
}


def normalized(rate=0.0):
    kernel = keras.initializers.GlorotUniform(seed=1)
    layers = [
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-6),
        keras.layers.Dense(4, "tanh", kernel_initializer=kernel),
    ]
    return keras.Sequential(layers + ([keras.layers.Dropout(rate)] if rate else []))


def agent_of(name, network, **changes):
    cls, action, sizes, _ = PRESETS[name]
    optimizer = {} if name == "trpo" else {"optimizer": SGD}
    return cls(
        observation_space=spaces.Box(-9, 9, (2,)), action_space=action, network=network,
        **{"seed": 0, **sizes, **optimizer, **changes},
    )  # fmt: skip


def batch_of(name):
    action = np.asarray([0, 1], np.int32) if PRESETS[name][1] is DISCRETE else np.asarray([[0.5], [-0.5]])
    if name in ("dqn", "sac", "dpg"):
        ends = np.asarray([False, False])
        return tensors(
            {"observation": SEEN, "action": action, "reward": np.asarray([1.0, 2.0]), "terminated": ends,
             "truncated": ends, "next_observation": 10 * SEEN}
        )  # fmt: skip
    columns = {"old_log_prob": [-0.7, -0.7], "advantage": [1.0, -1.0], "return": [1.0, 2.0], "weight": [1.0, 1.0]}
    return tensors({"observation": SEEN, "action": action, **{k: np.asarray(v) for k, v in columns.items()}})


def statistics(role):
    """Moving mean and variance of every network of a role."""
    networks = [layer for model in role.inner_models() for layer in model.layers if isinstance(layer, keras.Sequential)]
    return [(n.layers[0].moving_mean.numpy(), n.layers[0].moving_variance.numpy()) for n in networks]


@pytest.mark.parametrize(
    ("name", "mode"),
    # Two presets are compiled: one of plain steps, one that evaluates its loss several times.
    [
        pytest.param(name, mode, marks=pytest.mark.thorough) if mode == "xla" else (name, mode)
        for name in PRESETS
        for mode in (MODES if name in ("sac", "trpo") else ("eager",))
    ],
)
def test_moving_statistics_move_once_by_the_observations_that_are_learned_from(name, mode):
    agent = agent_of(name, normalized())
    compiled(agent.train_step, mode)(batch_of(name))
    for role in PRESETS[name][3]:
        found = statistics(getattr(agent, role))
        assert len(found) == (2 if (name, role) == ("sac", "critic") else 1)
        for mean, variance in found:
            np.testing.assert_allclose(mean, MEAN[: len(mean)], rtol=1e-6)
            np.testing.assert_allclose(variance, VARIANCE[: len(mean)], rtol=1e-6)
    for role in agent.objective.targets:
        for mean, variance in statistics(getattr(agent, f"target_{role}")):
            assert not mean.any() and (variance == 1).all()


def test_targets_follow_moving_statistics():
    agent = agent_of("sac", normalized(), tau=0.5)
    gradient_step(agent, UpdateTask(agent), batch_of("sac"))
    for mean, variance in statistics(agent.target_critic):
        np.testing.assert_allclose(mean, [0.1, 0.2, 0.0], rtol=1e-6)
        np.testing.assert_allclose(variance, [1.0, 1.15, 0.9625], rtol=1e-6)


@pytest.mark.eager
def test_nothing_but_gradient_steps_is_in_training_mode(small):
    network = normalized(0.5)
    agent = small("ppo", network=network, n_steps=16, batch_size=16, epochs=1)
    before = [variable.numpy() for variable in agent.variables]
    observation = np.asarray([0.1, 0.2, 0.3, 0.4], np.float32)
    agent.evaluate("CartPole-v1", episodes=1)
    first = agent.act(observation, deterministic=True)
    assert all(agent.act(observation, deterministic=True) == first for _ in range(5))
    agent(observation[None], training=True)  # as an agent's Keras call: greedy actions, whatever is said
    for variable, value in zip(agent.variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    moved = [not np.array_equal(v.numpy(), value) for v, value in zip(network.layers[0].variables, before)]
    assert any(moved) and agent.updates == 1
    # One draw of one minibatch; what `prepare` computes draws nothing.
    assert [state.numpy()[1] for state in agent.policy.random_states()] == [1]


def losses(agent, name, count=8):
    """The first loss of a step, evaluated several times with the same weights: as many values as there were masks."""
    batch = batch_of(name)
    batch = agent.reward_estimation.completed(batch, agent.clock) if "terminated" in batch else batch
    term = agent.objective.terms(agent.learning_context, batch)[0]
    return {round(float(term.loss(term.batch)[0]), 6) for _ in range(count)}


def test_dropout_draws_in_the_loss_and_nowhere_else():
    agent = agent_of("dqn", normalized(0.5))
    assert len(losses(agent, "dqn")) > 1
    observation = tf.constant(SEEN, tf.float32)
    values = [agent.policy.values(observation).numpy() for _ in range(3)]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


def test_kagents_own_dropout_of_layered_networks_draws():
    network = [{"type": "dense", "size": 16, "dropout": 0.5}]
    agent = agent_of("dqn", network)
    assert len(losses(agent, "dqn")) > 1


@pytest.mark.parametrize("name", ["dqn", "ppo"])
def test_what_is_drawn_is_the_agents_seeds(name):
    def after(seed):
        agent = agent_of(name, keras.Sequential([keras.layers.Dense(8), keras.layers.Dropout(0.5)]), seed=seed)
        for role in ("policy", "target_policy", "critic"):
            for variable in getattr(agent, role).weights if getattr(agent, role, None) else ():
                variable.assign(np.linspace(0.1, 0.2, math.prod(variable.shape)).reshape(variable.shape))
        agent.train_step(batch_of(name))
        return [variable.numpy() for variable in agent.trainable_variables]

    same = [np.array_equal(a, b) for a, b in zip(after(0), after(0))]
    other = [np.array_equal(a, b) for a, b in zip(after(0), after(1))]
    assert all(same) and not all(other)


@pytest.mark.thorough
def test_uncompiled_steps_draw_as_eager_ones():
    found = []
    for mode in ("eager", "graph"):
        agent = agent_of("sac", normalized(0.5))
        step = compiled(agent.train_step, mode)
        for _ in range(2):
            step(batch_of("sac"))
        found.append([variable.numpy() for variable in agent.variables])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["linesearch_iterations", "multi_step"])
def test_all_evaluations_of_one_step_draw_the_same(optimizer):
    """A line search compares losses, which have to be those of one mask; a step of several takes another mask each."""
    agent = agent_of("dqn", normalized(0.5), optimizer={"type": "SGD", "learning_rate": 0.0, optimizer: 3})
    agent.train_step(batch_of("dqn"))
    (state,) = agent.policy.random_states()
    assert state.numpy()[1] == (1 if optimizer == "linesearch_iterations" else 3)
    ((mean, _),) = statistics(agent.policy)
    weight = 0.1 if optimizer == "linesearch_iterations" else 1 - 0.9**3
    np.testing.assert_allclose(mean, [weight * 2, weight * 4], rtol=1e-6)


@pytest.mark.parametrize(("name", "drawn"), [("sac", 2), ("dpg", 2)])
@pytest.mark.parametrize("stochastic", [False, True])
def test_critics_draw_where_they_are_read_if_they_are_to(name, drawn, stochastic):
    kind = {"sac": "soft_actor_critic", "dpg": "deterministic_policy_gradient"}[name]
    objective = {"type": kind, "stochastic_critics": stochastic}
    agent = agent_of(name, normalized(0.5), objective=objective, members=2)
    agent.train_step(batch_of(name))
    online = [int(state.numpy()[1]) for state in agent.critic.random_states()]
    target = [int(state.numpy()[1]) for state in agent.target_critic.random_states()]
    assert online == [drawn if stochastic else 1] * 2 and target == [int(stochastic)] * 2
    seeds = [int(role.numpy()[0]) for role in (*agent.critic.random_states(), *agent.target_critic.random_states())]
    assert len(set(seeds)) == 4  # no two networks draw the same masks
    for mean, _ in statistics(agent.target_critic):  # frozen: its statistics do not move by what it reads
        assert not mean.any()


@pytest.mark.parametrize("name", ["sac", "dpg"])
def test_a_line_search_of_the_policy_has_one_mask_of_the_critics(name):
    kind = {"sac": "soft_actor_critic", "dpg": "deterministic_policy_gradient"}[name]
    agent = agent_of(
        name, normalized(0.5), objective={"type": kind, "stochastic_critics": True},
        optimizer={"type": "SGD", "learning_rate": 0.0, "linesearch_iterations": 3}, critic_optimizer=SGD,
    )  # fmt: skip
    agent.train_step(batch_of(name))
    # Once in the loss of their own, once in that of the policy, however often that was evaluated.
    assert {int(state.numpy()[1]) for state in agent.critic.random_states()} == {2}
    assert {int(state.numpy()[1]) for state in agent.policy.random_states()} == {1}


@pytest.mark.thorough
@pytest.mark.eager
def test_random_states_are_saved_and_resumed(small, tmp_path):
    whole, first = (small("dqn", network=normalized(0.5), gradient_steps=2, exploration=0.5) for _ in range(2))
    whole.fit("CartPole-v1", steps=32, verbose=0)
    first.fit("CartPole-v1", steps=24, verbose=0)
    first.save(tmp_path / "a.keras", include_memory=True)
    second = kagent.load(tmp_path / "a.keras")
    second.fit("CartPole-v1", steps=8, verbose=0)
    for one, other in zip(whole.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.thorough
def test_the_first_ratio_is_one_without_layers_that_are_others_in_training(small):
    for network, one in ((keras.layers.Dense(8), True), (normalized(0.5), False)):
        agent = small("ppo", network=network, n_steps=16, batch_size=16, epochs=1)
        logs = agent.fit("CartPole-v1", steps=16, verbose=0).history
        assert (abs(logs["approx_kl"][-1]) < 1e-6) == one


def test_spectral_normalization_moves():
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(4))
    agent = agent_of("dqn", keras.Sequential([layer]))
    before = layer.vector_u.numpy()
    agent.train_step(batch_of("dqn"))
    assert not np.array_equal(layer.vector_u.numpy(), before)


def test_frozen_batch_normalization_stays_as_it_is():
    network = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(trainable=False)])
    agent = agent_of("dqn", network)
    agent.train_step(batch_of("dqn"))
    assert not network.layers[0].moving_mean.numpy().any()
