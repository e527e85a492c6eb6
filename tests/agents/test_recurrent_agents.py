"""Agents with recurrent networks: states of episodes while acting, sequences while learning, files, refusals."""

import functools

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_envs
from variants import with_few

import kagent
from kagent import acting, environments, schedules, testing
from kagent.objectives import sequences
from kagent.training.collector import Collector
from kagent.training.evaluator import Unexplored

layers = keras.layers
NETWORK = {"units": [4], "rnn": 3}
ROLLOUT = {"network": NETWORK, "n_steps": 4, "batch_size": 4}


@keras.saving.register_keras_serializable("kagent_tests")
class OwnCell(keras.layers.SimpleRNNCell):
    """A subclass, which the NumPy actor does not know."""


def own(network):
    return [layers.Dense(4), layers.RNN(OwnCell(3))] if network == "own" else network


def env(offset=0, lengths=(3, 5, 2)):
    # Observations of a size that a network tells apart.
    counter = toy_envs.Counter(lengths, ("terminated", "truncated"), offset)
    space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    return gymnasium.wrappers.TransformObservation(counter, lambda x: np.sin(x + offset).astype(np.float32), space)


def shaken(agent):
    """The agent with weights that make its choices differ."""
    rng = np.random.default_rng(0)
    for role in (agent.policy, agent.critic):
        for weight in role.trainable_variables if role is not None else ():
            weight.assign(rng.standard_normal(weight.shape))
    agent.actor.expire()
    return agent


def walk(agent, envs, steps):
    """What a collector gives with the best actions: (observation, action, states, ended) of each timestep."""
    seeds = iter(range(100))
    collector = Collector(agent.actor, Unexplored(True), environments.make(lambda: next(envs), 3))
    collector.start(lambda: next(seeds))
    found = []
    for t in range(steps):
        taken = collector.step(schedules.Clock(t), np.random.default_rng(0))
        ends = np.zeros(3, bool)
        ends[list(taken.outcome.ended)] = True
        found.append((taken.observation[0].copy(), taken.action[0].copy(), taken.actor_state, ends))
        collector.settle()
    collector.environments.close()
    return found


@pytest.mark.parametrize("network", [NETWORK, "own"])
def test_each_environment_has_the_states_that_it_has_alone(network):
    agent = shaken(kagent.PPO(env(), **{**ROLLOUT, "network": own(network)}, seed=0))
    assert agent.actor.is_numpy is (network == NETWORK)
    together = walk(agent, iter([env(0), env(1, (4, 1)), env(2, (6, 2))]), 20)
    assert {ends.sum() for *_, ends in together} > {0, 1}  # not all at once
    for i in range(3):
        alone, fresh = acting.EpisodeStates(agent.actor, 1), 0
        for observation, action, states, ends in together:
            for part, whole in zip(alone.state, states):
                np.testing.assert_allclose(part[0], whole[i], atol=1e-6)
                fresh += not whole[i].any()
            assert alone.decide([observation[i : i + 1]], None, True)[0] == action[i]
            alone.advance([0] if ends[i] else [])
        assert fresh > 2  # episodes began, with zeros


class Watching(kagent.PPO):
    """Keeps what it prepares, and the ratio of each first minibatch."""

    def __init__(self, *args, **kwargs):
        self.seen = []
        super().__init__(*args, **kwargs)

    def prepare(self, experience):
        prepared = super().prepare(experience)
        self.seen.append((experience, prepared, self.policy.get_theta(), self.critic.get_theta(), []))
        return prepared

    def train_step(self, batch):
        rows = sequences.flattened(self.learning_context, batch)
        new = self.policy.log_prob(self.policy.parameters_of(rows["observation"]), rows["action"])
        self.seen[-1][-1].append((tf.exp(new - rows["old_log_prob"]).numpy(), rows["weight"].numpy()))
        return super().train_step(batch)


KINDS = {
    "shared critic": {"critic": "shared"},
    "feed-forward critic": {"critic": {"type": "StateValue", "network": {"units": [4]}}},
    "feed-forward policy": {"network": {"units": [4]}, "critic": {"type": "StateValue", "network": NETWORK}},
    "two layers": {"network": [layers.GRU(3), layers.Dense(4, "tanh"), layers.LSTM(2)]},
    "own cell": {"network": "own"},
    "short sequences": {"sequence_length": 2},
}


@pytest.mark.eager
@pytest.mark.parametrize("kind", with_few(KINDS, ("shared critic", "feed-forward policy", "short sequences")))
def test_what_is_learned_from_is_what_was_acted_with(kind):
    """Old log-probabilities and values are those of the states beside the timesteps, and the first ratios are 1."""
    given = {**ROLLOUT, **KINDS[kind]}
    agent = shaken(Watching(env(), **{**given, "network": own(given["network"])}, n_envs=2, epochs=1, seed=0))
    agent.compile(run_eagerly=True)
    agent.fit(iter_envs(), steps=16, verbose=0, n_envs=2)
    assert len(agent.seen) == 2  # the second begins in the midst of episodes
    for _, prepared, policy, critic, ratios in agent.seen:
        agent.policy.set_theta(policy)
        agent.critic.set_theta(critic)
        agent.actor.expire()
        leaves = [prepared["observation"].numpy()]
        states = tuple(part.numpy() for part in prepared["actor_state"])
        heads = agent.actor._following([*leaves, *states])[:1] if agent.actor.is_numpy else None
        single = type_of_single(agent, leaves, states)
        log_prob = agent.policy.log_prob(agent.policy.parameters_of(single), prepared["action"])
        np.testing.assert_allclose(prepared["old_log_prob"], log_prob, atol=1e-5)
        if heads is not None:
            by_numpy = agent.policy.log_prob([tf.constant(head) for head in heads], prepared["action"])
            np.testing.assert_allclose(prepared["old_log_prob"], by_numpy, atol=1e-5)
        values = prepared["return"] - prepared["advantage"]
        np.testing.assert_allclose(values, agent.critic.values(single), atol=1e-4)
        ratio, weight = ratios[0]
        np.testing.assert_allclose(ratio[weight > 0], 1.0, atol=1e-5)
        assert not np.allclose(np.concatenate([ratio for ratio, _ in ratios]), 1.0, atol=1e-5)
        assert any(part[1:].any() for part in states)
    ended = [np.logical_or(*(one[0][name] for name in ("terminated", "truncated"))) for one in agent.seen]
    assert np.any(ended[0][:-1]) and np.any(ended[1][:-1])  # within sequences


def iter_envs():
    made = iter([env(0), env(1, (4, 1))])
    return lambda: next(made)


def type_of_single(agent, leaves, states):
    from kagent.policies.unrolled import Unrolled

    return Unrolled.of_single([tf.constant(leaf) for leaf in leaves], [tf.constant(part) for part in states])


@pytest.mark.eager
def test_what_follows_is_judged_in_the_state_after_it():
    """With gae_lambda=0 the return is r + discount * V(s'), of the critic in the state that it has after s."""
    agent = shaken(Watching(env(), **ROLLOUT, gae_lambda=0.0, discount=0.5, seed=0))
    agent.compile(run_eagerly=True)
    agent.fit(env(), steps=4, verbose=0)
    experience, prepared, policy, critic, _ = agent.seen[0]
    agent.policy.set_theta(policy)
    agent.critic.set_theta(critic)
    agent.actor.expire()
    found, states = prepared["return"].numpy(), acting.EpisodeStates(agent.actor, 1)
    for t in range(4):
        observation, successor, reward, terminated, truncated = (
            experience[name].numpy()[t]
            for name in ("observation", "next_observation", "reward", "terminated", "truncated")
        )
        states.see([observation])
        states.advance()
        value = agent.critic.values(type_of_single(agent, [successor], states.state)).numpy()
        np.testing.assert_allclose(found[t], reward + 0.5 * value * ~terminated, rtol=1e-5)
        if terminated or truncated:
            states.reset()


@pytest.mark.eager
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(kagent.A2C, batch_size=8, horizon=3),
        pytest.param(functools.partial(kagent.A2C, batch_size=8, critic="shared"), marks=pytest.mark.thorough),
        functools.partial(kagent.VPG, batch_size=2, memory=64),
        pytest.param(
            functools.partial(kagent.VPG, batch_size=2, memory=64, baseline={"network": NETWORK}),
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            functools.partial(kagent.TRPO, n_steps=8, critic_steps=2, critic_batch_size=4), marks=pytest.mark.thorough
        ),
    ],
    ids=["A2C", "A2C shared", "VPG", "VPG baseline", "TRPO"],
)
def test_other_agents_learn_from_sequences(make):
    agent = make(env(), network=NETWORK, seed=0)
    agent.compile(run_eagerly=True)
    before = agent.policy.get_theta()
    logs = agent.fit(env(), steps=16, verbose=0).history
    assert agent.gradient_steps > 0 and np.isfinite(logs["loss"][-1])
    assert (agent.policy.get_theta() != before).any()


@pytest.mark.slow
@pytest.mark.parametrize("network", [NETWORK, [{"type": "internal_gru", "size": 3}, {"type": "dense", "size": 4}]])
def test_every_rule_of_agents(network):
    def make(env, **given):
        return kagent.PPO(env, **{**ROLLOUT, "network": network}, **given)

    testing.check_agent(make, steps=16, compiled=network == NETWORK)


def test_internals_carry_an_episode_of_the_users_own():
    agent = shaken(kagent.PPO(env(), **ROLLOUT, seed=0))
    player, internals = agent.player(), {}
    for observation in np.sin(np.arange(12.0).reshape(4, 3)).astype(np.float32):
        action, internals = agent.act(observation, deterministic=True, internals=internals)
        assert action == player.act(observation)
    assert {name: part.shape for name, part in internals.items()} == {f"state_{i}": (3,) for i in range(4)}
    backwards = dict(reversed(internals.items()))  # the order of a dict says nothing
    one, other = (agent.act(observation, deterministic=True, internals=given)[1] for given in (internals, backwards))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    again, _ = agent.act(observation, independent=True, internals=internals)  # samples, and nothing is remembered
    assert again in (0, 1, 2) and agent.timesteps == 0
    short = {name: part[:2] for name, part in internals.items()}
    for wrong in (
        {"state_0": internals["state_0"]},
        short,
        {**internals, "state_1": np.full(3, np.nan, np.float32)},
        5,
    ):
        with pytest.raises(ValueError, match="internals"):
            agent.act(observation, deterministic=True, internals=wrong)


def test_without_a_state_internals_are_empty():
    agent = kagent.PPO(env(), network={"units": [4]}, n_steps=8, batch_size=8)
    assert agent.act(np.zeros(3, np.float32), deterministic=True, internals={})[1] == {}
    with pytest.raises(ValueError, match="the policy has none"):
        agent.act(np.zeros(3, np.float32), deterministic=True, internals={"state_0": np.zeros(3)})


def test_a_numpy_actor_in_a_file_carries_its_state(tmp_path):
    agent = shaken(kagent.PPO(env(), **ROLLOUT, normalize="observation", seed=0))
    agent.save(tmp_path / "agent.keras")
    loaded, player = acting.load(tmp_path / "agent.keras"), agent.player()
    served, states = loaded.player(), acting.EpisodeStates(loaded, 1)
    for observation in np.sin(np.arange(12.0).reshape(4, 3)).astype(np.float32):
        action = loaded.release(states.decide(*loaded.read(observation), True))
        states.advance()
        assert action == player.act(observation) == served.act(observation)
    with pytest.raises(ValueError, match="has a state of its episode"):
        loaded.act(observation)


def test_observations_by_themselves_are_the_first_of_episodes():
    agent = shaken(kagent.PPO(env(), **ROLLOUT, seed=0))
    observations = np.sin(np.arange(12.0).reshape(4, 3)).astype(np.float32)
    firsts = []
    for observation in observations:
        player = agent.player()
        firsts.append(player.act(observation))
    assert agent.predict(observations, verbose=0).tolist() == agent(observations).numpy().tolist() == firsts
    assert agent.critic.values(observations).shape == (4,)


def test_a_whole_agent_comes_back(tmp_path):
    agent = kagent.PPO(env(), **{**ROLLOUT, "network": own("own")}, seed=0)
    agent.save(tmp_path / "agent.keras")
    again = kagent.load(tmp_path / "agent.keras")
    assert again.memory.sequence_length == 4 and again.policy.state_sizes == (3,)
    assert np.array_equal(again.policy.get_theta(), agent.policy.get_theta())


REFUSED = {
    "DQN": (lambda: kagent.DQN("CartPole-v1", network=NETWORK), "hands out single timesteps"),
    "SAC": (lambda: kagent.SAC("Pendulum-v1", network=NETWORK), "must not be recurrent"),
    "replay": (
        lambda: kagent.A2C(env(), network=NETWORK, batch_size=8, memory={"type": "replay", "capacity": 64}),
        "learns from sequences",
    ),
    "sequences of nothing recurrent": (
        lambda: kagent.PPO(env(), n_steps=4, batch_size=4, sequence_length=2),
        "sequence_length.* is for recurrent",
    ),
    "a length that does not divide": (
        lambda: kagent.PPO(env(), **ROLLOUT, sequence_length=3),
        "n_steps=4 and sequence_length=3",
    ),
    "batches of no sequence": (
        lambda: kagent.PPO(env(), **{**ROLLOUT, "batch_size": 2}, sequence_length=4),
        "batch_size=2 and sequence_length=4",
    ),
    "noise of the state": (
        lambda: kagent.PPO("Pendulum-v1", **ROLLOUT, state_dependent_noise=4), "without recurrent layers"
    ),
    "export": (lambda: kagent.PPO(env(), **ROLLOUT).export("served"), "recurrent layers"),
    "traces": (lambda: kagent.PPO(env(), **ROLLOUT).pretrain("traces", 1), "recurrent"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_carry_a_state_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, words = REFUSED[kind]
    with pytest.raises(ValueError, match=words):
        make()
    assert not list(tmp_path.iterdir())


@pytest.mark.eager
def test_a_data_set_without_states_is_refused_and_nothing_learned():
    agent = kagent.PPO(env(), **ROLLOUT, seed=0)
    agent.compile(run_eagerly=True)
    row = {"observation": np.zeros((8, 3), np.float32), "next_observation": np.zeros((8, 3), np.float32)}
    flags = {"terminated": np.zeros(8, bool), "truncated": np.zeros(8, bool)}
    data = {**row, **flags, "action": np.zeros(8, np.int32), "reward": np.zeros(8, np.float32)}
    with pytest.raises(ValueError, match="learns from sequences"):
        agent.fit(tf.data.Dataset.from_tensor_slices(data).batch(8, drop_remainder=True), epochs=1, verbose=0)
    assert agent.gradient_steps == 0


def test_summaries_of_single_observations_are_refused(tmp_path):
    agent = kagent.PPO(env(), **ROLLOUT, seed=0)
    with pytest.raises(ValueError, match="entropy"):
        agent.fit(
            env(), steps=4, verbose=0, callbacks=[kagent.callbacks.Summarizer(tmp_path, labels=["entropy", "loss"])]
        )
    assert agent.timesteps == 0


@pytest.mark.thorough
def test_updates_are_one_trace_however_long_episodes_are():
    agent = kagent.PPO(env(), **ROLLOUT, critic="shared", seed=0)
    agent.compile(jit_compile=False)
    agent.fit(env(), steps=16, verbose=0)
    assert agent.episodes >= 4 and agent.updates >= 4 and agent.train_function.traces == 1


def test_recurrent_ppo_has_an_lstm_and_refuses_networks_without_memory():
    agent = kagent.RecurrentPPO(env(), network={"units": [4]}, seed=0)
    assert (agent.network.units, agent.network.rnn, agent.sequence_length) == ((4,), 64, 32)
    assert kagent.RecurrentPPO(env(), network=[layers.GRU(3)]).policy.state_sizes == (3,)
    for network in ({"type": "mlp", "units": [4]}, [layers.Dense(4)]):
        with pytest.raises(ValueError, match="must have recurrent layers"):
            kagent.RecurrentPPO(env(), network=network)
