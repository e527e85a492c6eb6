"""`fit` of compiled environments: one program that acts, steps and learns."""

import itertools
import warnings

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.environments import compiled
from kagent.training.compiled.actor import CompiledActor, refused
from kagent.training.compiled.rollout import RolloutCollector
from kagent.training.episode_streams import OrderError


class Cycle(compiled.CompiledEnv):
    """Three places in a circle. Actions 0 and 1 stay and go on; the place 2 ends the episode with the reward 5, others pay 1.

    Observations are the place, and which actions are allowed: in place 1 only to go on.
    """

    observation_space = gymnasium.spaces.Dict(
        action_mask=gymnasium.spaces.Box(0, 1, (2,), np.int8), place=gymnasium.spaces.Box(0.0, 2.0, (1,))
    )
    action_space = gymnasium.spaces.Discrete(2, start=3)
    max_episode_steps = 4

    def initial(self, seed, n):
        return tf.zeros((n,), tf.int32)

    def transition(self, state, action, seed):
        return state + tf.cast(action - 3, tf.int32)

    def observation(self, state):
        mask = tf.stack([state != 1, tf.ones_like(state, tf.bool)], axis=1)
        return {"action_mask": tf.cast(mask, tf.int8), "place": tf.cast(state, tf.float32)[:, tf.newaxis]}

    def reward(self, state, action, next_state):
        return tf.where(self.terminal(next_state), 5.0, 1.0)

    def terminal(self, state):
        return state == 2


SMALL = {"n_steps": 6, "batch_size": 6, "epochs": 2, "network": {"units": [4]}, "seed": 3}


def small(env, **changes):
    return kagent.PPO(env, **{**SMALL, **changes})


def eager(env, **changes):
    agent = small(env, **changes)
    agent.compile(run_eagerly=True)
    return agent


class Noting(kagent.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events, self.ends = [], []

    def on_episode_end(self, episode, logs=None):
        self.ends.append((episode, logs["env"], logs["episode_length"], logs["episode_return"]))
        self.events.append("episode")

    def on_update_begin(self, update, logs=None):
        self.events.append("begin")

    def on_update_end(self, update, logs=None):
        self.events.append((update, self.model.timesteps))

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(("batch", batch))


def rollout_of(agent, env, kind=RolloutCollector, seeds=(7, 0)):
    """The experience of the next rollout, as arrays, its indices, and lengths and returns where episodes end."""
    collector = kind(agent, env)
    collector.start(agent.next_seed)

    def time(carried):
        return agent._clock.host()._replace(timesteps=carried.timesteps)

    carried, found = collector.collect(collector.begin(), None, tf.constant(seeds, tf.int64), time)
    arrays = tf.nest.map_structure(np.asarray, found)
    return arrays["experience"], arrays["indices"], np.moveaxis(carried.ends.numpy(), 1, 0)


def test_a_rollout_is_the_transitions_of_the_environment():
    env = Cycle(num_envs=5)
    found, indices, (lengths, returns) = rollout_of(small(env, n_steps=12, batch_size=20, epochs=2), env)
    place, action, later = (found[name] for name in ("observation", "action", "next_observation"))
    place, later, reward = place["place"][..., 0], later["place"][..., 0], found["reward"]
    assert place.shape == (12, 5) and action.dtype == np.int32 and found["valid"].all()
    np.testing.assert_array_equal(later, place + action)  # actions are counted from 0
    np.testing.assert_array_equal(found["terminated"], later == 2)
    np.testing.assert_array_equal(reward, np.where(later == 2, 5.0, 1.0))
    assert (action[place == 1] == 1).all() and set(action[place == 0]) == {0, 1}  # what the mask allows
    np.testing.assert_array_equal(found["action_mask"][0], np.stack([place != 1, place >= 0], axis=-1))
    np.testing.assert_array_equal(found["next_action_mask"][0][..., 0], later != 1)  # all, behind the end
    done = found["terminated"] | found["truncated"]
    np.testing.assert_array_equal(place[1:], np.where(done[:-1], 0, later[:-1]))
    assert found["truncated"].any() and not (later[found["truncated"]] == 0).all()
    for column in range(5):  # the episodes, once more
        length = total = 0
        for t in range(12):
            length, total = length + 1, total + reward[t, column]
            assert found["truncated"][t, column] == (length == 4)
            assert (lengths[t, column], returns[t, column]) == ((length, total) if done[t, column] else (0, 0))
            length, total = (0, 0) if done[t, column] else (length, total)
    assert indices.shape == (6, 20)
    for half in (indices[:3], indices[3:]):
        assert sorted(half.ravel()) == list(range(60))


def test_truncation_bootstraps_from_the_true_next_observation():
    """Discount 0.5, lambda 0: a return is the reward plus half the critic's value of the successor, 0 behind a terminal state."""
    env = Cycle(num_envs=3)
    agent = eager(env, discount=0.5, gae_lambda=0.0, n_steps=8, batch_size=24)
    found, _, _ = rollout_of(agent, env)
    prepared = agent.prepare(tf.nest.map_structure(tf.constant, found))
    later = tf.nest.map_structure(lambda x: tf.constant(x.reshape(-1, *x.shape[2:])), found["next_observation"])
    values = agent.critic.heads(later)[0][:, 0].numpy()
    expected = found["reward"].ravel() + 0.5 * np.where(found["terminated"].ravel(), 0.0, values)
    np.testing.assert_allclose(prepared["return"].numpy(), expected, rtol=1e-5)
    assert (found["truncated"] & ~found["terminated"]).any()


@pytest.mark.parametrize("steps, cuts", [(8, 2), (5, None), (20, 5)])
def test_the_critic_is_called_for_few_of_the_next_observations(steps, cuts):
    """A limit of 4 cuts off 2 times in 8 timesteps; where half of all or more would be called for, all are."""
    env = Cycle(num_envs=3)
    agent = eager(env, n_steps=steps, batch_size=3 * steps)
    found, _, _ = rollout_of(agent, env)
    experience = tf.nest.map_structure(tf.constant, found)
    assert ("bootstraps" in found) == (cuts is not None)
    if cuts is not None:
        assert found["bootstraps"].shape == (cuts + 1, 3)
        cut = np.argwhere(found["truncated"] & ~found["terminated"]).tolist()
        assert cut and all(time in found["bootstraps"][:, column] for time, column in cut)
    known = agent.prepare(experience)
    whole = agent.prepare({name: value for name, value in experience.items() if name not in ("bootstraps", "log_prob")})
    for name in ("return", "advantage", "old_log_prob"):
        np.testing.assert_allclose(known[name], whole[name], rtol=1e-5, atol=1e-6)
    assert "log_prob" in found and "log_prob" not in rollout_of(eager(env, variable_noise=0.1), env)[0]


def test_counters_events_and_history():
    env, noting = Cycle(num_envs=2), Noting()
    agent = eager(env)
    history = agent.fit(env, steps=36, steps_per_epoch=24, callbacks=noting, verbose=0)
    assert (agent.timesteps, agent.gradient_steps) == (36, 3 * 4)
    assert agent.episodes == len(noting.ends) > 3
    assert [end[0] for end in noting.ends] == list(range(agent.episodes))
    assert all(total in (length, length + 4) for _, _, length, total in noting.ends)
    events = [event for event in noting.events if event != "episode"]
    assert events == [
        "begin", ("batch", 11), (4, 12), "begin", ("batch", 23), (8, 24), "begin", ("batch", 11), (12, 36),
    ]  # fmt: skip
    assert history.history["timesteps"] == [24, 36] and history.history["updates"] == [8, 12]
    returns = [total for *_, total in noting.ends]
    first = int(history.history["episodes"][0])
    assert history.history["episode_return"] == pytest.approx([np.mean(returns[:first]), np.mean(returns[first:])])
    assert np.isfinite(history.history["loss"]).all()


def weights_of(agent):
    return np.concatenate([np.ravel(weight) for weight in agent.get_weights()])


@pytest.mark.slow
@pytest.mark.learning  # two programs are compiled
def test_several_rollouts_in_one_call_are_those_of_several_calls():
    """One program of XLA with three rollouts in a call, and nothing compiled with one."""
    rate = {"type": "linear", "initial_value": 0.01, "final_value": 0.0}
    one, three = (small(Cycle(num_envs=2), learning_rate=rate) for _ in range(2))
    one.compile(run_eagerly=True)
    three.compile(steps_per_execution=3)
    env, noted, others = Cycle(num_envs=2), Noting(), Noting()
    one.fit(env, steps=60, steps_per_epoch=60, callbacks=noted, verbose=0)
    three.fit(env, steps=60, steps_per_epoch=60, callbacks=others, verbose=0)
    assert (three.timesteps, three.gradient_steps, three.episodes) == (60, 20, one.episodes)
    assert others.ends == noted.ends
    assert [event for event in others.events if event[0] == "batch"] == [("batch", 35), ("batch", 59)]
    np.testing.assert_allclose(weights_of(three), weights_of(one), rtol=1e-3, atol=1e-5)
    # A further fit of the same environment has the same program; another kind of compilation has not.
    learner = three._run.program.learner
    three.fit(env, steps=12, verbose=0)
    assert three._run.program.learner is learner and learner.traces == 1
    three.compile(run_eagerly=True)
    three.fit(env, steps=12, verbose=0)
    assert three._run.program.learner is not learner


class Marked(compiled.CartPole):
    """CartPole whose states have a further part."""

    def initial(self, seed, n):
        return super().initial(seed, n), tf.zeros((n,))

    def transition(self, state, action, seed):
        return super().transition(state[0], action, seed), state[1]

    def observation(self, state):
        return state[0]

    def reward(self, state, action, next_state):
        return tf.ones(next_state[1].shape)

    def terminal(self, state):
        return super().terminal(state[0])


def test_a_resumed_run_is_the_run(tmp_path):
    env = compiled.CartPole(num_envs=3)
    whole, half = eager(env), eager(env)
    whole.fit(env, steps=36, verbose=0)
    whole.fit(env, steps=18, verbose=0)
    half.fit(env, steps=36, verbose=0)
    half.save(tmp_path / "half.keras")
    rest, other = (kagent.load(tmp_path / "half.keras") for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        rest.fit(compiled.CartPole(num_envs=3), steps=18, verbose=0)
    np.testing.assert_array_equal(weights_of(rest), weights_of(whole))
    assert (rest.episodes, rest.timesteps) == (whole.episodes, whole.timesteps)
    tf.nest.map_structure(np.testing.assert_array_equal, rest._run.open_episodes, whole._run.open_episodes)
    with pytest.warns(UserWarning, match=r"open episodes of environment\(s\) \[0, 1, 2\] could not be brought back"):
        other.fit(Marked(num_envs=3), steps=18, verbose=0)


def test_a_damaged_state_in_a_file_is_refused():
    from kagent.environments import open_episodes

    good = {
        "program": [np.zeros((2, 4), np.float32)],
        "lengths": np.zeros(2, np.int32),
        "returns": np.zeros(2, np.float32),
    }
    assert open_episodes.check(good, None, None) == good
    for changes in (
        {"program": [np.zeros((3, 4))]}, {"program": 5}, {"lengths": np.zeros(0, np.int32)}, {"lengths": np.array([-1, 0])},
        {"returns": np.array([np.nan, 0.0])}, {"returns": np.zeros(3)}, {"actor": [np.zeros((3, 1))]}, {"actor": 5},
        {"seen": [np.zeros(())]}, {"sums": [np.zeros(1)]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="state of open episodes does not fit"):
            open_episodes.check({**good, **changes}, None, None)


@pytest.mark.filterwarnings("ignore:The open episodes of environment")
def test_attributes_that_are_set_anew_are_those_of_the_next_fit():
    env = Cycle(num_envs=2)
    env.max_episode_steps = 3
    agent = eager(env)
    agent.fit(env, steps=12, verbose=0)
    program = agent._run.program
    agent.fit(env, steps=12, verbose=0)
    assert agent._run.program is program
    env.max_episode_steps, before = 1, agent.episodes
    agent.fit(env, steps=12, verbose=0)
    assert agent.episodes - before == 12 and agent._run.program is not program
    env.num_envs, before = 1, agent.timesteps
    agent.fit(env, steps=1, verbose=0)
    assert agent.timesteps - before == agent.memory.steps


def test_ordinary_and_compiled_fits_take_turns():
    env = compiled.CartPole(num_envs=2)
    agent = eager(env)
    agent.fit("CartPole-v1", steps=6, n_envs=2, verbose=0)
    agent.fit(env, steps=12, verbose=0)
    agent.fit("CartPole-v1", steps=6, n_envs=2, verbose=0)
    assert agent.timesteps == 24
    found = agent.fit(env, steps=12, verbose=0, validation_env=env, validation_episodes=2)
    assert found.history["val_episodes"] == [2.0]


def test_a2c_learns_from_the_newest_batch():
    env = Cycle(num_envs=3)
    agent = kagent.A2C(env, batch_size=12, horizon=2, network={"units": [4]}, seed=0)
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=36, verbose=0)
    assert (agent.timesteps, agent.gradient_steps) == (36, 3)


def test_variables_have_noise_while_the_policy_acts():
    env = Cycle(num_envs=2)
    agent = eager(env, variable_noise=0.5, network={"units": [16]})
    before = agent.policy.get_theta()
    with CompiledActor(agent)._perturbed(0.5, tf.constant([1, 2], tf.int64)):
        noise = agent.policy.get_theta() - before
    assert len(noise) == 66 and noise.std() == pytest.approx(0.5, abs=0.12) and abs(noise.mean()) < 0.2
    np.testing.assert_array_equal(agent.policy.get_theta(), before)
    quiet = eager(env, variable_noise=0.0, network={"units": [16]})
    actions = [rollout_of(one, env)[0]["action"] for one in (agent, quiet)]
    np.testing.assert_array_equal(agent.policy.get_theta(), before)
    assert (actions[0] != actions[1]).any()


@pytest.mark.parametrize("kind", [kagent.PPO, kagent.SAC])
@pytest.mark.parametrize("noise", [{"period": 3}, {"period": "episode", "full_std": False, "expln": True}])
def test_state_dependent_noise_is_that_of_the_host_and_stays(kind, noise):
    """Actions are those of the NumPy actor from the same matrices. An environment whose episode ends gets another matrix, and so do all
    after three timesteps."""
    env = compiled.Pendulum(num_envs=2)
    agent = kind(env, network={"units": [4]}, state_dependent_noise=noise, seed=0)
    assert refused(agent) == []
    actor, policy = CompiledActor(agent), agent.policy
    decision = policy.actor_decision(agent._action.leaves[0])
    state = [tf.zeros((2, size)) for size in actor.carried]
    clock = agent._clock.host()._replace(timesteps=tf.constant(1e6, tf.float64))
    matrices = []
    for t in range(5):
        seen = [tf.constant([[0.1 * t, 0.5, -1.0], [0.9, 0.2, 0.1 * t]])]
        (found,), state = actor.decide(seen, None, clock, tf.constant([7, t], tf.int64), state)
        matrix = state[0].numpy()
        kept = matrix.reshape(2, decision.features, decision.size), np.full(2, -1, np.int32)
        heads = [head.numpy() for head in policy.acting_heads(seen)]
        expected, _ = decision.choose_from(heads, kept, np.random.default_rng(0), False)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        matrices.append(matrix)
        if t == 0:
            # The second episode ends.
            state = [tf.concat([part[:1], tf.zeros_like(part[1:])], axis=0) for part in state]
    changes = [[(a[row] != b[row]).any() for a, b in itertools.pairwise(matrices)] for row in range(2)]
    period = decision.period
    assert changes[0] == [False, False, period == 3, False] and changes[1] == [True, False, False, period == 3]
    assert (matrices[0][0] != matrices[0][1]).any()


@pytest.mark.thorough
def test_a_run_with_noise_that_stays_is_resumed(tmp_path):
    def made():
        env = compiled.Pendulum(num_envs=2)
        agent = kagent.PPO(
            env, n_steps=6, batch_size=12, epochs=1, network={"units": [4]}, seed=0, state_dependent_noise=4
        )
        agent.compile(run_eagerly=True)
        return agent, env

    (whole, env), (half, other) = made(), made()
    whole.fit(env, steps=24, verbose=0)
    half.fit(other, steps=12, verbose=0)
    half.save_weights(tmp_path / "half.weights.h5")
    rest, last = made()
    rest.load_weights(tmp_path / "half.weights.h5")
    rest.fit(last, max_steps=24, verbose=0)
    for one, other in zip(whole.get_weights(), rest.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ({}, {"n_envs": 3}, "`n_envs` must agree with env.num_envs, 2. Received: 3"),
        ({}, {"step_timeout": 1.0}, "`step_timeout` is about environments that are called from the host"),
        ({}, {"reset_options": {"a": 1}}, "`reset_options` is about"),
        ({}, {"replay_limit": 10}, "`replay_limit` is about"),
        ({}, {"callbacks": kagent.callbacks.Doctor()}, "Doctor.on_timestep_end would not be called"),
        ({"preprocessing": {"type": "sequence", "length": 2}}, {}, "`preprocessing` cannot be part .* Received: Sequence"),
        ({"exploration": 0.1}, {}, "`exploration` cannot be part"),
        ({"batch_size": 500}, {}, r"`batch_size` cannot be part .* Received: 500. Allowed: at most 12"),
        ({"max_episode_timesteps": 5000}, {}, "`max_episode_timesteps` must be at most 500"),
    ],
)  # fmt: skip
def test_what_a_program_cannot_contain_is_refused(arguments, settings, message):
    env = compiled.CartPole(num_envs=2)
    agent = kagent.PPO(observation_space=env.observation_space, action_space=env.action_space, **{**SMALL, **arguments})
    with pytest.raises(ValueError, match=message):
        agent.fit(env, steps=12, verbose=0, **settings)
    assert agent.timesteps == 0


def test_other_spaces_are_refused():
    with pytest.raises(ValueError, match="spaces of `env` are not the agent's"):
        small(compiled.CartPole(num_envs=2)).fit(compiled.Acrobot(num_envs=2), steps=12)


def test_updates_cannot_be_requested():
    class Asking(kagent.callbacks.Callback):
        def on_update_end(self, update, logs=None):
            self.model.update()

    env = Cycle(num_envs=2)
    with pytest.raises(OrderError, match="cannot be requested in the `fit` of a compiled environment"):
        eager(env).fit(env, steps=12, callbacks=Asking(), verbose=0)


@pytest.mark.thorough
@pytest.mark.xla
def test_functions_of_the_host_are_refused():
    class Calling(compiled.CartPole):
        def reward(self, state, action, next_state):
            found = tf.numpy_function(lambda x: np.ones(len(x), np.float32), [next_state], tf.float32)
            return tf.ensure_shape(found, next_state.shape[:1])

    env = Calling(num_envs=2)
    with pytest.raises(ValueError, match="XLA does not compile this agent together with its compiled environment"):
        small(env).fit(env, steps=12, verbose=0)


def test_rewards_that_are_not_finite_are_an_error():
    class Broken(Cycle):
        def reward(self, state, action, next_state):
            return tf.fill(next_state.shape, np.float32(np.nan))

    env = Broken(num_envs=2)
    with pytest.raises((ValueError, kagent.DivergenceError)):
        eager(env).fit(env, steps=12, verbose=0)


@pytest.mark.slow
@pytest.mark.learning
def test_ppo_learns_cartpole_in_a_program():
    env = compiled.CartPole(num_envs=64)
    agent = kagent.PPO(env, n_steps=32, batch_size=256, epochs=4, learning_rate=1e-3, seed=0)
    history = agent.fit(env, steps=400_000, verbose=0)
    assert history.history["episode_return"][-1] > 300
    assert agent.evaluate("CartPole-v1", episodes=10)["episode_return"] > 400
