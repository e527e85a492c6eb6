"""Every label of the summarizer: what is in the event files is what happened, computed again by hand."""

import contextlib
import copy
import functools
import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_files import curves, graphs, moments
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from toy_envs import Counter, Identity
from variants import thorough

import kagent
from kagent.callbacks import Callback, Summarizer
from kagent.callbacks.summaries.labels import LABELS
from kagent.callbacks.summaries.parameters import parameters
from kagent.schedules import Clock, Linear

pytestmark = pytest.mark.eager

EVERY = ["all", "updates-histogram", "variables-histogram"]
ACTIONS = spaces.Dict(speed=spaces.Box(-1, 1, (2,)), turn=spaces.Discrete(2))
L2 = 0.01


class Witness(Callback):
    """Writes down what happened, by events of its own."""

    def __init__(self):
        super().__init__()
        self.steps, self.episodes, self.before, self.after = [], [], [], []

    def on_timestep_end(self, timestep, logs=None):
        self.steps.append((timestep, copy.deepcopy(logs)))

    def on_episode_end(self, episode, logs=None):
        self.episodes.append((episode, dict(logs)))

    def on_update_begin(self, update, logs=None):
        self.before.append((update, self.values()))

    def on_update_end(self, update, logs=None):
        self.after.append((update, self.values(), dict(logs), self.model.timesteps))

    def values(self):
        return {variable.path: variable.numpy() for variable in self.model.variables}

    @property
    def updates(self):
        return [update for update, *_ in self.after]

    def rows(self, name, timesteps):
        """The first leaf of what was seen up to then, the last 64 rows."""
        found = np.concatenate([logs[name][0] for at, logs in self.steps if at <= timesteps])
        return found[-64:]

    def changes(self, agent):
        paths = [variable.path for variable in agent.trainable_variables]
        pairs = zip(self.before, self.after)
        return [{path: new[1][path].astype(np.float64) - old[1][path] for path in paths} for old, new in pairs]


class Run:
    def __init__(self, agent, env, folder, steps, labels=EVERY, **arguments):
        self.agent, self.witness = agent, Witness()
        self.summarizer = Summarizer(folder, labels=labels)
        agent.fit(env, steps=steps, verbose=0, callbacks=[self.summarizer, self.witness], **arguments)
        self.curves = curves(self.summarizer.path)

    @contextlib.contextmanager
    def at(self, values):
        """The agent as it was."""
        now = {variable.path: variable.numpy() for variable in self.agent.variables}
        try:
            for variable in self.agent.variables:
                variable.assign(values[variable.path])
            yield self.agent
        finally:
            for variable in self.agent.variables:
                variable.assign(now[variable.path])


@pytest.fixture(scope="module")
def network():
    layers = keras.layers

    def make():
        hidden = [layers.Dense(8, "relu", name="first"), layers.Dropout(0.25, name="drop")]
        return keras.Sequential([*hidden, layers.Dense(6, name="second"), layers.ReLU(name="rectifier")], name="body")

    return make


@pytest.fixture(scope="module")
def dqn(tmp_path_factory, network):
    agent = kagent.DQN(
        Counter(lengths=(5,)), network=network(), seed=0, memory=100, batch_size=8, start=16, frequency=4,
        target_update_period=20, horizon=0, l2_regularization=L2, learning_rate=Linear(1e-2, 0.0, 10, "updates"),
    )  # fmt: skip
    agent.compile(jit_compile=False)
    return Run(agent, Counter(lengths=(5, 3)), tmp_path_factory.mktemp("dqn"), 40)


@pytest.fixture(scope="module")
def ppo(tmp_path_factory):
    env = functools.partial(Identity, ACTIONS, length=5)
    agent = kagent.PPO(
        env, network={"type": "mlp", "units": [8]}, seed=0, n_envs=2, n_steps=8, batch_size=8, epochs=2,
        clip_range=Linear(0.4, 0.0), l2_regularization=L2, learning_rate=1e-2,
    )  # fmt: skip
    agent.compile(run_eagerly=True)  # DQN's is a program, as users have it
    return Run(agent, env, tmp_path_factory.mktemp("ppo"), 48)


@pytest.fixture(scope="module")
def sac(tmp_path_factory):
    agent = kagent.SAC(
        "Pendulum-v1", network={"type": "mlp", "units": [8]}, seed=0, memory=100, batch_size=8, start=16,
        l2_regularization=L2,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    return Run(agent, "Pendulum-v1", tmp_path_factory.mktemp("sac"), 20)


@pytest.fixture(params=["dqn", *map(thorough, ("ppo", "sac"))])
def run(request):
    return request.getfixturevalue(request.param)


def heads(run, timesteps):
    """Parameters of the policy's distributions on what was observed until then; the last 64 timesteps."""
    observed = zip(*[logs["observation"] for at, logs in run.witness.steps if at <= timesteps])
    leaves = [tf.constant(np.concatenate(leaf)[-64:]) for leaf in observed]
    found = run.agent.policy.model(leaves)
    return found if isinstance(found, list) else [found]


# What the agent does -----------------------------------------------------------------------------------------------


def test_graph(run):
    ((step, graph),) = graphs(run.summarizer.path)
    dense = [layer for layer in _layers(run.agent.policy.model) if isinstance(layer, keras.layers.Dense)]
    assert step == 0 and sum(node.op == "MatMul" for node in graph.node) == len(dense)


def _layers(model):
    return [deep for layer in model.layers for deep in (_layers(layer) if hasattr(layer, "layers") else [layer])]


def test_categorical_of_a_policy_is_its_probabilities(ppo):
    probabilities = [ppo.curves[f"categorical/turn/probability-{i}"] for i in range(2)]
    steps, first = probabilities[0]
    assert steps == [timestep for timestep, _ in ppo.witness.steps] == list(range(2, 49, 2))
    np.testing.assert_allclose(np.sum([values for _, values in probabilities], axis=0), 1.0, rtol=1e-6)
    _, logs = ppo.witness.steps[-1]
    with ppo.at(ppo.witness.before[-1][1]):  # the weights acted with
        logits = ppo.agent.policy.model([tf.constant(leaf) for leaf in logs["observation"]])[2].numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose([values[-1] for _, values in probabilities], expected.mean(axis=0), rtol=1e-5)
    assert abs(first[0] - 0.5) < 0.02  # an untrained policy


def test_categorical_of_a_value_policy_is_its_values(dqn):
    steps, values = dqn.curves["categorical/action/value-2"]
    assert steps == list(range(1, 41))
    with dqn.at(dqn.witness.before[0][1]):
        observed = np.concatenate([logs["observation"][0] for _, logs in dqn.witness.steps[:16]])
        expected = dqn.agent.policy.values([tf.constant(observed)]).numpy()[:, 2]
    np.testing.assert_allclose(values[:16], expected, rtol=1e-4, atol=1e-5)


def test_gaussian(ppo, sac):
    for i in range(2):
        steps, deviations = ppo.curves[f"gaussian/speed/stddev-{i}"]
        assert steps == list(range(2, 49, 2)) and deviations[:8] == [1.0] * 8 and deviations[-1] != 1.0
    _, logs = sac.witness.steps[0]
    with sac.at(sac.witness.before[0][1]):
        mean, log_std = sac.agent.policy.model([tf.constant(logs["observation"][0])])
    assert sac.curves["gaussian/action/mean"][1][0] == pytest.approx(mean.numpy().item(), rel=1e-5)
    assert sac.curves["gaussian/action/stddev"][1][0] == pytest.approx(math.exp(log_std.numpy().item()), rel=1e-5)
    assert not any(tag.startswith(("bernoulli", "beta", "categorical")) for tag in sac.curves)


def test_bernoulli_and_beta(small, tmp_path):
    env = Identity(spaces.Dict(bits=spaces.MultiBinary(2), share=spaces.Box(0, 1, (1,))))
    network = {"type": "mlp", "units": [4], "initialization": "fan_in"}
    policy = {"network": network, "distribution": {"bits": "bernoulli", "share": "beta"}, "head_gain": 1.0}
    agent = small("ppo", env=env, n_steps=100, policy={"type": "StochasticPolicy", **policy})
    run = Run(agent, env, tmp_path, 3, labels=["bernoulli", "beta"])
    seen = []
    for i, (_, logs) in enumerate(run.witness.steps):
        logits, alpha, beta = [x.numpy() for x in agent.policy.model([tf.constant(x) for x in logs["observation"]])]
        for j in range(2):
            steps, found = run.curves[f"bernoulli/bits/probability-{j}"]
            assert steps == [1, 2, 3] and found[i] == pytest.approx(1 / (1 + math.exp(-logits[0, j])), rel=1e-5)
            seen.append(found[i])
        for name, head in (("alpha", alpha), ("beta", beta)):
            steps, found = run.curves[f"beta/share/{name}"]
            assert steps == [1, 2, 3] and found[i] == pytest.approx(1 + math.log1p(math.exp(head[0, 0])), rel=1e-5)
    assert len(run.curves) == 4 and max(abs(probability - 0.5) for probability in seen) > 0.05


def test_every_label_is_written(dqn, ppo, sac):
    """By one of the runs here, or by the test of its own."""
    found = {tag.split("/")[0] for run in (dqn, ppo, sac) for tag in run.curves}
    assert {*LABELS} - {"graph", "bernoulli", "beta"} <= found


def test_many_choices_are_summed_up(small, tmp_path):
    env = Identity(spaces.Discrete(40))
    agent = small("dqn", env=env, start=100)
    run = Run(agent, env, tmp_path, 2, labels=["categorical"])
    expected = agent.policy.values([tf.constant(run.witness.steps[-1][1]["observation"][0])]).numpy()
    found = {tag: values[-1] for tag, (_, values) in run.curves.items()}
    assert found == {
        "categorical/action/value-mean": pytest.approx(expected.mean(), rel=1e-5),
        "categorical/action/value-variance": pytest.approx(expected.var(), rel=1e-5),
    }


def test_masked_choices_have_probability_zero(small, tmp_path):
    env = Counter(lengths=(4,), masked=True)
    agent = small("ppo", env=env, n_steps=100)
    run = Run(agent, env, tmp_path, 6, labels=["categorical", "entropy"])
    found = np.array([run.curves[f"categorical/action/probability-{i}"][1] for i in range(3)]).T
    allowed = np.array([logs["action_mask"][0][0] for _, logs in run.witness.steps])
    assert (found[~allowed] == 0).all() and (np.abs(found[allowed] - 0.5) < 0.1).all()


@pytest.mark.sensitive
def test_dropout(dqn):
    steps, found = dqn.curves["dropout/drop"]
    assert steps == list(range(1, 41))
    relu = dqn.curves["relu/first"][1]
    # What the layer before left at zero stays there, and of the rest a quarter goes.
    expected = [zeros + 0.25 * (1 - zeros) for zeros in relu]
    assert abs(np.mean(found[10:]) - np.mean(expected[10:])) < 0.055  # six deviations of 30 times 64 draws
    assert len(set(found[20:])) > 5  # drawn anew


def test_dropout_of_a_layer_without_other_zeros(small, tmp_path):
    network = keras.Sequential([keras.layers.Dense(16, "sigmoid"), keras.layers.Dropout(0.25)])
    run = Run(small("dqn", network=network, start=1000), "CartPole-v1", tmp_path, 80, labels=["dropout"])
    ((steps, found),) = run.curves.values()
    assert len(steps) == 80
    assert abs(np.mean(found) - 0.25) < 0.01 and np.std(found[63:]) < 0.03


def test_relu(dqn):
    steps, found = dqn.curves["relu/first"]
    assert steps == list(range(1, 41))
    values = dqn.witness.before[0][1]
    kernel, bias, deep, last = (values[f"policy/body/{name}"] for name in
                                ("first/kernel", "first/bias", "second/kernel", "second/bias"))  # fmt: skip
    for timestep in (1, 7, 16):
        hidden = np.maximum(dqn.witness.rows("observation", timestep) @ kernel + bias, 0)
        assert found[timestep - 1] == pytest.approx(np.mean(hidden == 0))
        outer = hidden @ deep + last <= 0
        assert dqn.curves["relu/rectifier"][1][timestep - 1] == pytest.approx(np.mean(outer))


# What comes of it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["timestep-reward", "raw-reward"])
def test_rewards_of_timesteps(run, label):
    steps, found = run.curves[label]
    assert steps == [timestep for timestep, _ in run.witness.steps]
    np.testing.assert_allclose(found, [logs["reward"].mean() for _, logs in run.witness.steps], rtol=1e-6)


def test_raw_reward_is_that_before_preprocessing(small, tmp_path):
    class Preprocessing(Callback):
        def on_timestep_end(self, timestep, logs=None):
            logs["raw_reward"] = 10 * logs["reward"] + 1

    summarizer = Summarizer(tmp_path, labels=["raw-reward", "timestep-reward"])
    agent = small("dqn", start=1000)
    agent.fit("CartPole-v1", steps=3, verbose=0, callbacks=[Preprocessing(), summarizer])
    found = curves(summarizer.path)
    assert found == {"timestep-reward": ([1, 2, 3], [1.0] * 3), "raw-reward": ([1, 2, 3], [11.0] * 3)}


def test_steps_that_only_reset_are_no_timesteps(small, tmp_path):
    vector = SyncVectorEnv([lambda: Counter(lengths=(2,))] * 2)
    agent = small("dqn", env=Counter(), start=1000)
    run = Run(agent, vector, tmp_path, 8, labels=["timestep-reward", "empirical-reward", "estimated-reward"])
    steps, _ = run.curves["timestep-reward"]
    assert steps == [2, 4, 6, 8] and len(run.witness.steps) == 5
    assert run.curves["empirical-reward"][0] == [1, 2, 3, 4]


def test_episode_reward(dqn, ppo):
    for run in (dqn, ppo):
        steps, found = run.curves["episode-reward"]
        assert steps == list(range(1, len(run.witness.episodes) + 1)) and len(steps) > 5
        np.testing.assert_allclose(found, [logs["episode_return"] for _, logs in run.witness.episodes], rtol=1e-6)


def test_empirical_reward(dqn, ppo):
    for run in (dqn, ppo):
        count = len(run.witness.steps[0][1]["reward"])
        open_, expected, ends = [[] for _ in range(count)], [], iter(run.witness.episodes)
        for _, logs in run.witness.steps:
            for env in range(count):
                open_[env].append(logs["reward"][env])
                if logs["terminated"][env] or logs["truncated"][env]:
                    assert next(ends)[1]["env"] == env
                    rewards, open_[env] = open_[env], []
                    sums = [sum(0.99**k * r for k, r in enumerate(rewards[t:])) for t in range(len(rewards))]
                    expected.append(sum(sums) / len(sums))
        steps, found = run.curves["empirical-reward"]
        assert steps == list(range(1, len(expected) + 1))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_estimated_reward_of_action_values(dqn):
    steps, found = dqn.curves["estimated-reward"]
    assert steps == dqn.witness.updates
    for (_, values, _, timesteps), estimate in zip(dqn.witness.after, found):
        rows = {name: dqn.witness.rows(name, timesteps) for name in ("observation", "next_observation")}
        logs = [logs for at, logs in dqn.witness.steps if at <= timesteps]
        reward, terminated = (np.array([entry[name][0] for entry in logs]) for name in ("reward", "terminated"))
        with dqn.at(values) as agent:
            following = agent.target_policy.values([tf.constant(rows["next_observation"])]).numpy().max(axis=-1)
        assert estimate == pytest.approx(np.mean(reward + 0.99 * (1 - terminated) * following), rel=1e-4)


def test_estimated_reward_of_what_is_allowed(small, tmp_path):
    env = Counter(lengths=(6,), masked=True)
    agent = small("dqn", env=env, start=8, batch_size=4)
    run = Run(agent, env, tmp_path, 8, labels=["estimated-reward", "kl-divergence"])
    ((_, values, _, _),) = run.witness.after
    logs = [logs for _, logs in run.witness.steps]
    with run.at(values):
        following = agent.target_policy.values([tf.constant(run.witness.rows("next_observation", 8))]).numpy()
    expected = []
    for entry, row in zip(logs, following):
        best = row[entry["next_action_mask"][0][0].astype(bool)].max() if not entry["terminated"][0] else 0.0
        expected.append(entry["reward"][0] + 0.99 * best)
    assert run.curves["estimated-reward"] == ([1], [pytest.approx(np.mean(expected), rel=1e-5)])
    assert any(
        row.argmax() not in np.flatnonzero(entry["next_action_mask"][0][0]) for entry, row in zip(logs, following)
    )


def test_estimated_reward_with_a_critic(ppo):
    steps, found = ppo.curves["estimated-reward"]
    assert steps == ppo.witness.updates
    _, values, _, timesteps = ppo.witness.after[0]
    logs = [logs for at, logs in ppo.witness.steps if at <= timesteps]
    with ppo.at(values) as agent:
        now, following = (
            np.array([agent.critic.values([tf.constant(x) for x in step[name]]) for step in logs])
            for name in ("observation", "next_observation")
        )
    learned = np.zeros_like(now)
    for env in range(2):
        advantage = 0.0
        for t in reversed(range(len(logs))):
            ended = logs[t]["terminated"][env] or logs[t]["truncated"][env]
            delta = logs[t]["reward"][env] + 0.99 * (1 - logs[t]["terminated"][env]) * following[t, env] - now[t, env]
            advantage = delta + 0.99 * 0.95 * (0.0 if ended else advantage)
            learned[t, env] = advantage + now[t, env]
    assert found[0] == pytest.approx(learned.mean(), rel=1e-4)


def test_estimated_reward_of_soft_actor_critic(sac):
    steps, found = sac.curves["estimated-reward"]
    _, values, _, timesteps = sac.witness.after[-1]
    logs = [logs for at, logs in sac.witness.steps if at <= timesteps]
    successor = tf.constant(np.concatenate([entry["next_observation"][0] for entry in logs]))
    with sac.at(values) as agent:
        mean, _ = agent.policy.model([successor])
        members = agent.target_critic.values([successor], tf.tanh(mean))
    reward = np.array([entry["reward"][0] for entry in logs])
    expected = np.mean(reward + 0.99 * np.min([member.numpy() for member in members], axis=0))
    assert steps == sac.witness.updates and found[-1] == pytest.approx(expected, rel=1e-4)


def test_estimated_reward_without_estimates(small, tmp_path):
    """Of a policy gradient alone: the rewards that are left in the rollout."""
    import kagent.reward_estimation as estimation

    env = Counter(lengths=(4,))
    agent = small(
        "ppo", env=env, n_steps=8, critic=None, objective="policy_gradient",
        reward_estimation=estimation.RewardEstimation(horizon="episode", discount=0.5),
    )  # fmt: skip
    run = Run(agent, env, tmp_path, 8, labels=["estimated-reward", "losses"])
    rewards = [float(logs["reward"][0]) for _, logs in run.witness.steps]
    sums = [sum(0.5**k * r for k, r in enumerate(own[t:])) for own in (rewards[:4], rewards[4:]) for t in range(4)]
    assert run.curves["estimated-reward"][1] == [pytest.approx(np.mean(sums), rel=1e-5)]
    assert not any(tag.startswith("baseline") for tag in run.curves)


# How it learns -----------------------------------------------------------------------------------------------------


def test_entropies(ppo, dqn):
    for run, parts in ((ppo, ["speed", "turn"]), (dqn, ["action"])):
        joint = run.agent.policy.joint
        steps, found = run.curves["entropy"]
        assert steps == run.witness.updates
        for i, (_, values, _, timesteps) in enumerate(run.witness.after):
            with run.at(values):
                parameters = heads(run, timesteps)
            assert found[i] == pytest.approx(float(tf.reduce_mean(joint.entropy(parameters))), rel=1e-5)
            for name, part, own in zip(parts, joint.distributions, joint.split(parameters)):
                each = run.curves[f"action-entropies/{name}"]
                assert each[0] == steps and each[1][i] == pytest.approx(
                    float(tf.reduce_mean(part.entropy(own))), rel=1e-5
                )
    # Two choices and two normal distributions, hardly trained.
    assert ppo.curves["action-entropies/turn"][1][0] == pytest.approx(math.log(2), abs=0.01)
    assert ppo.curves["action-entropies/speed"][1][0] == pytest.approx(math.log(2 * math.pi * math.e), abs=0.1)


@pytest.mark.sensitive
def test_entropy_estimated_from_draws(sac):
    steps, found = sac.curves["entropy"]
    assert steps == sac.witness.updates and sac.curves["action-entropies/action"][1] == found
    _, values, _, timesteps = sac.witness.after[-1]
    with sac.at(values):
        joint, parameters = sac.agent.policy.joint, heads(sac, timesteps)
        draws = [float(tf.reduce_mean(joint.entropy(parameters, seed=tf.constant([0, i])))) for i in range(50)]
    assert abs(found[-1] - np.mean(draws)) < 6 * np.std(draws)


def test_kl_divergences(run):
    joint = run.agent.policy.joint
    steps, found = run.curves["kl-divergence"]
    assert steps == run.witness.updates and min(found) > -1e-6 and max(found) > 0
    names = [leaf.name or "action" for leaf in run.agent.policy.action.leaves]
    for i, ((_, old), (_, new, _, timesteps)) in enumerate(zip(run.witness.before, run.witness.after)):
        with run.at(old):
            before = heads(run, timesteps)
        with run.at(new):
            after = heads(run, timesteps)
        expected = float(tf.reduce_mean(joint.kl(before, after)))
        assert found[i] == pytest.approx(expected, rel=1e-3, abs=1e-6)
        parts = zip(names, joint.distributions, joint.split(before), joint.split(after))
        for name, part, first, second in parts:
            own = run.curves[f"action-kl-divergences/{name}"]
            assert own[0] == steps
            assert own[1][i] == pytest.approx(float(tf.reduce_mean(part.kl(first, second))), rel=1e-3, abs=1e-6)


def squares(run, values, part):
    return sum(float(np.sum(np.square(values[v.path], dtype=np.float64))) for v in part.trainable_variables)


def test_loss(run):
    steps, found = run.curves["loss"]
    assert steps == run.witness.updates
    np.testing.assert_allclose(found, [logs["loss"] for *_, logs, _ in run.witness.after], rtol=1e-6)


def test_regularization_losses(run):
    agent, before = run.agent, [values for _, values in run.witness.before]
    logged = lambda name: [logs[name] for *_, logs, _ in run.witness.after]  # noqa: E731
    steps, found = run.curves["regularization-loss"]
    assert steps == run.witness.updates
    np.testing.assert_allclose(found, logged("regularization_loss"), rtol=1e-5)
    # The mean over the update's gradient steps begins with that of the variables before it.
    np.testing.assert_allclose(found, [L2 * squares(run, values, agent.policy) for values in before], rtol=0.2)
    if agent.critic is None:
        assert not any(tag.startswith("baseline") for tag in run.curves)
    else:
        steps, found = run.curves["baseline-regularization-loss"]
        assert steps == run.witness.updates
        np.testing.assert_allclose(found, logged("critic_regularization_loss"), rtol=1e-5)
        np.testing.assert_allclose(found, [L2 * squares(run, values, agent.critic) for values in before], rtol=0.2)


def test_objective_losses_are_without_regularization(dqn, sac, ppo):
    logged = lambda run, name: np.array([logs[name] for *_, logs, _ in run.witness.after])  # noqa: E731
    penalty = lambda run, name="": np.array(run.curves[f"{name}regularization-loss"][1])  # noqa: E731
    for run, expected in (
        (dqn, logged(dqn, "loss") - penalty(dqn)),
        (sac, logged(sac, "policy_loss") - penalty(sac)),
        (ppo, logged(ppo, "policy_loss")),
    ):
        assert run.curves["objective-loss"][0] == run.witness.updates
        np.testing.assert_allclose(run.curves["objective-loss"][1], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ppo.curves["baseline-objective-loss"][1], logged(ppo, "critic_loss"), rtol=1e-5)
    np.testing.assert_allclose(
        ppo.curves["baseline-loss"][1], logged(ppo, "critic_loss") + penalty(ppo, "baseline-"), rtol=1e-5
    )
    np.testing.assert_allclose(sac.curves["baseline-loss"][1], logged(sac, "critic_loss"), rtol=1e-5)
    np.testing.assert_allclose(
        sac.curves["baseline-objective-loss"][1], logged(sac, "critic_loss") - penalty(sac, "baseline-"), rtol=1e-5
    )


@pytest.mark.parametrize("kind, label", [("dqn", "objective-loss"), ("sac", "baseline-objective-loss")])
def test_an_objective_does_not_know_of_regularization(small, tmp_path, kind, label):
    """The first update of agents that differ in nothing else."""
    found = []
    for i, l2 in enumerate((0.0, 0.5)):
        agent = small(kind, l2_regularization=l2)
        env = "CartPole-v1" if kind == "dqn" else "Pendulum-v1"
        found.append(Run(agent, env, tmp_path / str(i), 16, labels=["losses"]).curves)
    assert len(found[0][label][1]) == 1
    assert found[0][label][1][0] == pytest.approx(found[1][label][1][0], rel=1e-4)
    assert found[0]["regularization-loss"][1] == [0.0] and found[1]["loss"][1][0] > found[0]["loss"][1][0] + 0.1


def test_penalties_of_layers_are_regularization(small, tmp_path):
    network = keras.Sequential([keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L1(0.3))])
    run = Run(small("dqn", network=network), "CartPole-v1", tmp_path, 20, labels=["losses"])
    paths = [path for path in run.witness.before[0][1] if path.startswith("policy/sequential") and "kernel" in path]
    expected = [0.3 * sum(np.abs(values[path]).sum() for path in paths) for _, values in run.witness.before]
    assert len(paths) == 1
    np.testing.assert_allclose(run.curves["regularization-loss"][1], expected, rtol=1e-5)


def test_parameters(dqn, ppo, sac):
    # By hand: schedules at the begin of each update.
    rates = [1e-2 * (1 - update / 10) for update, _ in dqn.witness.before]
    assert dqn.curves["parameters/optimizer.learning_rate"][0] == dqn.witness.updates
    np.testing.assert_allclose(dqn.curves["parameters/optimizer.learning_rate"][1], rates, rtol=1e-5)
    progress = [timesteps / 40 for *_, timesteps in dqn.witness.after]
    epsilons = [1 - 0.95 * min(part / 0.1, 1) for part in progress]
    np.testing.assert_allclose(dqn.curves["parameters/exploration.epsilon"][1], epsilons, rtol=1e-5)
    ranges = [0.4 * (1 - timesteps / 48) for *_, timesteps in ppo.witness.after]
    np.testing.assert_allclose(ppo.curves["parameters/objective.clip_range"][1], ranges, rtol=1e-5, atol=1e-7)
    constants = {
        "reward_estimation.discount": 0.99, "reward_estimation.gae_lambda": 0.95, "reward_estimation.horizon": 0,
        "objective.entropy_coefficient": 0, "objective.value_coefficient": 0.5, "variable_noise": 0,
        "entropy_regularization": 0, "l2_regularization": L2, "optimizer.learning_rate": 1e-2,
    }  # fmt: skip
    for name, value in constants.items():
        np.testing.assert_allclose(ppo.curves[f"parameters/{name}"][1], value, rtol=1e-6, err_msg=name)
    for role in ("optimizer", "critic_optimizer", "temperature_optimizer"):
        np.testing.assert_allclose(sac.curves[f"parameters/{role}.learning_rate"][1], 3e-4, rtol=1e-6)


def test_noise_of_actions_is_a_parameter(small, tmp_path):
    env = Identity(ACTIONS)
    noise = {"speed": 0.25, "turn": Linear(0.5, 0.0, 16, "timesteps")}
    run = Run(small("ppo", env=env, exploration=noise), env, tmp_path, 16, labels=["parameters"])
    assert run.curves["parameters/exploration.amount.speed"] == ([4], [0.25])
    assert run.curves["parameters/exploration.amount.turn"] == ([4], [0.0])


def test_arguments_of_any_part_that_may_be_schedules_are_parameters(small):
    class Part:
        def __init__(self, amount: Any, size: float, name: Any = "a"):
            self.amount, self.size, self.name = amount, size, name

    agent = small("dqn")
    agent.memory = Part(Linear(1.0, 0.0, 10, "updates"), 3.0)
    found = parameters(agent, Clock(updates=4))
    assert {name: value for name, value in found.items() if "memory" in name} == {"memory.amount": pytest.approx(0.6)}
    agent.memory = Part({"x": 1, "y": Linear(1.0, 0.0, 10, "updates"), "z": "word"}, 3.0)
    found = parameters(agent, Clock(updates=4))
    assert found["memory.amount.x"] == 1 and found["memory.amount.y"] == pytest.approx(0.6)
    assert not {"memory.amount.z", "memory.size", "memory.name"} & set(found)


def test_update_norm(run):
    steps, found = run.curves["update-norm"]
    assert steps == run.witness.updates
    changes = run.witness.changes(run.agent)
    expected = [math.sqrt(sum(float(np.sum(np.square(x))) for x in change.values())) for change in changes]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_updates(run):
    check_moments(run, "updates", run.witness.changes(run.agent))


def test_variables(run):
    check_moments(run, "variables", [values for _, values, *_ in run.witness.after])


def check_moments(run, label, arrays):
    paths = [variable.path for variable in run.agent.trainable_variables]
    tags = {f"{label}/{path}-{moment}" for path in paths for moment in ("mean", "variance")}
    assert {tag for tag in run.curves if tag.startswith(f"{label}/")} == tags
    for path in paths:
        expected = [moments(found[path].astype(np.float64)) for found in arrays]
        for i, name in enumerate(("mean", "variance")):
            steps, found = run.curves[f"{label}/{path}-{name}"]
            assert steps == run.witness.updates
            np.testing.assert_allclose(found, [pair[i] for pair in expected], rtol=1e-4, atol=1e-9)


def test_updates_histogram(run):
    check_histograms(run, "updates", run.witness.changes(run.agent))


def test_variables_histogram(run):
    check_histograms(run, "variables", [values for _, values, *_ in run.witness.after])


def check_histograms(run, label, arrays):
    paths = [variable.path for variable in run.agent.trainable_variables]
    assert {tag for tag in run.curves if tag.startswith(f"{label}-histogram")} == {
        f"{label}-histogram/{path}" for path in paths
    }
    for path in paths:
        steps, found = run.curves[f"{label}-histogram/{path}"]
        assert steps == run.witness.updates
        for buckets, array in zip(found, (values[path] for values in arrays)):
            assert buckets[:, 2].sum() == array.size
            if array.size > 1 and array.min() < array.max():
                np.testing.assert_allclose([buckets[0, 0], buckets[-1, 1]], [array.min(), array.max()], rtol=1e-5)
                near = 1e-5 * np.abs(array).max()  # an entry on an edge, such as 0 in the middle, may be on either side
                for left, right, count in buckets:
                    inside = ((array > left + near) & (array < right - near)).sum()
                    assert inside <= count <= ((array >= left - near) & (array <= right + near)).sum()
