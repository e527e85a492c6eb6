"""evaluate, predict and the call: the policy as it is, measured without a trace."""

import copy

import gymnasium
import keras
import numpy as np
import pytest
from runs import Recorder, equal
from toy_envs import Counter, Identity
from variants import with_few

import kagent
from kagent.environments import action_records
from kagent.training import evaluator

pytestmark = pytest.mark.eager


def state_of(agent):
    streams = {name: str(generator.bit_generator.state) for name, generator in agent._random.generators.items()}
    memory = {key: np.array(value) for key, value in agent.memory.state().items()}
    return streams, (agent.timesteps, agent.episodes, agent.updates), memory, agent.get_weights()


@pytest.mark.parametrize("kind", with_few(["dqn", "ppo"], ["ppo"]))
def test_evaluate_leaves_no_trace(small, kind):
    agent = small(kind)
    agent.fit("CartPole-v1", steps=50, verbose=0)
    before = copy.deepcopy(state_of(agent))
    for deterministic in (True, False):
        agent.evaluate("CartPole-v1", episodes=3, deterministic=deterministic)
    after = state_of(agent)
    assert before[:2] == after[:2] and equal(before[3], after[3])
    assert all((before[2][key] == after[2][key]).all() for key in before[2])
    agent.fit("CartPole-v1", steps=10, verbose=0)
    other = small(kind)
    other.fit("CartPole-v1", steps=50, verbose=0)
    other.fit("CartPole-v1", steps=10, verbose=0)
    assert agent.episodes == other.episodes and equal(agent.get_weights(), other.get_weights())


def test_results_are_means_and_lists(small):
    agent = small("dqn", env=Counter())
    logs = agent.evaluate(Counter(lengths=(2, 4, 6)), episodes=5)
    assert logs["episode_lengths"] == [2, 4, 6, 2, 4] and logs["episodes"] == 5
    assert logs["episode_length"] == 3.6
    assert logs["episode_return"] == pytest.approx(np.mean(logs["episode_returns"]))
    assert logs["episode_return_std"] == pytest.approx(np.std(logs["episode_returns"]))


def test_two_evaluations_play_the_same_episodes_and_a_seed_plays_others(small):
    agent = small("ppo")
    first, second = (agent.evaluate("CartPole-v1", episodes=6, deterministic=False) for _ in range(2))
    assert first["episode_returns"] == second["episode_returns"]
    seeded = [agent.evaluate("CartPole-v1", 6, deterministic=False, seed=seed)["episode_returns"] for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2] != first["episode_returns"]


def test_the_greedy_policy_is_measured_without_exploration(small):
    env = Identity(gymnasium.spaces.Discrete(3), length=5)
    agent = small("dqn", env=env, exploration=1.0)
    seen = []

    class Spy(gymnasium.Wrapper):
        def step(self, action):
            seen.append((int(self.observation), int(action)))
            self.observation, *rest = self.env.step(action)
            return self.observation, *rest

        def reset(self, **arguments):
            self.observation, info = self.env.reset(**arguments)
            return self.observation, info

    agent.evaluate(Spy(env), episodes=4)
    assert len(seen) == 20
    assert all(action == agent.act(observation, deterministic=True) for observation, action in seen)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_environment_plays_its_share(small, count):
    """Short episodes must not crowd out long ones."""
    lengths = iter([2, 50, 7])
    agent = small("dqn", env=Counter())
    logs = agent.evaluate(lambda: Counter(lengths=(next(lengths),)), episodes=2 * count, n_envs=count)
    assert sorted(logs["episode_lengths"]) == sorted([2, 50, 7][:count] * 2)


def test_vector_environments_are_measured_too(small):
    vector = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    logs = small("ppo").evaluate(vector, episodes=7)
    assert logs["episodes"] == 7 == len(logs["episode_returns"])
    assert logs["episode_returns"] == [float(n) for n in logs["episode_lengths"]]  # CartPole pays 1 a step
    vector.close()


def test_callbacks_hear_of_a_test_with_episodes_as_batches(small):
    recorder = Recorder()
    small("dqn").evaluate("CartPole-v1", episodes=2, callbacks=[recorder])
    assert recorder.names() == ["on_test_begin", *["on_test_batch_begin", "on_test_batch_end"] * 2, "on_test_end"]
    assert recorder.calls[2][1:] == (0, ["episode_length", "episode_return"])


def test_the_bar_counts_episodes(small, capsys):
    agent = small("dqn")
    agent.evaluate("CartPole-v1", episodes=3)
    assert capsys.readouterr().out == ""
    agent.evaluate("CartPole-v1", episodes=3, verbose=1)
    said = capsys.readouterr().out
    assert "3/3" in said and "episode_return: " in said


@pytest.mark.parametrize(
    ("env", "arguments", "said"),
    [
        ("CartPole-v1", {"episodes": 0}, "episodes"),
        ("CartPole-v1", {"episodes": 2.5}, "episodes"),
        ("CartPole-v1", {"seed": -1}, "seed"),
        ("CartPole-v1", {"seed": "1"}, "seed"),
        ("CartPole-v1", {"n_envs": 0}, "n_envs"),
        ("Pendulum-v1", {}, "observation_space"),
        ("CartPole-v2000", {}, "CartPole"),
    ],
)
def test_bad_arguments_are_refused(small, env, arguments, said):
    with pytest.raises(ValueError, match=said):
        small("dqn").evaluate(env, **arguments)


def test_an_evaluation_after_loading_weights_uses_them(small):
    agent, other = small("dqn", seed=1), small("dqn", seed=2)
    agent.fit("CartPole-v1", steps=40, verbose=0)
    other.set_weights(agent.get_weights())
    found = [a.evaluate("CartPole-v1", episodes=5, seed=3)["episode_returns"] for a in (agent, other)]
    assert found[0] == found[1]


SPACES = {
    "discrete": gymnasium.spaces.Discrete(4, start=-1),
    "multi_discrete": gymnasium.spaces.MultiDiscrete([3, 2]),
    "multi_binary": gymnasium.spaces.MultiBinary(3),
    "box": gymnasium.spaces.Box(-2.0, 1.0, (2,)),
    "nested": gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(-1.0, 1.0, (2,)))),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    with_few(
        [*[("ppo", name) for name in SPACES], *[("dqn", name) for name in list(SPACES)[:3]], ("sac", "box")],
        [("ppo", "nested"), ("dqn", "multi_discrete"), ("dqn", "multi_binary"), ("sac", "box")],
    ),
)
def test_the_call_predict_and_act_agree(small, kind, name):
    space = SPACES[name]
    agent = small(kind, env=Identity(space))
    observations = [copy.deepcopy(agent.observation_space.sample()) for _ in range(7)]
    structure = kagent.spaces.Structure(agent.observation_space)
    batch = structure.unflatten([np.stack(leaves) for leaves in zip(*map(structure.flatten, observations))])
    flatten = kagent.spaces.Structure(space).flatten
    called, predicted = flatten(agent(batch)), flatten(agent.predict(batch, verbose=0))
    for row, observation in enumerate(observations):
        acted = agent.act(observation, deterministic=True)
        assert space.contains(acted)
        for one, tensors, arrays in zip(flatten(acted), called, predicted):
            np.testing.assert_allclose(tensors[row], one, atol=1e-5)
            np.testing.assert_allclose(arrays[row], one, atol=1e-5)


def test_the_summary_shows_the_parts(small):
    lines = []
    agent = small("sac")
    agent.summary(print_fn=lambda line, **_: lines.append(line))
    said = "\n".join(lines)
    for part in ("policy", "critic", "target_critic", "temperature", "Trainable params"):
        assert part in said
    trainable = sum(v.shape.num_elements() if hasattr(v.shape, "num_elements") else int(np.prod(v.shape))
                    for v in agent.trainable_variables)  # fmt: skip
    assert f"{trainable:,}" in said
    assert isinstance(agent, keras.Model) and agent.built


def test_a_long_wait_for_the_end_of_an_episode_is_said_once(small, monkeypatch, recwarn):
    agent = small("dqn", env=Counter())
    monkeypatch.setattr(evaluator, "ENDLESS", 8)
    monkeypatch.setattr(
        action_records, "_STEPS", 3
    )  # its warning is about training that goes on, and none of an evaluation
    agent.evaluate(Counter(lengths=(5, 6, 7)), episodes=9)  # every end begins the wait anew
    assert not recwarn.list
    with pytest.warns(UserWarning, match="for 8 timesteps; 2 of 3 episodes have ended") as caught:
        agent.evaluate(Counter(lengths=(5, 6, 40)), episodes=3)
    assert len(caught) == 1
