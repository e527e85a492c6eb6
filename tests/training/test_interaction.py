"""act and observe: the same agent in a loop of the user's own."""

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from runs import equal
from toy_envs import Counter, Identity
from variants import thorough

import kagent


def play(agent, env, steps, seed=None):
    """The loop that the documentation shows; returns the logs of every update."""
    logs = []
    observation, _ = env.reset(seed=agent.next_seed() if seed is None else seed)
    for _ in range(steps):
        action = agent.act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        logs.append(agent.observe(reward, terminated, truncated, observation))
        if terminated or truncated:
            observation, _ = env.reset(seed=agent.next_seed())
    return [found for found in logs if found is not None]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("dqn", {"exploration": 0.3, "gradient_steps": 2, "target_update_period": 20}), ("ppo", {}),
     *(thorough(case) for case in (("dqn", {"exploration": 0.3}), ("sac", {"start": 20})))],
)  # fmt: skip
def test_an_own_loop_learns_what_fit_learns(small, kind, changes):
    env = "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    fitted, played = small(kind, **changes), small(kind, **changes)
    fitted.fit(env, steps=48, verbose=0)
    logs = play(played, gymnasium.make(env), 48)
    assert played.updates == fitted.updates > 0
    assert (played.timesteps, played.episodes) == (fitted.timesteps, fitted.episodes)
    assert equal(played.get_weights(), fitted.get_weights())
    ours, theirs = played.memory.state(), fitted.memory.state()
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)
    assert all("loss" in found for found in logs)
    assert played.train_function.traces == 1


def test_updates_come_when_they_are_due(small):
    agent, env = small("dqn", env=Counter(), start=6, frequency=4, batch_size=2), Counter(lengths=(100,))
    done = []
    observation, _ = env.reset()
    for _ in range(20):
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        done.append(agent.observe(reward, terminated, truncated, observation) is not None)
    assert [step for step, due in enumerate(done, 1) if due] == [6, 10, 14, 18]


def test_steps_per_execution_counts_here_too(small):
    agent = small("dqn", env=Counter(), start=1, frequency=1, batch_size=1, compiled={"steps_per_execution": 4})
    logs = play(agent, Counter(lengths=(50,)), 12)
    assert len(logs) == 3 and agent.updates == 12


def test_what_is_remembered_is_what_happened(small):
    """Also of an environment that changes its arrays in place."""
    agent = small("dqn", env=Counter(), start=1000)
    env = Counter(lengths=(3, 5), ends=("terminated", "truncated"), reuse=True)
    play(agent, env, 8)
    views = agent.memory.storage.views
    np.testing.assert_array_equal(views["observation.0"][:8, 2], [0, 1, 2, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(views["next_observation.0"][:8, 2], [1, 2, 3, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(np.flatnonzero(views["terminated"][:8]), [2])
    np.testing.assert_array_equal(np.flatnonzero(views["truncated"][:8]), [7])
    rewards = 100 * views["observation.0"][:8, 1] + views["observation.0"][:8, 2] + views["action.0"][:8] / 8
    np.testing.assert_allclose(views["reward"][:8], rewards)
    assert (agent.timesteps, agent.episodes) == (8, 2)


def test_masks_are_obeyed_and_remembered(small):
    env = Identity(gymnasium.spaces.Discrete(4), masks="info", legal=0.5)
    agent = small("dqn", env=env, exploration=0.5, start=4, frequency=2, batch_size=2)
    observation, info = env.reset(seed=1)
    for _ in range(12):
        allowed = np.array(info["action_mask"], bool)
        action = agent.act(observation, mask=info["action_mask"])
        assert allowed[action]  # the environment would raise
        observation, reward, terminated, truncated, info = env.step(action)
        agent.observe(reward, terminated, truncated, observation, mask=info["action_mask"])
        row = agent.timesteps - 1
        assert (agent.memory.storage.views["action_mask.0"][row].astype(bool) == allowed.ravel()).all()
        if truncated:
            observation, info = env.reset()
    with pytest.raises(ValueError, match="mask"):
        agent.act(observation, mask=info["action_mask"])
        agent.observe(0.0, False, False, observation)


@pytest.mark.parametrize("where", ["info", "observation"])
def test_where_an_episode_terminates_no_action_need_be_allowed(small, where):
    env = Identity(gymnasium.spaces.Discrete(4), masks=where, legal=0.5)
    agent = small("dqn", env=env, start=2, frequency=1, batch_size=2)
    for _ in range(4):
        observation, info = env.reset(seed=3)
        mask = info["action_mask"] if where == "info" else None
        action = agent.act(observation, mask=mask)
        observation, _, _, _, info = env.step(action)
        nothing = np.zeros(4, np.int8)
        if where == "observation":
            observation = {**observation, "action_mask": nothing}
        given = {"mask": nothing} if where == "info" else {}
        logs = agent.observe(1.0, True, False, observation, **given)
    assert agent.updates == 3 and np.isfinite(logs["loss"])
    with pytest.raises(ValueError, match="allows no value"):
        agent.act(observation, mask=nothing)


def test_mistakes_are_refused_and_lose_nothing(small):
    agent = small("dqn", env=Counter(), start=1000)
    good = np.zeros(3, np.float32)
    with pytest.raises(RuntimeError, match="act"):
        agent.observe(0.0, False, False, good)
    for bad in (np.zeros(2, np.float32), np.array([0, np.nan, 0], np.float32)):
        with pytest.raises(ValueError):
            agent.act(bad)
    agent.act(good, deterministic=True)
    with pytest.raises(RuntimeError, match="act"):
        agent.observe(0.0, False, False, good)  # nothing was tried
    agent.act(good)
    for reward, successor in ((np.nan, good), (np.inf, good), (0.0, good[:2]), (0.0, good + np.inf)):
        with pytest.raises(ValueError):
            agent.observe(reward, False, False, successor)
    assert (agent.timesteps, len(agent.memory) if agent.memory.built else 0) == (0, 0)
    agent.observe(1.5, True, False, good)
    assert (agent.timesteps, agent.episodes, len(agent.memory)) == (1, 1, 1)


class Lossy(gymnasium.Env):
    """Nothing but spaces: two numbers, of which networks and heads below see the first one."""

    observation_space = gymnasium.spaces.Box(-10, 10, (2,))
    action_space = gymnasium.spaces.Discrete(3)


def lossy(small, **changes):
    """A Q function of `[x, y]` that is x, 2 x and 3 x."""
    import keras

    network = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    agent = small("dqn", env=Lossy(), network=network, start=1, frequency=1, batch_size=1, huber=None, **changes)
    kernel, bias = agent.policy.trainable_variables
    kernel.assign([[1, 2, 3], [0, 0, 0]])
    bias.assign([0, 0, 0])
    agent.target_policy.set_weights(agent.policy.get_weights())
    return agent


@pytest.mark.eager
def test_the_end_that_is_estimated_is_the_one_that_is_given(small):
    """Where the end is worth max Q([3, 0]) = 9 the target is 1 + 9 / 2; Q([1, 0], a) is a + 1."""
    estimation = kagent.RewardEstimation(discount=0.5, estimate_terminal=True)
    agent = lossy(small, reward_estimation=estimation)
    action = agent.act(np.array([1.0, 0.0]))
    for end in ({"terminated": True}, {"terminal": 1}, {"terminal": True}):
        with pytest.raises(ValueError, match=r"`next_observation` is needed.*estimate_terminal=True"):
            agent.observe(1.0, **end)
    assert agent.timesteps == 0
    logs = agent.observe(1.0, True, next_observation=np.array([3.0, 0.0]))
    assert logs["loss"] == pytest.approx((5.5 - (action + 1)) ** 2 / 2)
    plain = lossy(small, reward_estimation=kagent.RewardEstimation(discount=0.5))
    action = plain.act(np.array([1.0, 0.0]))
    assert plain.observe(1.0, True)["loss"] == pytest.approx((1 - (action + 1)) ** 2 / 2)


@pytest.mark.parametrize("end", [2, np.int64(2), np.array([2]), tf.constant(2)])
def test_the_second_argument_may_be_tensorforces_terminal(small, end):
    agent = small("dqn", env=Counter(), start=1000)
    agent.act(np.zeros(3))
    with pytest.raises(ValueError, match="`next_observation` is needed where an episode is truncated"):
        agent.observe(1.0, end)
    agent.observe(1.0, end, next_observation=np.ones(3))
    views = agent.memory.storage.views
    assert (views["terminated"][0], views["truncated"][0], agent.episodes) == (0, 1, 1)
    agent.act(np.zeros(3))
    agent.observe(1.0, np.array([1], np.int8))
    assert (views["terminated"][1], views["truncated"][1], agent.episodes) == (1, 0, 2)
    agent.act(np.zeros(3))
    agent.observe(1.0, tf.constant(False), tf.constant(True), np.ones(3))
    assert (views["terminated"][2], views["truncated"][2], agent.episodes) == (0, 1, 3)


def test_an_end_in_other_words_is_refused(small):
    agent = small("dqn", env=Counter(), start=1000)
    agent.act(np.zeros(3))
    for wrong in ("no", "False", 0.5, [0], (1,), None, 3, -1, np.zeros(2), {}):
        with pytest.raises(ValueError, match="`terminated` must be False, True, 0, 1 or 2"):
            agent.observe(1.0, wrong, next_observation=np.ones(3))
        if wrong is not None:
            with pytest.raises(ValueError, match="`terminal` must be False, True, 0, 1 or 2"):
                agent.observe(1.0, terminal=wrong, next_observation=np.ones(3))
    for wrong in ("no", 0.5, [0], None, 2):
        with pytest.raises(TypeError, match="`truncated` must be a bool"):
            agent.observe(1.0, False, wrong, np.ones(3))
    several = small("dqn", env=Counter(), start=1000, parallel_interactions=2)
    several.act(np.zeros(3), parallel=1)
    several.act(np.zeros(3), parallel=0)
    with pytest.raises(TypeError, match=r"`parallel`, is given by name here. Received: 1"):
        several.observe(1.0, 1, 1)
    with pytest.raises(ValueError, match="`terminal` is given in place"):
        agent.observe(1.0, np.array([1]), terminal=2, next_observation=np.ones(3))
    assert agent.timesteps == 0
    agent.observe(1.0, False, np.False_, np.ones(3))
    assert agent.timesteps == 1


def test_a_reward_is_taken_as_fit_takes_it(small):
    agent = small("dqn", env=Counter(), start=1000)
    for count, reward in enumerate((np.array([1], np.int8), np.array([[1.0]]), np.float32(1), True, 1), 1):
        agent.act(np.zeros(3))
        agent.observe(reward, False, False, np.ones(3))
        assert agent.memory.storage.views["reward"][:count].tolist() == [1] * count
    agent.act(np.zeros(3))
    for wrong in ("1", None, np.ones(2), -1e300):
        with pytest.raises(ValueError, match="reward"):
            agent.observe(wrong, False, False, np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        agent.observe(1, False, False, np.array([0, 1e300, 0]))
    with pytest.raises(ValueError, match="finite"):
        small("dqn", env=Counter()).act(np.array([0, -1e39, 0]))


def test_statistics_of_observations_learn_nothing_of_an_end_that_was_not_given(small):
    """Seen: 0 and 2, whose mean is 1, and not 0, 2 and 2."""
    agents = [small("dqn", env=Lossy(), start=1000, preprocessing="running_normalization") for _ in range(2)]
    for agent, last in zip(agents, ({}, {"next_observation": np.array([4.0, 0.0])})):
        agent.act(np.array([0.0, 0.0]))
        agent.observe(1.0, next_observation=np.array([2.0, 0.0]))
        agent.act(np.array([2.0, 0.0]))
        agent.observe(1.0, True, **last)
    assert mean_of(agents[0]) == pytest.approx(1) and mean_of(agents[1]) == pytest.approx(2)
    other = small("dqn", env=Lossy(), start=1000, preprocessing="running_normalization")
    other.experience([[0.0, 0.0], [2.0, 0.0]], [0, 1], [0, 1], [1.0, 1.0])
    assert mean_of(other) == pytest.approx(1)


def mean_of(agent):
    return agent.preprocessing.statistics()[0][0]["mean"].ravel()[0]


def test_acting_deterministically_changes_nothing(small):
    agent = small("ppo")
    observation = np.array([0.1, 0.2, -0.1, 0.0], np.float32)
    state = agent._random["act"].bit_generator.state
    actions = {agent.act(observation, deterministic=True) for _ in range(20)}
    assert len(actions) == 1 and (agent.timesteps, agent.memory.built) == (0, False)
    assert str(agent._random["act"].bit_generator.state) == str(state)
    assert {agent.act(observation, independent=True) for _ in range(50)} == {0, 1}
    assert str(agent._random["act"].bit_generator.state) == str(state) and agent.timesteps == 0
    agent.act(observation)
    assert str(agent._random["act"].bit_generator.state) != str(state)


def test_fit_and_the_own_loop_take_turns(small, tmp_path):
    agent, env = small("dqn", exploration=0.3), gymnasium.make("CartPole-v1")
    agent.fit("CartPole-v1", steps=30, verbose=0)
    play(agent, env, 30)
    agent.fit("CartPole-v1", steps=30, verbose=0)
    drawn = agent.counters.batches_drawn
    logs = play(agent, env, 30)
    assert (agent.timesteps, agent.updates, len(agent.memory)) == (120, 27, 120)
    assert agent.counters.batches_drawn == drawn + len(logs)
    agent.save_weights(tmp_path / "a.weights.h5")
    first = play(agent, env, 20, seed=5)
    agent.load_weights(tmp_path / "a.weights.h5")
    assert play(agent, env, 20, seed=5) == first  # drawn from the memory that was loaded, and from its place on


def test_a_rollout_begun_by_fit_is_cut_where_the_own_loop_begins(small):
    agent, env = small("ppo", env=Counter(lengths=(100,)), n_steps=32, batch_size=8), Counter(lengths=(100,))
    agent.fit(env, steps=5, verbose=0)
    play(agent, env, 5)
    agent.fit(Counter(lengths=(100,)), steps=5, verbose=0)
    views = agent.memory.storage.views
    assert np.flatnonzero(views["truncated"][:15]).tolist() == [4, 9]
    assert not views["terminated"][:15].any()


def test_every_kind_of_action_goes_both_ways(small):
    space = gymnasium.spaces.Dict(
        pick=gymnasium.spaces.Discrete(3, start=2),
        push=gymnasium.spaces.Box(-2.0, 2.0, (2,)),
        bits=gymnasium.spaces.MultiBinary(3),
    )
    env = Identity(space, length=4)
    agent = small("ppo", env=env, n_steps=8, batch_size=4, epochs=1)
    logs = play(agent, env, 16)
    assert len(logs) == 2 and agent.updates == 4
    action = agent.act(env.reset()[0])
    assert space.contains(action)
