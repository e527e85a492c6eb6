"""Agents whose noise depends on the state: their distributions, their arguments, and what they do in episodes."""

import itertools
import json

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

import kagent
from kagent.policies import StateDependentNoise
from kagent.testing import Toy

MLP = {"type": "mlp", "units": [3], "activation": "tanh"}
OBSERVATION, BOX = spaces.Box(-1.0, 1.0, (2,)), spaces.Box(-2.0, 2.0, (2,))
ON_POLICY = ("PPO", "TRPO", "A2C", "AC")
OFF_POLICY = ("SAC", "TQC", "CrossQ")


def make(name="PPO", noise=3, action=BOX, observation=OBSERVATION, **arguments):
    given = {"observation_space": observation, "action_space": action, "seed": 3, "network": MLP, **arguments}
    if name in OFF_POLICY:
        given = {"memory": 50, "batch_size": 4, **given}
    return getattr(kagent, name)(**given, state_dependent_noise=noise)


def observations(count=4):
    return [np.random.default_rng(1).uniform(-1.0, 1.0, (count, 2)).astype(np.float32)]


def features_of(agent, leaves):
    dense = agent.policy.model.get_layer("dense_0")
    return np.tanh(leaves[0] @ dense.kernel.numpy() + dense.bias.numpy())


@pytest.mark.parametrize("name", [*ON_POLICY, *OFF_POLICY])
def test_heads_are_means_and_the_deviations_over_all_noise(name):
    agent, leaves = make(name), observations()
    log_std = agent.policy.model.get_layer("log_std_0")
    start = 0.0 if name in ON_POLICY else -3.0
    np.testing.assert_array_equal(log_std.value, np.full((3, 2), start, np.float32))
    assert agent.log_std == start
    log_std.value.assign([[0.5, -1.0], [0.0, 0.25], [-0.5, -2.0]])
    if name == "CrossQ":  # normalized behind each layer
        features = agent.actor.forward(leaves)[1].copy()
    else:
        features = features_of(agent, leaves)
    variance = features**2 @ np.exp(2.0 * log_std.value.numpy())
    np.testing.assert_allclose(agent.policy.heads(leaves)[1], 0.5 * np.log(variance), rtol=1e-3)


@pytest.mark.parametrize("options", [{}, {"full_std": False}, {"expln": True}, {"full_std": False, "expln": True}])
@pytest.mark.parametrize("name", ["PPO", "SAC"])
def test_numpy_draws_from_the_distribution_of_the_losses(name, options):
    agent, leaves = make(name, noise=options, log_std=0.4), observations(1)
    log_std = agent.policy.model.get_layer("log_std_0").value
    log_std.assign(log_std + np.linspace(-0.8, 0.8, int(tf.size(log_std))).reshape(log_std.shape))
    agent.actor.refresh()
    decision, actor = agent.actor.decisions[0], agent.actor
    mean, features, learned = actor.forward(leaves)
    np.testing.assert_allclose(features, features_of(agent, leaves), rtol=1e-5)
    deviations = np.broadcast_to(decision._deviation(learned), (3, 2))
    heads = [head.numpy() for head in agent.policy.heads(leaves)]
    np.testing.assert_allclose(mean, heads[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(0.5 * np.log(features**2 @ deviations**2 + 1e-6), heads[1], rtol=1e-5, atol=1e-6)


def gradient(agent):
    """Of the log standard deviation's sum with respect to the first layer and to what is learned for it."""
    dense, log_std = (agent.policy.model.get_layer(layer) for layer in ("dense_0", "log_std_0"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(agent.policy.heads([tf.constant(part) for part in observations()])[1])
    return tape.gradient(total, [dense.kernel.value, log_std.value.value])


@pytest.mark.parametrize(
    "name, options, learns", [("PPO", {}, False), ("PPO", {"learn_features": True}, True), ("SAC", {}, True),
                              ("SAC", {"learn_features": False}, False)],
)  # fmt: skip
def test_features_learn_by_the_deviation_where_it_says_so(name, options, learns):
    of_features, of_deviations = gradient(make(name, noise=options))
    assert (of_features is not None and bool(tf.reduce_any(of_features != 0.0))) == learns
    assert bool(tf.reduce_all(of_deviations > 0.0))


@pytest.mark.parametrize("name, options, bound", [("PPO", {}, None), ("PPO", {"clip_mean": 1.5}, 1.5), ("SAC", {}, 2.0),
                                                  ("SAC", {"clip_mean": None}, None)])  # fmt: skip
def test_means_are_bounded_before_tanh(name, options, bound):
    agent = make(name, noise=options)
    agent.policy.model.get_layer("mean_0").bias.assign([50.0, -50.0])
    agent.actor.refresh()
    expected = np.abs(agent.policy.heads(observations())[0].numpy()).max()
    assert expected == bound if bound else expected > 40.0
    np.testing.assert_allclose(np.abs(agent.actor.forward(observations())[0]).max(), expected, rtol=1e-6)


def test_a_divergence_is_that_of_the_distributions_at_a_state():
    """Standard deviations s and 2 s, of two equal means: log 2 + 1/8 - 1/2 for each of two numbers."""
    agent, leaves = make("TRPO"), observations()
    before = agent.policy.heads(leaves)
    log_std = agent.policy.model.get_layer("log_std_0").value
    log_std.assign(log_std + np.log(2.0))
    found = agent.policy.joint.kl(before, agent.policy.heads(leaves))
    np.testing.assert_allclose(found, [2 * (np.log(2.0) + 1 / 8 - 1 / 2)] * 4, rtol=1e-3)


GIVEN = [
    (4, StateDependentNoise(4)),
    (np.int64(4), StateDependentNoise(4)),
    ("episode", StateDependentNoise()),
    ({"period": 4, "expln": True}, StateDependentNoise(4, expln=True)),
    ({"type": "gsde", "period": 4}, StateDependentNoise(4)),
    ({}, StateDependentNoise()),
    (StateDependentNoise(2, full_std=False, clip_mean=1.0), StateDependentNoise(2, full_std=False, clip_mean=1.0)),
]


@pytest.mark.parametrize("given, expected", GIVEN)
def test_it_is_given_in_several_forms(given, expected):
    agent = make(noise=given)
    assert agent.state_dependent_noise == expected
    again = kagent.Agent.create(json.loads(json.dumps(agent.get_config())))
    assert again.state_dependent_noise == expected
    assert make(noise=None).state_dependent_noise is None


@pytest.mark.parametrize("name", ["PPO", "TRPO"])
def test_a_rollout_is_as_many_timesteps(name):
    assert make(name, "rollout", n_steps=6).state_dependent_noise == StateDependentNoise(6)
    assert make(name, {"period": "rollout", "expln": True}, n_steps=6).state_dependent_noise.period == 6


@pytest.mark.parametrize(
    "noise, error, message",
    [
        (0, ValueError, r"state_dependent_noise\.period.*1 to .*'episode'.*Received: 0"),
        (True, ValueError, "state_dependent_noise.period.*Received: True"),
        (2.5, ValueError, "state_dependent_noise.period.*Received: 2.5"),
        ("rollout", ValueError, "state_dependent_noise.period.*`n_steps`.*Received: 'rollout'"),
        ({"period": None}, ValueError, "state_dependent_noise.period.*Received: None"),
        ({"full_std": 1}, TypeError, "state_dependent_noise.full_std"),
        ({"expln": "yes"}, TypeError, "state_dependent_noise.expln"),
        ({"learn_features": None}, TypeError, "state_dependent_noise.learn_features"),
        ({"clip_mean": 0.0}, ValueError, "state_dependent_noise.clip_mean"),
        ({"clip_mean": "none"}, ValueError, "state_dependent_noise.clip_mean"),
        ({"sde_sample_freq": 4}, ValueError, "Did you mean 'period'"),
        ({"use_expln": True}, ValueError, "Did you mean 'expln'"),
        ([4], TypeError, "state_dependent_noise"),
    ],
)
def test_other_values_are_refused(noise, error, message):
    with pytest.raises(error, match=message):
        make("SAC", noise)


@pytest.mark.parametrize(
    "action, policy, received",
    [
        (spaces.Discrete(2), {}, "'action' with 'categorical'"),
        (spaces.MultiBinary(2), {}, "'action' with 'bernoulli'"),
        (spaces.Dict(gear=spaces.Discrete(2), steer=BOX), {}, "'gear' with 'categorical'"),
        (BOX, {"distribution": "beta"}, "'action' with 'beta'"),
        (
            BOX,
            {"distribution": {"type": "gaussian", "stddev_mode": "predicted"}},
            "leave `stddev_mode` of 'action' out",
        ),
    ],
)
def test_actions_that_it_is_not_for_are_refused(action, policy, received):
    policy = {"network": MLP, "state_dependent_noise": 4, **policy}
    with pytest.raises(ValueError, match=f"`state_dependent_noise`.*{received}"):
        kagent.PPO(observation_space=OBSERVATION, action_space=action, policy=policy)


def test_agents_without_such_a_policy_refuse_it():
    for preset in (kagent.TD3, kagent.DPG, kagent.DQN, kagent.DiscreteSAC, kagent.Random):
        with pytest.raises(TypeError, match="unexpected keyword argument 'state_dependent_noise'"):
            preset(observation_space=OBSERVATION, action_space=BOX, state_dependent_noise=4)
    with pytest.raises(ValueError, match=r"DeterministicPolicy has no argument.*state_dependent_noise"):
        kagent.TD3(observation_space=OBSERVATION, action_space=BOX, policy={"state_dependent_noise": 4})
    with pytest.raises(ValueError, match=r"`state_dependent_noise` goes into the `policy`.*replaces"):
        kagent.PPO(observation_space=OBSERVATION, action_space=BOX, policy={"network": MLP}, state_dependent_noise=4)


@pytest.mark.parametrize("exploration", [0.1, {"type": "ActionNoise", "amount": 0.1, "sample": True}, "sampling"])
def test_noise_on_top_of_it_is_allowed(exploration):
    assert make(exploration=exploration).state_dependent_noise.period == 3


@pytest.mark.parametrize(
    "exploration",
    [{"type": "ActionNoise", "amount": 0.1, "sample": False}, "ornstein_uhlenbeck", "epsilon_greedy"],
)
def test_explorations_that_take_the_best_actions_are_refused(exploration):
    with pytest.raises(ValueError, match=r"`state_dependent_noise` is noise of the policy's own.*'sampling'"):
        make(exploration=exploration)
    assert make(noise=None, exploration=exploration).state_dependent_noise is None


def test_diverged_weights_are_refused_as_without_it():
    agent = make()
    agent.policy.model.get_layer("mean_0").bias.assign([np.nan, 0.0])
    agent.actor.refresh()
    with pytest.raises(ValueError, match="outputs are not finite"):
        agent.act(np.float32([0.5, -0.5]), deterministic=True)


@pytest.mark.parametrize("name", ["use_sde", "sde_sample_freq"])
@pytest.mark.parametrize("preset", [kagent.PPO, kagent.SAC])
def test_names_of_other_libraries_are_understood(preset, name):
    with pytest.raises(TypeError, match="Did you mean 'state_dependent_noise'"):
        preset("Pendulum-v1", **{name: 4})


def test_noise_stays_in_act_and_observe_and_ends_with_the_episode():
    """The same observation at every timestep: the action is another one where noise was drawn."""
    agent, seen, observation = make(parallel_interactions=2, n_steps=50), {0: [], 1: []}, np.float32([0.5, -0.5])
    order, draws = [0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0], {0: (1, 4, 6), 1: (1, 4)}  # which acts draw
    for number, index in enumerate(order):
        greedy = agent.act(observation, deterministic=True, parallel=index)
        aside = agent.act(observation, independent=True, parallel=index)
        seen[index].append(agent.act(observation, parallel=index).tolist())
        assert (aside.tolist() != seen[index][-1]) == (len(seen[index]) in draws[index])
        assert greedy.tolist() == agent.actor.act(observation).tolist()
        agent.observe(0.0, number == 6, False, observation, parallel=index)
    changes = {index: [a != b for a, b in itertools.pairwise(found)] for index, found in seen.items()}
    assert changes == {0: [False, False, True, False, True, False], 1: [False, False, True]}


def test_evaluations_take_means_and_players_carry_noise():
    agent, env = make(observation=Toy(OBSERVATION, BOX).observation_space), Toy(OBSERVATION, BOX)
    one, other = (agent.evaluate(env, episodes=2, deterministic=d, seed=1)["episode_return"] for d in (True, False))
    assert np.isfinite([one, other]).all()
    player, observation = agent.player(), np.float32([0.5, -0.5])
    for deterministic in (True, False):
        player.reset()
        found = [player.act(observation, deterministic).tolist() for _ in range(4)]
        assert found[0] == found[1] == found[2] and (found[3] == found[0]) == deterministic


class Recorded(gymnasium.Wrapper):
    """Keeps the actions that it gets."""

    def __init__(self, env):
        super().__init__(env)
        self.actions = []

    def step(self, action):
        self.actions.append(np.array(action))
        return self.env.step(action)


@pytest.mark.parametrize("name", ["A2C", "SAC"])
def test_a_run_is_resumed_in_the_middle_of_a_period(name, tmp_path):
    """Without updates, in two environments: 4 timesteps in each of them, of the 5 from one draw to the next, and 4 further."""
    steps = 8

    def fit(agent, path=None):
        made = []
        agent.fit(
            lambda: made.append(Recorded(gymnasium.make("Pendulum-v1"))) or made[-1],
            max_steps=2 * steps, steps_per_epoch=steps, verbose=0,
            callbacks=[] if path is None else [keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: stop(agent))],
        )  # fmt: skip
        if path is not None:
            agent.save_weights(path)
        return np.array([env.actions for env in made])

    def stop(agent):
        agent.stop_training = True

    def new(seed=3):
        space = gymnasium.make("Pendulum-v1")
        given = {"start": 0, "exploration": "sampling"} if name == "SAC" else {}
        agent = make(
            name, 5, space.action_space, space.observation_space, seed=seed, n_envs=2, frequency="never", **given
        )
        agent.compile(run_eagerly=True)
        return agent

    whole = fit(new())
    path = tmp_path / "half.weights.h5"
    first = fit(new(), path)
    resumed = new(seed=8)
    resumed.load_weights(path)
    second = fit(resumed)
    half = steps // 2
    np.testing.assert_array_equal(first, whole[:, :half])
    np.testing.assert_array_equal(second[:, -half:], whole[:, half:])


@keras.saving.register_keras_serializable("state_dependent_noise_test")
class Doubled(keras.layers.Layer):
    """Unknown to NumPy."""

    def call(self, inputs):
        return keras.ops.tanh(2.0 * inputs)


def test_a_network_without_a_numpy_form_has_the_same_noise():
    def agent(*last):
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, kernel_initializer="ones"), *last])
        return make(network=network, noise=2)

    keras_actor, numpy_actor = (
        agent(Doubled()).actor,
        agent(keras.layers.Rescaling(2.0), keras.layers.Activation("tanh")).actor,
    )
    assert not keras_actor.is_numpy and numpy_actor.is_numpy
    found = []
    for actor in (keras_actor, numpy_actor):
        states, rng = kagent.acting.EpisodeStates(actor, 4), np.random.default_rng(0)
        found.append([])
        for _ in range(3):
            found[-1].append(states.decide(observations(), None, False, rng)[0])
            states.advance()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


@keras.saving.register_keras_serializable("state_dependent_noise_test")
class OwnHeads(kagent.policies.StochasticPolicy):
    """Makes its model itself, as policies of users do."""

    def make(self, observation, action, seeds, skip):
        self.joint = kagent.policies.distributions.Joint(
            [kagent.policies.distributions.for_leaf(leaf, self.decision(leaf)) for leaf in action.leaves]
        )

        def heads(features):
            return [keras.layers.Dense(2, name=name)(features) for name in ("mean", "log_std")]

        self.model = kagent.networks.functional(self.network, observation, heads, seeds, self.name, skip)


def test_a_policy_that_makes_its_own_model_acts_by_it():
    agent = kagent.PPO(observation_space=OBSERVATION, action_space=BOX, policy=OwnHeads(MLP), seed=3)
    assert agent.actor.is_numpy and agent.actor.initial_state(1) == ()
    np.testing.assert_allclose(
        agent.actor.forward(observations()), agent.policy.heads(observations()), rtol=1e-5, atol=1e-6
    )
