"""Atari games by their ids: with the preprocessing that results are published for."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
import pytest

import kagent
from kagent import environments, tuned
from kagent.cli.environment import Source
from kagent.environments import atari
from kagent.memories.framed_storage import FramedStorage


def test_a_game_has_four_grey_frames():
    env = environments.make_id("ALE/Pong-v5")
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    first, _ = env.reset(seed=1)
    second, reward, *_ = env.step(2)
    assert (second[:3] == first[1:]).all() and reward == 0.0
    wrappers = [wrapper.name for wrapper in env.spec.additional_wrappers]
    assert wrappers == ["AtariPreprocessing", "FrameStackObservation"]
    assert env.spec.kwargs["frameskip"] == 1  # the wrapper skips
    env.close()


def test_arguments_go_where_they_belong():
    env = atari.make("ALE/Breakout-v5", stack_size=1, terminal_on_life_loss=True, repeat_action_probability=0.0)
    assert env.observation_space.shape == (84, 84)
    assert env.get_wrapper_attr("terminal_on_life_loss") is True
    assert env.spec.kwargs["repeat_action_probability"] == 0.0
    env.close()
    env = Source("ALE/Pong-v5", {"stack_size": 2}).make(render_mode="rgb_array")
    assert env.observation_space.shape == (2, 84, 84) and env.render_mode == "rgb_array"
    env.close()


def test_what_is_no_image_stays():
    env = environments.make_id("ALE/Pong-v5", obs_type="ram")
    assert env.observation_space.shape == (128,)
    env.close()


@pytest.mark.parametrize("stack", [0, 1.5, True, "4"])
def test_a_stack_is_of_one_frame_or_more(stack):
    with pytest.raises(ValueError, match=r"`stack_size` must be an integer >= 1. Received"):
        atari.make("ALE/Pong-v5", stack_size=stack)


@pytest.mark.parametrize("missing", ["ale_py", "cv2"])
def test_what_is_not_installed_is_named_with_the_line_that_installs_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "cv2":
        monkeypatch.setattr("gymnasium.wrappers.atari_preprocessing.cv2", None, raising=False)
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match=r"pip install 'kagent\[atari\]'"):
        kagent.DQN("ALE/Pong-v5")


def test_an_unknown_game_is_refused():
    with pytest.raises(
        ValueError, match=r"Unknown environment id. Received: 'ALE/Pongo-v5'. Did you mean 'ALE/Pong-v5'"
    ):
        kagent.DQN("ALE/Pongo-v5")


def test_an_agent_stores_single_frames_and_the_game_s_rewards_are_logged():
    agent = kagent.DQN("ALE/Pong-v5", memory=200, start=150, batch_size=8, seed=0)
    agent.fit("ALE/Pong-v5", steps=40, verbose=0)
    assert isinstance(agent.memory.storage, FramedStorage)
    assert agent.memory.storage.pools["observation.0"].used <= 40 + 4
    assert agent.act(np.zeros((4, 84, 84), np.uint8)) in range(6)


def test_all_games_share_their_settings():
    assert tuned.load("dqn", "ALE/Seaquest-v5") == tuned.load("dqn", "PongNoFrameskip-v4") == tuned.load("dqn", "ALE/*")
    assert tuned.load("dqn", "ALE/Pong-v5")["preprocessing"]["reward"] == {
        "type": "clipping",
        "lower": -1.0,
        "upper": 1.0,
    }
    assert tuned.load("sac", "ALE/Pong-v5") is None
