"""experience: episodes from elsewhere, whole and checked."""

import gymnasium
import keras
import numpy as np
import pytest

from kagent import DQN, PPO, RewardEstimation

BOX = gymnasium.spaces.Box(-10, 10, (2,))
SPACES = {"observation_space": BOX, "action_space": gymnasium.spaces.Discrete(3)}
STATES = [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]]
GIVEN = {
    "states": STATES, "actions": [0, 1, 2, 0, 1], "terminal": [0, 1, 0, 0, 2], "reward": [0.0, 1.0, 2.0, 3.0, 4.0],
    "final_states": [[1.5, 0], [4.5, 0]],
}  # fmt: skip


def dqn(**changes):
    plain = {} if "reward_estimation" in changes else {"horizon": 0}
    agent = DQN(**{**SPACES, "memory": 100, "batch_size": 4, "frequency": "never", "seed": 1, **plain, **changes})
    agent.compile(jit_compile=False)
    return agent


def test_what_is_given_is_remembered():
    agent = dqn()
    agent.experience(**GIVEN)
    views = agent.memory.storage.views
    np.testing.assert_array_equal(views["observation.0"][:5], STATES)
    np.testing.assert_array_equal(views["next_observation.0"][:5, 0], [1, 1.5, 3, 4, 4.5])
    np.testing.assert_array_equal(views["action.0"][:5], GIVEN["actions"])
    np.testing.assert_array_equal(views["terminated"][:5], [0, 1, 0, 0, 0])
    np.testing.assert_array_equal(views["truncated"][:5], [0, 0, 0, 0, 1])
    assert (agent.timesteps, agent.episodes, agent.updates) == (5, 2, 0)
    assert "loss" in agent.update() and agent.updates == 1


def test_what_preprocessing_changes_the_shape_of_is_remembered_as_it_is_learned():
    agent = dqn(preprocessing=[{"type": "sequence", "length": 2, "concatenate": False, "axis": 0}])
    agent.experience(**GIVEN)
    found = agent.memory.storage.views["observation.0"][:5]
    assert found.shape == (5, 2, 2) and found[1].tolist() == [[0, 0], [1, 0]] and found[2].tolist() == [[2, 0], [2, 0]]
    assert "loss" in agent.update()


def test_act_experience_update():
    agent = dqn()
    for _ in range(3):
        states = np.zeros((4, 2))
        actions = [agent.act(state, independent=True) for state in states]
        agent.experience(states, actions, [False, False, False, True], np.ones(4), internals={})
    assert (agent.timesteps, agent.episodes, len(agent.memory)) == (12, 3, 12)
    agent.update()


def test_nested_spaces_and_masks():
    actions = gymnasium.spaces.Dict({"go": gymnasium.spaces.Discrete(2), "turn": gymnasium.spaces.Box(-1, 1, (1,))})
    states = gymnasium.spaces.Dict({"eye": BOX, "gear": gymnasium.spaces.Discrete(5, start=1)})
    agent = PPO(observation_space=states, action_space=actions, n_steps=4, batch_size=4, seed=1)
    agent.compile(jit_compile=False)
    agent.experience(
        states={"eye": np.zeros((3, 2)), "gear": [1, 2, 5]},
        actions={"go": [0, 1, 1], "turn": [[0.5], [-1.0], [1.0]]},
        terminal=[False, False, True],
        reward=[1, 2, 3],
        masks={"go": [[True, False], [True, True], [False, True]], "turn": None},
    )
    views = agent.memory.storage.views
    np.testing.assert_array_equal(views["observation.1"][:3], [0, 1, 4])
    np.testing.assert_array_equal(views["action_mask.0"][:3], [[1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(views["action.1"][:3], [[0.5], [-1.0], [1.0]])
    with pytest.raises(ValueError, match=r"at most 1 timesteps, the rollout's room. Received: 2"):
        agent.experience(
            {"eye": np.zeros((2, 2)), "gear": [1, 2]}, {"go": [0, 1], "turn": [[0.5], [0.0]]}, [0, 1], [1, 2],
            masks={"go": [[True, True]] * 2, "turn": None},
        )  # fmt: skip
    assert (agent.timesteps, len(agent.memory)) == (3, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terminal": [0, 1, 0, 0, 0]}, "`terminal` must not be 0 at the last timestep"),
        ({"terminal": [0, 1, 0, 0, 3]}, "`terminal` must be"),
        ({"terminal": []}, "`terminal` must be"),
        ({"final_states": None}, "`final_states` is needed where an episode was cut off"),
        ({"final_states": [[1.5, 0]]}, "final_observation"),
        ({"states": STATES[:4]}, "'observation' must be"),
        ({"states": [[0.0]] * 5}, "'observation' must be"),
        ({"states": [[np.nan, 0]] * 5}, "'observation' must be finite"),
        ({"states": {"eye": STATES}}, "`states` must be nested|'observation' must be|`states`"),
        ({"actions": [0, 1, 2, 0, 3]}, "'action' must be from 0 to 2. Received: 3"),
        ({"actions": [0, 1, 2, 0, -1]}, "'action' must be from 0 to 2. Received: -1"),
        ({"actions": [0.5, 1, 2, 0, 1]}, "whole numbers are needed"),
        ({"actions": [0, 1]}, "'action' must be"),
        ({"reward": [np.inf, 0, 0, 0, 0]}, "'reward' must be finite"),
        ({"reward": [0, -1e300, 0, 0, 0]}, r"'reward' must be finite. Received: -1e\+300 at \[1\]"),
        (
            {"states": [[0, 1e300]] * 5},
            r"`states`.*finite float32 is needed of 'states' at \[0, 1\]. Received: 1e\+300",
        ),
        ({"reward": "many"}, "`reward` must be numbers"),
        ({"masks": [[True, False, False]] * 5}, "must be allowed by 'action_mask'"),
        ({"masks": [[False] * 3] * 5}, "True for at least one value"),
        ({"internals": {"h": 1}}, "`internals` must be None"),
    ],
)
def test_mistakes_are_named_and_nothing_is_remembered(changes, message):
    agent = dqn()
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        agent.experience(**{**GIVEN, **changes})
    assert (agent.timesteps, agent.episodes) == (0, 0) and not (agent.memory.built and len(agent.memory))


@pytest.mark.eager
def test_an_end_that_is_estimated_must_be_given():
    """max Q([3, 0]) = 9 at the end, so that the target is 1 + 9 / 2; Q([1, 0], 0) is 1."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    estimation = RewardEstimation(discount=0.5, estimate_terminal=True)
    agent = dqn(network=network, reward_estimation=estimation, batch_size=1, huber=None)
    for role in (agent.policy, agent.target_policy):
        role.set_weights([np.array([[1, 2, 3], [0, 0, 0]]), np.zeros(3)])
    given = {"states": [[1.0, 0.0]], "actions": [0], "terminal": [1], "reward": [1.0]}
    with pytest.raises(ValueError, match=r"`final_states` is needed where an episode ends.*estimate_terminal=True"):
        agent.experience(**given)
    assert agent.timesteps == 0
    agent.experience(**given, final_states=[[3.0, 0.0]])
    assert agent.update()["loss"] == pytest.approx((5.5 - 1) ** 2 / 2)


def test_not_within_an_episode():
    agent = dqn()
    agent.act(np.zeros(2))
    with pytest.raises(RuntimeError, match="one of `act` and `observe` is under way"):
        agent.experience(**GIVEN)
    agent.observe(0.0, terminal=True)
    agent.experience(**GIVEN)
    assert agent.timesteps == 6
