"""`fit` of compiled environments with a replay memory, whose rows are in the program."""

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.environments import compiled
from kagent.exploration import ActionNoise, EpsilonGreedy, OrnsteinUhlenbeckNoise, Sampling
from kagent.memories.storage import Storage
from kagent.schedules import Clock
from kagent.training.compiled.actor import CompiledActor, refused


class Line(compiled.CompiledEnv):
    """Places on a line, from 0; actions 0, 1 and 2 go on by as much. The end is place 5. Observations say that action 1 is forbidden
    in place 0; rewards are the places."""

    observation_space = gymnasium.spaces.Dict(
        action_mask=gymnasium.spaces.Box(0, 1, (3,), np.int8), place=gymnasium.spaces.Box(0.0, 10.0, (1,))
    )
    action_space = gymnasium.spaces.Discrete(3)
    max_episode_steps = 4

    def initial(self, seed, n):
        return tf.zeros((n,), tf.int32)

    def transition(self, state, action, seed):
        return state + tf.cast(action, tf.int32)

    def observation(self, state):
        allowed = tf.stack([tf.ones_like(state), tf.cast(state != 0, tf.int32), tf.ones_like(state)], axis=1)
        return {"action_mask": tf.cast(allowed, tf.int8), "place": tf.cast(state, tf.float32)[:, tf.newaxis]}

    def reward(self, state, action, next_state):
        return tf.cast(next_state, tf.float32)

    def terminal(self, state):
        return state >= 5


SMALL = {"network": {"type": "mlp", "units": [4]}, "memory": 40, "batch_size": 4, "start": 16, "seed": 1}


def dqn(env, executions=1, **changes):
    agent = kagent.DQN(
        env, **{**SMALL, "frequency": 4, "target_update_period": 10, "exploration": 0.5, "horizon": 0, **changes}
    )
    agent.compile(run_eagerly=True, steps_per_execution=executions)
    return agent


def weights_of(agent):
    return np.concatenate([np.ravel(weight) for weight in agent.get_weights()])


@pytest.mark.thorough
def test_updates_are_due_when_they_are_elsewhere():
    """Two environments, from 16 timesteps on every 4: updates at 16, 20, 24 and 28 of 30."""
    env = Line(num_envs=2)
    agent, ends = dqn(env), []

    class Noting(kagent.callbacks.Callback):
        def on_update_end(self, update, logs=None):
            ends.append((update, self.model.timesteps, np.isfinite(logs["loss"])))

    agent.fit(env, steps=10, verbose=0)
    assert (agent.timesteps, agent.gradient_steps, len(agent.memory)) == (10, 0, 10)
    agent.fit(env, steps=20, steps_per_epoch=20, callbacks=Noting(), verbose=0)
    assert ends == [(1, 16, True), (2, 20, True), (3, 24, True), (4, 30, True)]
    assert (agent.timesteps, agent.gradient_steps, agent.counters.batches_drawn) == (30, 4, 4)
    assert agent.counters.targets_moved == 20 and agent.counters.due_updates_done == 4
    assert (agent.memory.size, agent.memory.cursor, agent.memory.total) == (30, 30, 30)


def test_the_memory_holds_the_transitions():
    env = Line(num_envs=2)
    agent = dqn(env, exploration=1.0)
    agent.fit(env, steps=52, verbose=0)
    memory, views = agent.memory, agent.memory.storage.views
    assert (memory.size, memory.cursor, memory.masked) == (40, 12, True)
    order = np.arange(12, 52) % 40  # oldest first
    place, later = views["observation.1"][order, 0], views["next_observation.1"][order, 0]
    action = views["action.0"][order].ravel()
    ended = (views["terminated"] + views["truncated"])[order].ravel() != 0
    np.testing.assert_array_equal(later, place + action)
    np.testing.assert_array_equal(views["reward"][order].ravel(), later)
    np.testing.assert_array_equal(views["terminated"][order].ravel() != 0, later >= 5)
    np.testing.assert_array_equal(place[2:], np.where(ended[:-2], 0, later[:-2]))  # of the same environment
    assert (action[place == 0] != 1).all() and set(action[place > 0]) == {0, 1, 2}
    np.testing.assert_array_equal(views["action_mask.0"][order][:, 1] != 0, place != 0)
    # What is drawn of it are its rows, and an ordinary fit goes on with it.
    batch = next(iter(memory.dataset(batch_size=8, seed=3)))
    np.testing.assert_array_equal(batch["next_observation"]["place"][:, 0], batch["reward"])
    agent.fit(compiled.as_gymnasium(env), steps=4, verbose=0)
    assert agent.memory.total == 56


@pytest.mark.thorough
def test_several_updates_in_one_call_are_those_of_several_calls():
    falling = EpsilonGreedy(1.0, 0.1, 0.8)
    one, three = (dqn(Line(num_envs=2), executions, exploration=falling) for executions in (1, 3))
    for agent in (one, three):
        agent.fit(Line(num_envs=2), steps=37, verbose=0)
    assert (three.timesteps, three.gradient_steps, three.episodes) == (38, one.gradient_steps, one.episodes)
    np.testing.assert_array_equal(weights_of(three), weights_of(one))
    np.testing.assert_array_equal(three.memory.storage.views["reward"], one.memory.storage.views["reward"])
    assert three.counters.targets_moved == one.counters.targets_moved == 32


@pytest.mark.thorough
def test_a_resumed_run_is_the_run(tmp_path):
    env = Line(num_envs=2)
    whole, half = dqn(env), dqn(env)
    whole.fit(env, max_steps=40, verbose=0)
    half.fit(env, max_steps=26, verbose=0)
    half.save_weights(tmp_path / "half.weights.h5")
    rest = dqn(env)
    rest.load_weights(tmp_path / "half.weights.h5")
    rest.fit(Line(num_envs=2), max_steps=40, verbose=0)
    np.testing.assert_array_equal(weights_of(rest), weights_of(whole))
    np.testing.assert_array_equal(rest.memory.storage.views["reward"], whole.memory.storage.views["reward"])
    assert rest.episodes == whole.episodes


@pytest.mark.thorough
def test_sac_in_a_program():
    env = compiled.Pendulum(num_envs=2)
    agent = kagent.SAC(env, **SMALL, frequency=2)
    agent.compile(steps_per_execution=4, jit_compile=True)
    before = weights_of(agent)
    history = agent.fit(env, steps=40, steps_per_epoch=40, verbose=0)
    assert (agent.timesteps, agent.gradient_steps, len(agent.memory)) == (40, 13, 40)
    assert np.isfinite(history.history["loss"]).all() and not np.array_equal(weights_of(agent), before)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("preset", "further"),
    [(kagent.C51, {"low": 0.0, "high": 20.0}), (kagent.QRDQN, {}), (kagent.DiscreteSAC, {})],
)
def test_other_values_are_learned_in_a_program(preset, further):
    env = compiled.CartPole(num_envs=2)
    agent = preset(env, **SMALL, frequency=4, **further)
    agent.compile(run_eagerly=True)
    before = weights_of(agent)
    history = agent.fit(env, steps=24, steps_per_epoch=24, verbose=0)
    assert (agent.timesteps, agent.gradient_steps, len(agent.memory)) == (24, 3, 24)
    assert np.isfinite(history.history["loss"]).all() and not np.array_equal(weights_of(agent), before)


@pytest.mark.thorough
def test_td3_explores_with_noise():
    env = compiled.Pendulum(num_envs=2)
    agent = kagent.TD3(env, **SMALL, frequency=2)
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=20, verbose=0)
    assert (agent.timesteps, agent.gradient_steps) == (20, 3)
    assert np.abs(agent.memory.storage.views["action.0"][:20]).max() <= 1.0


def decided(agent, count, clock=None, exploration=None, masks=None):
    actor = CompiledActor(agent)
    actor._exploration = exploration
    clock = tf.nest.map_structure(lambda x: tf.constant(float(x), tf.float64), (clock or Clock())[:4])
    seen = [tf.zeros((count, *leaf.shape), leaf.stored_dtype) for leaf in agent._observation.leaves]
    (found,), _ = actor.decide(seen, masks, Clock(*clock), tf.constant([3, 4], tf.int64))
    return found.numpy()


def test_epsilon_is_that_of_the_time():
    """With epsilon 0.5, of three allowed actions each random one is taken in a third of half of all cases."""
    agent = kagent.DQN(
        observation_space=gymnasium.spaces.Box(0, 1, (2,)), action_space=gymnasium.spaces.Discrete(4), **SMALL
    )
    exploration = EpsilonGreedy(1.0, 0.0, steps=100)
    best = int(agent.policy.greedy([tf.zeros((1, 2))])[0][0])
    mask = np.ones((3000, 4), bool)
    mask[:, (best + 1) % 4] = False
    clock = Clock(timesteps=50)
    actions = decided(agent, 3000, clock, exploration, [tf.constant(mask)])
    shares = np.bincount(actions, minlength=4) / 3000
    assert shares[(best + 1) % 4] == 0
    assert shares[best] == pytest.approx(0.5 + 0.5 / 3, abs=0.04)
    assert shares[(best + 2) % 4] == pytest.approx(0.5 / 3, abs=0.03)
    assert (decided(agent, 100, Clock(timesteps=100), exploration) == best).all()
    half = EpsilonGreedy(1.0, 0.0, fraction=0.5)
    assert (decided(agent, 100, Clock(progress=0.5), half) == best).all()
    assert len(set(decided(agent, 100, Clock(progress=0.0), half))) == 4


def test_noise_and_first_actions_are_those_of_the_exploration():
    """Noise of 0.5 in the environment's units, of a range of 4: 0.25 of half of it."""
    space = gymnasium.spaces.Box(-2.0, 2.0, (1,))
    agent = kagent.TD3(observation_space=gymnasium.spaces.Box(0, 1, (2,)), action_space=space, **SMALL)
    best = float(agent.policy.greedy([tf.zeros((1, 2))])[0][0, 0])
    noisy = decided(agent, 3000, exploration=ActionNoise(0.5, sample=False))[:, 0]
    assert noisy.mean() == pytest.approx(best, abs=0.03) and noisy.std() == pytest.approx(0.25, abs=0.02)
    part = decided(agent, 3000, exploration=ActionNoise(0.1, sample=False, relative=True))[:, 0]
    assert part.std() == pytest.approx(0.1, abs=0.01)
    first = decided(agent, 3000, Clock(timesteps=4), ActionNoise(0.0, sample=False, random_steps=5))[:, 0]
    assert first.mean() == pytest.approx(0.0, abs=0.05) and first.std() == pytest.approx(2 / 12**0.5, abs=0.03)
    after = decided(agent, 10, Clock(timesteps=5), ActionNoise(0.0, sample=False, random_steps=5))[:, 0]
    np.testing.assert_allclose(after, best, rtol=1e-5)
    sac = kagent.SAC(observation_space=gymnasium.spaces.Box(0, 1, (2,)), action_space=space, **SMALL)
    first = decided(sac, 3000, exploration=Sampling(random_steps=1))[:, 0]
    assert np.abs(first).max() <= 1.0 and first.std() == pytest.approx(2 / 12**0.5, abs=0.03)


@pytest.mark.parametrize("kind", [kagent.TD3, kagent.SAC])
def test_noise_that_wanders_is_that_of_the_host(kind):
    """Of two leaves, one of them of whole numbers, in three environments: noise of every timestep, and what is remembered."""
    space = gymnasium.spaces.Dict(
        a=gymnasium.spaces.Box(-1.0, 3.0, (2, 2)), b=gymnasium.spaces.Box(-5, 5, (1,), np.int64)
    )
    noise = OrnsteinUhlenbeckNoise(theta=0.5, sigma=0.8, mu=0.1)
    seen = gymnasium.spaces.Box(0, 1, (2,))
    agent = kind(observation_space=seen, action_space=space, exploration=noise, **SMALL)
    assert refused(agent) == []
    actor, leaves = CompiledActor(agent), [np.zeros((3, 2), np.float32)]
    drawn = []
    for timesteps in (0, 3, 6, 300, 303):
        clock = Clock(timesteps=timesteps, seed=2**63 + 5)
        expected = noise.decide(agent.actor, leaves, None, clock, np.random.default_rng(0))
        inside = clock._replace(timesteps=tf.constant(float(timesteps), tf.float64))
        found, _ = actor.decide([tf.zeros((3, 2))], None, inside, tf.constant([3, 4], tf.int64))
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-6)
        drawn.append(np.ravel(found[0]))
    assert len({tuple(np.round(each, 5)) for each in drawn}) == 5 and np.ptp(drawn[-1]) > 0.1
    np.testing.assert_array_equal(5 * found[1].numpy(), np.rint(5 * found[1].numpy()))


@pytest.mark.thorough
def test_noise_that_wanders_in_a_program():
    agent = kagent.TD3(compiled.Pendulum(num_envs=2), exploration="ornstein_uhlenbeck", **SMALL, frequency=2)
    agent.compile(run_eagerly=True)
    agent.fit(compiled.Pendulum(num_envs=2), steps=20, verbose=0)
    assert (agent.timesteps, agent.gradient_steps) == (20, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"frequency": 3},
            r"`update.frequency` cannot be part .* Received: 3. Allowed: multiples of the 2 environments",
        ),
        ({"memory": {"type": "Replay", "capacity": 40, "directory": "/tmp"}}, "`memory.directory` cannot be part"),
        ({"frequency": "never"}, "`update` cannot be part"),
    ],
)
def test_what_a_program_cannot_contain_is_refused(changes, message):
    env = Line(num_envs=2)
    agent = kagent.DQN(env, **{**SMALL, "frequency": 4, **changes})
    with pytest.raises(ValueError, match=message):
        agent.fit(env, steps=12, verbose=0)
    assert agent.timesteps == 0


class Stacked(Line):
    """The last places, one behind the other, are taken for frames."""

    observation_space = gymnasium.spaces.Box(0.0, 99.0, (3, 64))
    action_space = gymnasium.spaces.Discrete(3)

    def observation(self, state):
        return tf.cast(state, tf.float32)[:, tf.newaxis, tf.newaxis] + tf.ones((1, 3, 1)) * tf.range(1.0, 65.0)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("env", "changes"),
    [
        (compiled.Catch(num_envs=2, rows=24, columns=24), {}),
        (Stacked(num_envs=2), {"horizon": 1, "prioritized": {"beta": 0.5}}),
    ],
)
def test_memories_that_store_observations_once(env, changes, tmp_path):
    """Large images are linked, and parts along a first axis are frames. In the program rows are whole."""
    network = [{"type": "flatten"}, {"type": "dense", "size": 4}]

    def made():
        return dqn(env, network=network, memory=16, max_episode_timesteps=4, frequency=8, **changes)

    whole, half = made(), made()
    whole.fit(env, max_steps=24, verbose=0)
    assert type(whole.memory.storage) is not Storage
    half.fit(env, max_steps=14, verbose=0)
    half.save_weights(tmp_path / "half.weights.h5")
    rest = made()
    rest.load_weights(tmp_path / "half.weights.h5")
    rest.fit(env, max_steps=24, verbose=0)
    np.testing.assert_array_equal(weights_of(rest), weights_of(whole))
    memory, views = whole.memory, whole.memory.storage.views
    rows = (memory.cursor + np.arange(memory.size)) % memory.capacity
    seen, then = views["observation.0"][rows], views["next_observation.0"][rows]
    goes_on = ~((views["terminated"] + views["truncated"])[rows] != 0)[:-2]
    if "horizon" not in changes:
        np.testing.assert_array_equal(then[:-2][goes_on], seen[2:][goes_on])
    assert (seen.reshape(len(seen), -1) != 0).any(axis=1).all() and goes_on.any()
    np.testing.assert_array_equal(rest.memory.storage.views["next_observation.0"][rows], then)


@pytest.mark.slow
@pytest.mark.learning
def test_dqn_learns_cartpole_in_a_program():
    env = compiled.CartPole(num_envs=8)
    agent = kagent.DQN(
        env, learning_rate=1e-3, memory=50_000, batch_size=64, start=1000, frequency=8, horizon=0,
        target_update_period=400, exploration=EpsilonGreedy(1.0, 0.05, 0.2), network={"type": "mlp", "units": [64, 64]},
        seed=0,
    )  # fmt: skip
    agent.compile(steps_per_execution=100)
    agent.fit(env, steps=100_000, verbose=0)
    assert agent.evaluate("CartPole-v1", episodes=10)["episode_return"] > 200
