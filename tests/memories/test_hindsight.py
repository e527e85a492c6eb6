"""Hindsight: goals and rewards by hand, windows against a slow walk, environments in all modes, files, refusals, learning."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from agent_states import differences, state_of
from goal_envs import BitFlipping, Reach, Walk
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import kagent
from kagent import RewardEstimation, Update
from kagent.environments.goals import GoalFunction
from kagent.memories import Hindsight
from kagent.schedules import Clock

pytestmark = pytest.mark.eager

LINE = spaces.Box(-np.inf, np.inf, (1,), np.float32)
OBSERVATION = spaces.Dict(observation=LINE, achieved_goal=LINE, desired_goal=LINE)
DQN = {
    "network": {"type": "mlp", "units": [256]}, "learning_rate": 1e-3, "discount": 0.98, "batch_size": 128, "start": 500,
    "frequency": 2, "horizon": 0, "target_update_period": 500,
    "exploration": {"type": "EpsilonGreedy", "fraction": 0.5, "final": 0.05},
}  # fmt: skip
SAC = {"network": {"type": "mlp", "units": [64, 64]}, "learning_rate": 1e-3, "discount": 0.95, "start": 500}
SMALL = {"network": {"type": "mlp", "units": [4]}, "batch_size": 4, "start": 8, "seed": 0}
PLAIN = {**SMALL, "horizon": 0}  # of DQN: a transition is one timestep


def distance(achieved, desired, info):
    return -np.abs(achieved - desired).sum(-1)


def reached(achieved, desired, info):
    return (achieved == desired).all(-1)


def built(capacity=100, masked=False, num_envs=1, ends=True, estimation=None, **arguments):
    functions = {"compute_reward": distance, **({"compute_terminated": reached} if ends else {})}
    memory = Hindsight(capacity, **{**functions, **arguments})
    if estimation is not None:
        memory.configure(Update(batch_size=1, frequency=1, steps=1), RewardEstimation(**estimation), Clock)
    memory.build(OBSERVATION, spaces.Discrete(30), masked=masked, num_envs=num_envs)
    return memory


def put(memory, places, goal=9.0, terminated=False, ended=True):
    """An episode through these places. Step k takes action k."""
    for k, (here, there) in enumerate(itertools.pairwise(places)):
        last = ended and k == len(places) - 2
        before, after = ({"observation": [x], "achieved_goal": [x], "desired_goal": [goal]} for x in (here, there))
        reward = float(distance(np.float32([there]), np.float32([goal]), {}))
        memory.append(before, k, reward, terminated and last, last and not terminated, after)


def drawn(memory, count=300, seed=0):
    batch = next(iter(memory.dataset(count, seed=seed))) if count <= memory.capacity else None
    if batch is None:
        batch = next(iter(memory.dataset(1, steps=count, seed=seed)))
    return {
        "at": np.ravel(batch["observation"]["observation"]), "goal": np.ravel(batch["observation"]["desired_goal"]),
        "next": np.ravel(batch["next_observation"]["observation"]),
        "next_goal": np.ravel(batch["next_observation"]["desired_goal"]),
        **{name: np.ravel(batch[name]) for name in ("reward", "terminated", "truncated", "action")},
        **({"discount": np.ravel(batch["discount"])} if "discount" in batch else {}),
    }  # fmt: skip


def rows(found, *names):
    return set(zip(*(found[name].tolist() for name in names)))


# By hand -----------------------------------------------------------------------------------------------------------


def test_the_last_place_is_the_goal_by_hand():
    memory = built(strategy="final", n_sampled_goals=3)
    put(memory, [0, 1, 3, 6])
    found = drawn(memory)
    # Place, goal, reward, whether it ended, where it led: with the goal 6 that was reached, and with the desired 9.
    assert rows(found, "at", "goal", "reward", "terminated", "next") == {
        (0, 6, -5, False, 1), (1, 6, -3, False, 3), (3, 6, 0, True, 6),
        (0, 9, -8, False, 1), (1, 9, -6, False, 3), (3, 9, -3, False, 6),
    }  # fmt: skip
    assert (found["goal"] == found["next_goal"]).all()
    assert rows(found, "at", "action", "truncated") == {(0, 0, False), (1, 1, False), (3, 2, True)}


def test_where_goals_come_from_by_hand():
    pairs = {"future": {(0, 1), (0, 3), (0, 6), (1, 3), (1, 6), (3, 6)}, "final": {(0, 6), (1, 6), (3, 6)}}
    pairs["episode"] = {(place, goal) for place in (0, 1, 3) for goal in (1, 3, 6)}
    for strategy, expected in pairs.items():
        memory = built(strategy=strategy)
        put(memory, [100, 101, 102])  # of another episode no goal is taken
        put(memory, [0, 1, 3, 6])
        found = drawn(memory, 600)
        own = {(at, goal) for at, goal in rows(found, "at", "goal") if at < 100 and goal != 9}
        assert own == expected, strategy


@pytest.mark.sensitive
def test_how_often_goals_are_exchanged(seed_shift):
    for count, part in ((4, 0.8), (1, 0.5), (0, 0.0)):
        memory = built(n_sampled_goals=count, compute_reward=distance if count else None)
        put(memory, range(30), goal=-1.0)
        found = drawn(memory, 3000, seed=seed_shift)
        assert abs((found["goal"] != -1).mean() - part) < 0.05
        if count == 4:  # of all later places alike, and of all rows
            first = found["goal"][(found["at"] == 26) & (found["goal"] != -1)]
            assert set(first) == {27, 28, 29} and (np.bincount(first.astype(int))[27:] > len(first) / 6).all()


def test_without_compute_terminated_ends_stay_as_they_were():
    memory = built(ends=False)
    put(memory, [0, 1, 2], terminated=True)
    assert rows(drawn(memory), "at", "terminated") == {(0, False), (1, True)}


@pytest.mark.parametrize("horizon", [1, 2, "episode"])
@pytest.mark.parametrize("ends", [True, False])
def test_windows_equal_a_slow_walk(horizon, ends):
    memory = built(ends=ends, estimation={"horizon": horizon, "discount": 0.5})
    episodes = [[0, 1, 3, 3, 6, 4, 7], [50, 52], [100, 101, 100, 102]]
    for k, episode in enumerate(episodes):
        put(memory, episode, goal=9.0 + k, terminated=k == 2)
    found = drawn(memory, 500)
    several = 0
    for i in range(500):
        goal, n, total, m = found["goal"][i], int(found["action"][i]), 0.0, 0
        k = next(k for k, episode in enumerate(episodes) if found["at"][i] // 50 == episode[0] // 50)
        episode = episodes[k]
        assert episode[n] == found["at"][i]
        while True:
            there = episode[n + m + 1]
            total += 0.5**m * -abs(there - goal)
            last = n + m + 2 == len(episode)
            over = (there == goal) if ends and goal != 9 + k else (k == 2 and last)
            m += 1
            if over or last or (horizon != "episode" and m == horizon + 1):
                break
        several += m > 1
        expected = (total, there, over, 0.5**m, last and k != 2)
        got = tuple(found[name][i] for name in ("reward", "next", "terminated", "discount", "truncated"))
        np.testing.assert_allclose(np.float64(got), np.float64(expected), rtol=1e-6)
        assert found["next_goal"][i] == goal
    assert several > 100


def test_goals_of_all_kinds_come_in_the_environments_own_form():
    kinds = {
        "discrete": (spaces.Discrete(5, start=2), 3, 4), "binary": (spaces.MultiBinary(2), [0, 1], [1, 1]),
        "bytes": (spaces.Box(0, 255, (2,), np.uint8), [0, 255], [3, 7]),
    }  # fmt: skip
    for name, (space, one, other) in kinds.items():
        seen = []

        def compute(achieved, desired, info, seen=seen):
            seen.append((np.asarray(achieved), np.asarray(desired)))
            return float(np.array_equal(achieved, desired))

        memory = Hindsight(10, "final", compute_reward=compute)
        memory.build(spaces.Dict(achieved_goal=space, desired_goal=space), spaces.Discrete(2))
        memory.append(
            {"achieved_goal": one, "desired_goal": other}, 0, 0.0, False, True,
            {"achieved_goal": one, "desired_goal": other},
        )  # fmt: skip
        seen.clear()
        batch = next(iter(memory.dataset(1, steps=40)))
        assert {tuple(np.ravel(goal)) for goal in batch["observation"]["desired_goal"].numpy()} == {
            tuple(np.ravel(np.asarray(value) - (2 if name == "discrete" else 0))) for value in (one, other)
        }
        single = [(a, d) for a, d in seen if a.shape == space.shape]  # but for a look whether it takes many rows
        assert len(single) > 20 and all(a.dtype == space.dtype for a, _ in seen)
        assert all(np.array_equal(a, one) and np.array_equal(d, one) for a, d in single)


# The function of the environment ------------------------------------------------------------------------------------


def test_whether_a_function_takes_many_rows_is_decided_once():
    calls = []

    def counted(achieved, desired, info):
        calls.append(np.shape(achieved))
        return distance(achieved, desired, info)

    function, goals = GoalFunction(counted, "f"), np.arange(6.0).reshape(3, 2)
    assert function(goals[:1], goals[:1] + 1).tolist() == [-2.0] and function.vectorized is None
    assert function(goals, goals + 1).tolist() == [-2.0] * 3 and function.vectorized
    calls.clear()
    function(goals, goals)
    assert calls == [(3, 2)]
    for single in (
        lambda a, d, i: float(np.linalg.norm(a - d)),  # of all rows together, one number
        lambda a, d, i: -1.0 if (a == d).all() else 0.0,
        lambda a, d, i: {0.0: 1.0}.get(float(a[0]), 0.0),  # fails
        lambda a, d, i: np.full(len(np.atleast_2d(a)), float(np.sum(a))),  # of the right shape, and wrong
        lambda a, d, i: np.full(
            len(np.atleast_2d(a)), -float((a != d).any())
        ),  # wrong only where one of them reached its goal
    ):
        function = GoalFunction(single, "f")
        assert function(goals, goals + 1).tolist() == [float(np.ravel(single(a, a + 1, {}))[0]) for a in goals]
        assert function.vectorized is False


def test_a_function_that_gives_no_number_is_refused():
    goals = np.zeros((2, 1))
    with pytest.raises(ValueError, match=r"`f` must give one number for a goal. Received: shape \(2,\)"):
        GoalFunction(lambda a, d, i: np.zeros(2), "f")(goals, goals)
    with pytest.raises(
        ValueError, match=r"`f` must give a number that is finite as float32 for each of 2 goals. Received: .*nan"
    ):
        GoalFunction(lambda a, d, i: np.nan, "f")(goals, goals)
    with pytest.raises(ValueError, match=r"finite as float32 for each of 2 goals. Received: .*1\.?e\+39"):
        GoalFunction(lambda a, d, i: np.full(np.shape(a)[:-1], 1e39), "f")(goals, goals)
    with pytest.raises(ValueError, match=r"`f` must give a number .* Received: .*abc"):
        GoalFunction(lambda a, d, i: "abc", "f")(goals, goals)
    with pytest.raises(KeyError) as caught:
        GoalFunction(lambda a, d, i: i["contact"], "f")(goals, goals)
    assert "its `info` is an empty dict" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="must be a function"):
        Hindsight(10, compute_reward=3)


def test_rewards_that_are_not_those_of_the_function_are_said():
    agent = kagent.DQN(Walk, memory=Hindsight(100), **PLAIN)
    with pytest.warns(UserWarning, match="-2 came where that gives -1|-4 came where that gives -2|-6 came"):
        agent.fit(lambda: Walk(pays=2.0), steps=7, verbose=0)


# Environments -------------------------------------------------------------------------------------------------------


def check_walks(memory):
    """All that is drawn was walked, with rewards of the goals that it has."""
    found = drawn(memory, 400)
    assert (np.abs(found["next"] - found["at"]) <= 1).all()  # 100 lie between episodes
    assert (found["reward"] == -np.abs(found["next"] - found["goal"])).all()
    assert (found["terminated"] == (found["next"] == found["goal"])).all()
    assert (found["goal"] // 100 == found["at"] // 100).all()
    changed = found["goal"] % 100 != 3
    assert (found["goal"] >= found["next"]).all() and changed.any()
    return found


@pytest.mark.parametrize("mode", ["one", "three", *AutoresetMode])
def test_environments_of_every_kind(mode):
    sources = {"one": (Walk, 1), "three": (Walk, 3)}
    count = sources[mode][1] if mode in sources else 2
    source = sources[mode][0] if mode in sources else SyncVectorEnv([Walk] * 2, autoreset_mode=mode)
    agent = kagent.DQN(Walk, memory=Hindsight(60), **{**PLAIN, "start": 1000})
    agent.fit(source, steps=120, n_envs=count, verbose=0)
    check_walks(agent.memory)
    assert 40 < len(agent.memory) <= 60
    agent.fit(Walk, steps=4, verbose=0)  # with other numbers of environments the memory stays
    assert 40 < len(agent.memory) <= 60


@pytest.mark.parametrize("capacity", [5, 7])
def test_episodes_longer_than_the_capacity_are_kept_in_parts(capacity):
    agent = kagent.DQN(Walk, memory=Hindsight(capacity), **{**PLAIN, "exploration": 0.0})
    agent.fit(lambda: Walk(lengths=(50,)), steps=120, verbose=0)
    assert agent.gradient_steps == (120 - 8) // 4 + 1 and 0 < len(agent.memory) <= capacity
    check_walks(agent.memory)


def test_capacity_one():
    memory = built(1, n_sampled_goals=1)
    put(memory, [0, 1, 2, 3], ended=False)
    assert len(memory) == 1  # the newest complete part; the newest timestep is open
    assert rows(drawn(memory), "at", "goal", "reward") == {(1, 9, -7), (1, 2, 0)}


PRESETS = {
    "DQN": (BitFlipping, {}), "Rainbow": (BitFlipping, {"atoms": 3, "low": -3.0}), "QRDQN": (BitFlipping, {"horizon": 2}),
    "TD3": (Reach, {}), "SAC": (Reach, {"reward_estimation": {"horizon": 2, "discount": 0.9}}),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name if name in ("QRDQN", "SAC") else pytest.param(name, marks=pytest.mark.thorough) for name in PRESETS]
)
def test_presets_learn_from_it(name):
    env, arguments = PRESETS[name]
    agent = getattr(kagent, name)(env, memory={"type": "hindsight", "capacity": 200}, **{**SMALL, **arguments})
    agent.compile(run_eagerly=True)
    history = agent.fit(env, steps=60, n_envs=2, verbose=0).history
    assert agent.gradient_steps > 0 and np.isfinite(history["loss"][-1])
    config = agent.get_config()["memory"]
    assert (config["type"], config["strategy"], config["n_sampled_goals"]) == ("Hindsight", "future", 4)


# Files --------------------------------------------------------------------------------------------------------------


def test_stopped_and_resumed_is_uninterrupted(tmp_path):
    def made():
        memory = Hindsight(30)
        agent = kagent.DQN(BitFlipping, memory=memory, reward_estimation={"horizon": 1, "discount": 0.9}, **SMALL)
        agent.compile(run_eagerly=True)
        return agent

    whole, first, resumed = made(), made(), made()
    for agent, steps in ((whole, 33), (whole, 20), (first, 33)):
        agent.fit(BitFlipping, steps=steps, verbose=0)
    first.save_weights(tmp_path / "first.weights.h5")
    resumed.load_weights(tmp_path / "first.weights.h5")
    with pytest.raises(ValueError, match=r"`memory\.compute_reward` is needed"):
        resumed.update()
    resumed.fit(BitFlipping, steps=20, verbose=0)
    assert differences(state_of(resumed), state_of(whole)) == []


# Preprocessing ------------------------------------------------------------------------------------------------------


def test_other_states_and_rewards_may_be_processed():
    """The place is standardized by what came, not by what is drawn; rewards of other goals are clipped as those that came."""
    layers = {"observation": "running_normalization", "reward": {"type": "clipping", "lower": -1.5, "upper": -0.5}}
    agent = kagent.DQN(Walk, memory=Hindsight(100), preprocessing=layers, **PLAIN)
    agent.compile(run_eagerly=True)
    agent.fit(Walk(), steps=40, verbose=0)
    batch = next(iter(agent.memory.dataset(100)))
    achieved = np.ravel(batch["next_observation"]["achieved_goal"])
    goal, seen = (np.ravel(batch["observation"][name]) for name in ("desired_goal", "observation"))
    assert np.abs(seen).max() <= 10 < achieved.max()
    np.testing.assert_allclose(batch["reward"], np.clip(-np.abs(achieved - goal), -1.5, -0.5))
    assert set(np.ravel(batch["reward"])) == {-0.5, -1.0, -1.5}
    (place,) = [made for made in agent.preprocessing.pipelines if made is not None]
    assert float(place.statistics[0]["weight"]) == 41 + agent.episodes  # each observation once, first ones too


# Refusals -----------------------------------------------------------------------------------------------------------


class Silent(Walk):
    compute_reward = None

    def reset(self, **kwargs):
        raise AssertionError("it was stepped")


def test_what_it_cannot_do_is_refused_by_name():
    for arguments, message in (
        ({"strategy": "last"}, r"`memory\.strategy` must be one of future, final, episode. Received: 'last'"),
        ({"n_sampled_goals": -1}, r"`memory\.n_sampled_goals` must be"),
        ({"capacity": 0}, r"`memory\.capacity` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            Hindsight(**{"capacity": 10, **arguments})
    with pytest.raises(ValueError, match="needs observations that are a Dict with 'achieved_goal' and 'desired_goal'"):
        kagent.DQN("CartPole-v1", memory=Hindsight(100), **SMALL)
    with pytest.raises(ValueError, match="`memory` Hindsight hands out single timesteps, and a recurrent network"):
        kagent.DQN(Walk, memory=Hindsight(100), **{**SMALL, "network": {"units": [4], "rnn": 4}})
    other = spaces.Dict(achieved_goal=LINE, desired_goal=spaces.Box(-1, 1, (2,)))
    with pytest.raises(ValueError, match="must have the same shape"):
        kagent.DQN(observation_space=other, action_space=spaces.Discrete(2), memory=Hindsight(100), **SMALL)
    with pytest.raises(ValueError, match=r"must leave goals as they are.*changes achieved_goal and desired_goal"):
        kagent.DQN(Walk, memory=Hindsight(100), normalize=True, **SMALL)
    with pytest.raises(ValueError, match=r"must be a function of single rewards.*ReturnNormalization"):
        kagent.DQN(Walk, memory=Hindsight(100), normalize="reward", **SMALL)
    with pytest.raises(ValueError, match=r"estimate_horizon.*Received: 'early'"):
        kagent.DQN(
            Walk, memory=Hindsight(100), reward_estimation={"estimate_horizon": "early", "discount": 0.9}, **SMALL
        )
    agent = kagent.DQN(Walk, memory=Hindsight(100), **PLAIN)
    with pytest.raises(
        ValueError, match=r"needs the environment's `compute_reward\(achieved_goal, desired_goal, info\)`"
    ):
        agent.fit(Silent(), steps=10, verbose=0)
    agent.memory.compute_reward = distance
    agent.fit(gymnasium.wrappers.TimeLimit(Walk(), 9), steps=10, verbose=0)


# Learning -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.learning
def test_bit_flipping_is_learned_with_hindsight_and_not_without():
    found = {}
    for goals in (4, 0):
        agent = kagent.DQN(BitFlipping, memory=Hindsight(100_000, n_sampled_goals=goals), seed=0, **DQN)
        agent.fit(BitFlipping, steps=20_000, verbose=0)
        returns = agent.evaluate(BitFlipping, episodes=200)["episode_returns"]
        found[goals] = np.mean(np.asarray(returns) > -10)
    assert found[4] >= 0.95 and found[0] < 0.1, found


@pytest.mark.slow
@pytest.mark.learning
def test_a_point_reaches_its_goals():
    agent = kagent.SAC(Reach, memory=Hindsight(100_000), seed=0, **SAC)
    agent.fit(Reach, steps=6_000, verbose=0)
    returns = agent.evaluate(Reach, episodes=200)["episode_returns"]
    assert np.mean(np.asarray(returns) >= -15) >= 0.95  # of 25 steps, of which the longest way takes 10
