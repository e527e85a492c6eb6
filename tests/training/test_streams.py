"""Several streams of act and observe, Tensorforce's words for them, and their order."""

import gymnasium
import numpy as np
import pytest
from runs import equal
from toy_envs import Counter, Identity

from kagent import Agent

pytestmark = pytest.mark.eager


def walk(agent, env, stream, steps):
    """`steps` of one stream in an environment of its own, told as Tensorforce's loop tells them."""
    state, _ = env.reset(seed=stream)
    for _ in range(steps):
        action = agent.act(state, parallel=stream)
        state, reward, terminated, truncated, _ = env.step(action)
        agent.observe(reward, terminated, truncated, state, parallel=stream)
        if terminated or truncated:
            state, _ = env.reset()


@pytest.mark.parametrize("kind", ["dqn", "ppo"])
def test_streams_keep_their_episodes_apart(small, kind):
    changes = {"start": 1000} if kind == "dqn" else {"n_steps": 64}
    agent = small(kind, env=Counter(), parallel_interactions=2, **changes)
    envs = [Counter(lengths=(3,)), Counter(lengths=(5,), ends=("truncated",))]
    states = [env.reset()[0] for env in envs]
    for _ in range(7):
        for stream in (1, 0):
            action = agent.act(states[stream], parallel=stream)
            state, reward, terminated, truncated, _ = envs[stream].step(action)
            agent.observe(reward, terminated, truncated, state, parallel=stream)
            states[stream] = envs[stream].reset()[0] if terminated or truncated else state
    views = agent.memory.storage.views
    steps = views["observation.0"][:14, 2].reshape(7, 2).T
    order = [1, 0] if kind == "dqn" else [0, 1]  # as they came, and as they stand in a rollout
    np.testing.assert_array_equal(steps[order.index(0)], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(steps[order.index(1)], [0, 1, 2, 3, 4, 0, 1])
    np.testing.assert_array_equal(
        views["next_observation.0"][:14, 2].reshape(7, 2).T[order.index(0)], [1, 2, 3, 1, 2, 3, 1]
    )
    assert (agent.timesteps, agent.episodes) == (14, 3)


def test_a_rollout_waits_for_the_slower_stream(small):
    agent = small("ppo", env=Counter(), parallel_interactions=2, n_steps=4, batch_size=8)
    first, second = Counter(lengths=(100,)), Counter(lengths=(100,))
    walk(agent, first, 0, 4)
    assert agent.updates == 0 and not agent.memory.size and agent.timesteps == 4
    walk(agent, second, 1, 4)
    assert agent.updates > 0 and agent.timesteps == 8


def test_a_stream_may_not_run_away(small):
    agent = small("ppo", env=Counter(), parallel_interactions=2, n_steps=4, batch_size=8)
    with pytest.raises(RuntimeError, match="Stream 0 is 4 timesteps ahead of stream 1"):
        walk(agent, Counter(lengths=(100,)), 0, 5)


def test_a_list_of_streams_acts_at_once(small):
    agent = small("ppo", env=Counter(), parallel_interactions=3)
    state = Counter().reset()[0]
    actions = agent.act([state, state], parallel=[2, 0])
    assert len(actions) == 2
    for stream in (0, 2):
        agent.observe(0.0, False, False, state, parallel=stream)
    with pytest.raises(RuntimeError, match="no action to observe"):
        agent.observe(0.0, False, False, state, parallel=1)
    with pytest.raises(ValueError, match="no index twice"):
        agent.act([state, state], parallel=[1, 1])


@pytest.mark.parametrize("stream", [-1, 2, True, 1.0, "0"])
def test_streams_have_numbers(small, stream):
    agent = small("ppo", env=Counter(), parallel_interactions=2)
    with pytest.raises(ValueError, match="`parallel` must be an integer from 0 to 1"):
        agent.act(Counter().reset()[0], parallel=stream)


def test_act_and_observe_alternate(small):
    agent, state = small("dqn", env=Counter()), Counter().reset()[0]
    with pytest.raises(RuntimeError, match="no action to observe"):
        agent.observe(0.0, False, False, state)
    agent.act(state)
    agent.act(state, deterministic=True)
    agent.act(state, independent=True)
    with pytest.raises(RuntimeError, match="`act` was called twice without `observe`"):
        agent.act(state)
    agent.observe(0.0, False, False, state)
    with pytest.raises(RuntimeError, match="no action to observe"):
        agent.observe(0.0, False, False, state)
    assert agent.timesteps == 1


def test_the_seeds_loop_without_successors(small):
    """`observe(reward, terminal)`: the next act shows what the last one led to, and the weights end the same."""
    told, shown = (small("dqn", env=Counter(), start=4, frequency=2, batch_size=4, exploration=0.3) for _ in range(2))
    for agent, tells in ((told, True), (shown, False)):
        env = Counter(lengths=(5,))
        state, _ = env.reset()
        for _ in range(21):
            action = agent.act(state)
            state, reward, terminated, _, _ = env.step(action)
            if tells:
                agent.observe(reward, terminated, False, state)
            else:
                agent.observe(reward=reward, terminal=terminated)
            if terminated:
                state, _ = env.reset()
    assert told.timesteps == shown.timesteps == 21 and told.episodes == shown.episodes == 4
    assert len(shown.memory) == 20 and len(told.memory) == 21  # the last step waits for what it led to
    for name in ("observation.0", "reward", "terminated"):
        ours, theirs = (agent.memory.storage.views[name][:20] for agent in (told, shown))
        np.testing.assert_array_equal(ours, theirs)
    ended = told.memory.storage.views["terminated"][:20].astype(bool)
    ours, theirs = (agent.memory.storage.views["next_observation.0"][:20] for agent in (told, shown))
    np.testing.assert_array_equal(ours[~ended], theirs[~ended])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terminal": 3}, "`terminal` must be False, True, 0, 1 or 2"),
        ({"terminal": "end"}, "`terminal` must be False, True, 0, 1 or 2"),
        ({"terminal": 1, "terminated": True}, "in place of `terminated` and `truncated`"),
        ({"terminal": 2}, "`next_observation` is needed where an episode is truncated"),
        ({"truncated": True}, "`next_observation` is needed where an episode is truncated"),
        ({"parallel": 4}, "`parallel` must be an integer from 0 to 0"),
    ],
)
def test_outcomes_are_checked(small, arguments, message):
    agent = small("dqn", env=Counter())
    agent.act(Counter().reset()[0])
    with pytest.raises(ValueError, match=message):
        agent.observe(1.0, **arguments)
    agent.observe(1.0, terminal=1)
    assert (agent.timesteps, agent.episodes) == (1, 1)


def test_masks_may_be_in_the_states(small):
    env = Identity(gymnasium.spaces.Discrete(4), masks="info", legal=0.5)
    agent = small("dqn", env=env, exploration=0.5, start=100)
    state, info = env.reset(seed=1)
    for _ in range(12):
        action = agent.act({"state": state, "action_mask": info["action_mask"]})
        assert info["action_mask"][action]
        state, reward, terminated, truncated, info = env.step(action)
        agent.observe(reward, terminated, truncated, {"state": state, "action_mask": info["action_mask"]})
        if terminated or truncated:
            state, info = env.reset()
    assert agent.memory.masked
    with pytest.raises(ValueError, match="given twice"):
        agent.act({"state": state, "action_mask": info["action_mask"]}, mask=info["action_mask"])


def test_internals_are_those_of_a_policy_without(small):
    agent, state = small("dqn", env=Counter()), Counter().reset()[0]
    action, internals = agent.act(state, internals={}, deterministic=True)
    assert internals == {} and action == agent.act(state, deterministic=True)
    with pytest.raises(ValueError, match=r"`internals` must be None or \{\}"):
        agent.act(state, internals={"lstm": 0}, deterministic=True)
    with pytest.raises(ValueError, match="`internals` are for independent acts"):
        agent.act(state, internals={})
    with pytest.raises(ValueError, match="`deterministic` acts are independent"):
        agent.act(state, deterministic=True, independent=False)


def test_episodes_keep_their_limit(small):
    agent, state = small("dqn", env=Counter(), max_episode_timesteps=2), Counter().reset()[0]
    agent.act(state)
    agent.observe(0.0, False, False, state)
    agent.act(state)
    with pytest.raises(ValueError, match="max_episode_timesteps=2 long, and must end"):
        agent.observe(0.0, False, False, state)
    agent.observe(0.0, False, True, state)
    assert agent.episodes == 1


def test_fit_keeps_the_limit_too(small):
    agent = small("dqn", env=Counter(), max_episode_timesteps=3)
    history = agent.fit(Counter(lengths=(5,)), steps=12, verbose=0)
    assert agent.episodes == 4 and history.history["episode_length"][-1] == 3.0
    assert agent.memory.storage.views["truncated"][:12].tolist() == [0, 0, 1] * 4
    assert agent.evaluate(Counter(lengths=(5,)), episodes=3)["episode_length"] == 3.0
    with pytest.raises(ValueError, match="must be at most 500, at which CartPole-v1 truncates"):
        small("dqn", memory=1000, max_episode_timesteps=501).fit("CartPole-v1", steps=1)
    with pytest.raises(ValueError, match="cannot be kept by a vector environment"):
        small("dqn", memory=1000, max_episode_timesteps=10).fit(gymnasium.make_vec("CartPole-v1", num_envs=2), steps=1)
    assert small("dqn", memory=1000, max_episode_timesteps=500).fit("CartPole-v1", steps=2, verbose=0)


def test_independent_acts_change_nothing(small):
    agent = small("ppo", env=Counter())
    agent.fit(Counter(), steps=8, verbose=0)
    weights, before = agent.get_weights(), agent._random["act"].bit_generator.state
    counters = (agent.timesteps, agent.episodes, agent.updates, len(agent.memory))
    for _ in range(10):
        agent.act(Counter().reset()[0], independent=True)
    assert counters == (agent.timesteps, agent.episodes, agent.updates, len(agent.memory))
    assert equal(weights, agent.get_weights()) and str(agent._random["act"].bit_generator.state) == str(before)


def test_execution_and_config_are_options_of_compile():
    parts = {"objective": "action_value", "memory": 10, "update": 4, "reward_estimation": {"discount": 0.9}}
    agent = Agent(
        Counter(), **parts, execution={"jit_compile": False, "steps_per_execution": 2},
        config={"eager_mode": True, "seed": 5, "name": "bob", "device": "CPU:0", "buffer_observe": 2},
    )  # fmt: skip
    assert (agent.jit_compile, agent.steps_per_execution, agent.run_eagerly) == (False, 2, True)
    assert (agent.seed, agent.name, agent.device) == (5, "bob", "CPU:0")
    again = Agent.create(agent.get_config())
    assert (again.jit_compile, again.steps_per_execution, again.run_eagerly) == (False, 2, True)
    assert again.get_config() == agent.get_config()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"execution": {"session_config": {}}}, ValueError, "no sessions in TensorFlow 2.*Known: jit_compile"),
        ({"execution": 3}, TypeError, "`execution` must be a dict or None. Received: 3"),
        ({"config": {"api_functions": ["act"]}}, ValueError, "cannot have 'api_functions': only what is used"),
        ({"config": {"nothing": 1}}, ValueError, "`config` cannot have 'nothing'. Known"),
        ({"config": {"seed": 1}, "seed": 2}, ValueError, "given twice. Received: 1 and 2"),
        ({"device": "GPU:9"}, ValueError, "`device` is not on this machine. Received: 'GPU:9'. Known: /device:CPU:0"),
        ({"device": 3}, TypeError, "`device` must be None or the name of a device"),
        ({"buffer_observe": 0}, ValueError, "`buffer_observe` must be True, False or an integer > 0"),
        ({"buffer_observe": "all"}, ValueError, "`buffer_observe` must be True, False or an integer > 0"),
        ({"buffer_observe": 5}, ValueError, "at most the timesteps between updates, 4. Received: 5"),
        ({"parallel_interactions": 0}, ValueError, "`parallel_interactions` must be an integer >= 1"),
        ({"parallel_interactions": 1.5}, ValueError, "`parallel_interactions` must be an integer >= 1"),
        ({"max_episode_timesteps": 0}, ValueError, "`max_episode_timesteps` must be an integer >= 1"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(arguments, error, message):
    parts = {"objective": "action_value", "memory": 10, "update": 4, "reward_estimation": {"discount": 0.9}}
    with pytest.raises(error, match=message):
        Agent(Counter(), **parts, **arguments)
