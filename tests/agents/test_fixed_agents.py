"""Agents that learn nothing: Random and Constant."""

import gymnasium
import numpy as np
import pytest
import scipy.stats
from toy_envs import Identity

import kagent

SPACES = gymnasium.spaces
OBSERVATION = SPACES.Box(-1.0, 1.0, (2,))
ZERO = np.zeros(2, np.float32)
INF = np.inf
NESTED = SPACES.Dict(
    bits=SPACES.MultiBinary(3),
    free=SPACES.Box(-INF, INF, (2,)),
    half=SPACES.Box(np.float32([2.0, -INF]), np.float32([INF, -3.0])),
    many=SPACES.MultiDiscrete([2, 4], start=[5, -1]),
    mode=SPACES.Discrete(3, start=-1),
    pair=SPACES.Tuple((SPACES.Box(-1.0, 3.0, ()), SPACES.Box(0, 255, (1,), np.uint8))),
)


def make(kind, action, observation=OBSERVATION, **arguments):
    return getattr(kagent, kind)(observation_space=observation, action_space=action, seed=0, **arguments)


@pytest.mark.parametrize("kind", ["Random", "Constant"])
def test_full_agents(kind, tmp_path):
    made = kagent.Agent.create(kind.lower(), "CartPole-v1", seed=3)
    assert type(made) is getattr(kagent, kind) and made.actor.is_numpy and not made.trainable_variables
    history = made.fit("CartPole-v1", steps=200, verbose=0, n_envs=3)
    assert made.timesteps >= 200 and made.episodes > 0 and made.updates == 0
    assert history.history["episodes"][-1] == made.episodes
    first, second = (made.evaluate("CartPole-v1", episodes=5) for _ in range(2))
    assert first == second
    made.save(tmp_path / "agent.keras")
    again = kagent.load(tmp_path / "agent.keras")
    assert type(again) is type(made) and again.get_config() == made.get_config()
    assert (again.timesteps, again.episodes) == (made.timesteps, made.episodes)
    observation = np.zeros(4, np.float32)
    for deterministic in (False, True):
        acted = [[a.act(observation, deterministic, independent=True) for _ in range(40)] for a in (made, again)]
        assert acted[0] == acted[1] and len(set(acted[0])) == (2 if kind == "Random" else 1)
    assert kagent.acting.load(tmp_path / "agent.keras", seed=0).act(observation) in (0, 1)
    made.act(observation)
    assert made.observe(1.0, False, False, observation) is None
    with pytest.raises(RuntimeError, match=f"{kind} learns nothing"):
        made.update()


def test_the_seed_decides():
    acted = [[make("Random", SPACES.Discrete(50)).act(ZERO) for _ in range(1)] for _ in range(2)]
    assert acted[0] == acted[1]
    other = kagent.Random(observation_space=OBSERVATION, action_space=SPACES.Discrete(2**20), seed=1)
    assert make("Random", SPACES.Discrete(2**20)).act(ZERO) != other.act(ZERO)


@pytest.mark.sensitive
@pytest.mark.parametrize("deterministic", [False, True])
def test_random_actions(deterministic):
    made = make("Random", NESTED)
    actions = [made.act(ZERO, deterministic, independent=True) for _ in range(4000)]
    assert all(NESTED.contains(action) for action in actions[:200])
    assert scipy.stats.chisquare(np.bincount([a["mode"] + 1 for a in actions], minlength=3)).pvalue > 1e-5
    bits, many, half = (np.stack([a[key] for a in actions]) for key in ("bits", "many", "half"))
    np.testing.assert_allclose(bits.mean(0), 0.5, atol=0.05)  # six deviations
    assert scipy.stats.chisquare(np.bincount(many[:, 1] + 1, minlength=4)).pvalue > 1e-5
    uniform = (np.array([a["pair"][0] for a in actions]) + 1.0) / 4.0
    free = np.stack([a["free"] for a in actions]).ravel()
    for draws, distribution in (
        (uniform, "uniform"), (free, "norm"), (half[:, 0] - 2.0, "expon"), (-3.0 - half[:, 1], "expon")
    ):  # fmt: skip
        assert scipy.stats.kstest(draws.astype(float), distribution).pvalue > 1e-5


def test_a_random_agent_has_no_best_action():
    with pytest.raises(NotImplementedError, match="no best action"):
        make("Random", SPACES.Discrete(3))(ZERO[None])


@pytest.mark.parametrize("kind", ["Random", "Constant"])
@pytest.mark.parametrize("masks", ["info", "observation"])
def test_masks(kind, masks):
    space = SPACES.Dict(a=SPACES.Discrete(4, start=1), b=SPACES.MultiDiscrete([2, 3]), c=SPACES.MultiBinary(2))
    env = Identity(space, masks=masks)  # refuses what it forbade
    made = make(kind, space, env.observation_space)
    made.fit(env, steps=200, verbose=0)
    made.evaluate(env, episodes=3, deterministic=False)


def test_defaults_of_a_constant():
    action = make("Constant", NESTED).act(ZERO)
    assert NESTED.contains(action)
    np.testing.assert_array_equal(action["bits"], [0, 0, 0])
    np.testing.assert_array_equal(action["free"], [0.0, 0.0])
    np.testing.assert_array_equal(action["half"], [2.0, -3.0])
    np.testing.assert_array_equal(action["many"], [5, -1])
    assert action["mode"] == -1 and action["pair"][0] == 1.0 and action["pair"][1] == [128]


def test_given_values():
    values = {"bits": [True, False, True], "free": 7, "many": [6, 0], "mode": np.int64(1), "pair/0": 2.5}
    made = make("Constant", NESTED, action_values=values)
    for deterministic in (False, True):
        action = made.act(ZERO, deterministic=deterministic)
        np.testing.assert_array_equal(action["bits"], [1, 0, 1])
        np.testing.assert_array_equal(action["free"], [7.0, 7.0])
        np.testing.assert_array_equal(action["half"], [2.0, -3.0])
        np.testing.assert_array_equal(action["many"], [6, 0])
        assert action["mode"] == 1 and action["pair"][0] == 2.5
    graph = made(ZERO[None])
    np.testing.assert_array_equal(graph["many"], [[6, 0]])
    np.testing.assert_array_equal(graph["free"], [[7.0, 7.0]])


@pytest.mark.parametrize("given", [2, {"action": 2}, np.array(2)])
def test_a_bare_value(given):
    assert make("Constant", SPACES.Discrete(3), action_values=given).act(ZERO) == 2


def test_the_first_allowed_value():
    free, given = make("Constant", SPACES.Discrete(3)), make("Constant", SPACES.Discrete(3), action_values=2)
    for mask, first, chosen in (
        ([1, 1, 1], 0, 2), ([0, 1, 1], 1, 2), ([0, 0, 1], 2, 2), ([0, 1, 0], 1, 1), ([1, 1, 0], 0, 0)
    ):  # fmt: skip
        mask = np.array(mask, np.int8)
        for deterministic in (False, True):
            assert free.act(ZERO, deterministic, mask, independent=True) == first
            assert given.act(ZERO, deterministic, mask, independent=True) == chosen


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": 2}, r"`action_values\['mode'\]` must be integers from -1 to 1. Received: 2"),
        ({"mode": 0.5}, "must be integers from -1 to 1"),
        ({"many": [7, 0]}, r"must be integers from \[5, -1\] to \[6, 2\]"),
        ({"bits": 2}, "must be integers from"),
        ({"half": [1.9, -3.0]}, r"`action_values\['half'\]` must be finite numbers from \[2.0, -inf\]"),
        ({"free": np.nan}, "must be finite numbers"),
        ({"free": np.inf}, "must be finite numbers"),
        ({"pair/0": 3.01}, "from -1.0 to 3.0. Received: 3.01"),
        ({"pair/1": 0.5}, "must be integers from"),
        ({"free": [1.0, 2.0, 3.0]}, r"must be of shape \(2,\), or one number"),
        ({"leg": 1.0}, r"`action_values` names no such action. Received: \['leg'\]. Known: \['bits'"),
        (3.0, r"names no such action. Received: \['action'\]"),
    ],
)
def test_values_outside_the_action_space(values, message):
    with pytest.raises(ValueError, match=message):
        make("Constant", NESTED, action_values=values)


@pytest.mark.parametrize("values", ["2", {"mode": None}, {"mode": "left"}, {"free": [1.0, "x"]}])
def test_values_that_are_no_numbers(values):
    with pytest.raises(TypeError, match="must be numbers"):
        make("Constant", NESTED, action_values=values)
