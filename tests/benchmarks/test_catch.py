"""The task that is learned from pixels: what is seen, and the best return."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import kagent
from benchmarks.learning_cells import TASKS, settings_of

ID = TASKS["dqn-catch"].environment


def play(decide, seed):
    env, returned, steps = gymnasium.make(ID), 0.0, 0
    image, _ = env.reset(seed=seed)
    over = False
    while not over:
        image, reward, terminated, over, _ = env.step(decide(image))
        returned, steps = returned + reward, steps + 1
        assert not terminated and (reward == 0.0 or steps % 9 == 0)
    assert steps == 90
    return returned


def below(image):
    """Goes to where the ball falls."""
    ball, paddle = np.argwhere(image[:-1, :, 0])[0][1], np.argwhere(image[-1, :, 0])[-1][0]
    return 1 + np.sign(ball - paddle)


def test_every_ball_can_be_caught_and_standing_still_catches_a_tenth():
    assert [play(below, seed) for seed in range(20)] == [10.0] * 20
    assert 0.3 < np.mean([play(lambda image: 1, seed) for seed in range(40)]) < 1.7  # of 400 balls 40, and 4 times 6


def test_the_image_has_the_ball_and_the_paddle():
    env = gymnasium.make(ID).unwrapped
    check_env(env, skip_render_check=True)
    image, _ = env.reset(seed=3)
    env._paddle, env._row, env._column = 0, 7, 4
    for action, row, column in ((0, 8, 0), (2, None, 1)):  # at the wall it stays
        image, reward, *_ = env.step(action)
        assert image[9, column] == 255 and (row is None or image[row, 4] == 255) and image.sum() == 2 * 255
        assert reward == 0.0
    env._paddle, env._row, env._column = 3, 8, 4
    assert env.step(2)[1] == 1.0


@pytest.mark.parametrize("name", ["dqn-catch", "ppo-catch"])
def test_settings_beside_a_cell_make_an_agent_for_images(name):
    settings = settings_of(TASKS[name])
    fit = settings.pop("fit")
    agent = kagent.Agent.create(name.partition("-")[0], ID, **settings)
    assert agent.observation_space.shape == (10, 10, 1) and fit["steps"] >= 30_000
    assert settings_of(TASKS[name])["fit"] == fit  # a fresh dict each time
    assert (
        TASKS["ppo-cartpole"].environment == "CartPole-v1" and settings_of(TASKS["ppo-cartpole"])["fit"]["n_envs"] == 8
    )
