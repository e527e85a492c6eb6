"""Environments with one fault each, and what is said of it."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Counter, Identity

import kagent
from kagent import testing
from kagent.diagnosis import check_environment, random_returns
from kagent.diagnosis.random_play import fresh
from kagent.environments import make


class Walk(gymnasium.Env):
    """A healthy random walk of two numbers, to be broken by one argument at a time."""

    observation_space = spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, **faults):
        self.__dict__.update(faults)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32), 0
        return self.place.copy(), {}

    def step(self, action):
        self.place += self.np_random.uniform(-0.1, 0.1, 2).astype(np.float32) + 0.01 * int(action)
        np.clip(self.place, -10.0, 10.0, out=self.place)
        self.time += 1
        return self.place.copy(), float(self.place.sum()), self.time == 20, False, {}


def changed(**results):
    """Walk, with parts of what `step` and `reset` return replaced by functions of them."""

    class Changed(Walk):
        def reset(self, *, seed=None, options=None):
            observation, info = super().reset(seed=seed)
            return results.get("observation", np.copy)(observation), info

        def step(self, action):
            found = dict(zip(("observation", "reward", "terminated", "truncated", "info"), super().step(action)))
            return tuple(results[name](value) if name in results else value for name, value in found.items())

    return Changed


class Reusing(Walk):
    def step(self, action):
        return self.place, *super().step(action)[1:]


class Old(Walk):
    def step(self, action):
        return super().step(action)[:4]


class Bare(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class Unseeded(Walk):
    def reset(self):
        return super().reset()


class Chance(Walk):
    def reset(self, *, seed=None, options=None):
        _, info = super().reset(seed=seed)
        self.place += np.random.uniform(0.0, 0.1, 2).astype(np.float32)
        return self.place.copy(), info


class Raising(Walk):
    def step(self, action):
        if self.time == 3:
            raise RuntimeError("the cart has lost a wheel")
        return super().step(action)


class Masked(Walk):
    mask = (1, 1)

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], {"action_mask": np.array(self.mask)}

    def step(self, action):
        *found, _ = super().step(action)
        return *found, {"action_mask": np.array(self.mask)}


class Going(Masked):
    def step(self, action):
        return *super().step(action)[:4], {}


BROKEN = {
    "spaces": lambda: Walk(action_space=spaces.Text(3)),
    "reset_arguments": Unseeded,
    "reset_result": Bare,
    "step_result": Old,
    "step_fails": Raising,
    "observation_outside": changed(observation=lambda x: np.full(2, 11.0, np.float32)),
    "observation_outside-shape": changed(observation=lambda x: x[:1]),
    "observation_outside-nan": changed(observation=lambda x: np.array([np.nan, 0.0], np.float32)),
    "reward": changed(reward=lambda x: float("inf")),
    "reward-none": changed(reward=lambda x: None),
    "flags": changed(terminated=lambda x: "no"),
    "not_reproducible": Chance,
    "masks": lambda: Masked(mask=(0, 0)),
    "masks-going": Going,
    "masks-width": lambda: Masked(mask=(1, 1, 1)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_an_error(name):
    with pytest.raises(AssertionError, match=name.split("-")[0] + r" \(severe\)"):
        testing.check_env(BROKEN[name](), steps=60, warn=False)


ADVICE = {
    "observations_reused": Reusing,
    "observation_dtype": changed(observation=lambda x: x.astype(np.float64)),
    "reward_type": changed(reward=lambda x: np.array([x])),
    "flags": changed(terminated=int),
    "observations_unbounded": lambda: Walk(observation_space=spaces.Box(-np.inf, np.inf, (2,), np.float32)),
    "observations_constant": changed(observation=lambda x: x * np.array([1.0, 0.0], np.float32)),
    "rewards_large": changed(reward=lambda x: 1e4 * x),
    "rewards_absent": changed(reward=lambda x: 0.0),
    "masks_leave_one_action": lambda: Masked(mask=(0, 1)),
    "episodes_never_end": changed(terminated=lambda x: False),
    "action_without_choice": lambda: Walk(action_space=spaces.Discrete(1)),
    "seed_without_effect": lambda: Identity(spaces.Discrete(1), length=5),
}


@pytest.mark.parametrize("name", ADVICE)
def test_advice_is_a_warning(name):
    with pytest.warns(UserWarning, match=f"check_env: {name}"):
        testing.check_env(ADVICE[name](), steps=600)


def test_a_healthy_environment_is_left_in_peace():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        testing.check_env(Walk(), steps=600)
        testing.check_env("Pendulum-v1", steps=300)
        testing.check_env(lambda: Masked(), steps=100)


def test_where_it_is_wrong_is_said():
    with pytest.raises(AssertionError, match=r"is 11 at index \(0,\); declared are -10 to 10\. \(`reset\(seed=0\)`\)"):
        testing.check_env(BROKEN["observation_outside"](), steps=5, warn=False)
    with pytest.raises(AssertionError, match="old gym API"):
        testing.check_env(Old(), steps=5, warn=False)
    with pytest.raises(AssertionError, match="RuntimeError: the cart has lost a wheel"):
        testing.check_env(Raising(), steps=5, warn=False)


def test_spaces_are_advised_on():
    box = lambda *bounds, **shape: spaces.Box(*bounds, **shape)  # noqa: E731
    cases = {
        "actions_unbounded": {"action_space": box(-np.inf, np.inf, shape=(2,))},
        "actions_not_symmetric": {"action_space": box(0.0, 1.0, shape=(1,))},
        "image_not_uint8": {"observation_space": box(0.0, 255.0, shape=(40, 40, 3))},
        "image_layout": {"observation_space": box(0, 255, shape=(4, 40, 3), dtype=np.uint8)},
    }
    from kagent.diagnosis.environment_spaces import spaces_advice
    from kagent.spaces import Structure

    healthy = {"observation_space": Walk.observation_space, "action_space": box(-1.0, 1.0, shape=(2,))}
    for name, own in [*cases.items(), (None, {})]:
        found = spaces_advice(*(Structure(space) for space in {**healthy, **own}.values()))
        assert [finding.name for finding in found] == ([name] if name else []), name


def test_actions_that_start_elsewhere_and_nested_spaces():
    class Starting(Walk):
        action_space = spaces.Dict(
            a=spaces.Discrete(2, start=5), b=spaces.MultiDiscrete([2, 3]), c=spaces.Box(-1, 1, (2,))
        )

        def step(self, action):
            assert self.action_space.contains(action), action
            return super().step(action["a"] - 5)

    testing.check_env(Starting(), steps=60, warn=False)
    testing.check_env(
        Identity(spaces.Tuple((spaces.Discrete(3, start=2), spaces.MultiBinary(2))), masks="observation"), steps=60
    )


def test_rewards_of_goals():
    place = spaces.Box(-10.0, 10.0, (2,), np.float32)

    class Reaching(Walk):
        observation_space = spaces.Dict(observation=place, achieved_goal=place, desired_goal=place)

        def reset(self, *, seed=None, options=None):
            return self._with_goal(super().reset(seed=seed)[0]), {}

        def step(self, action):
            observation, _, *others = super().step(action)
            return self._with_goal(observation), self.paid(observation, np.ones(2), {}), *others

        def paid(self, achieved, desired, info):
            return float(-np.abs(achieved - desired).sum())

        def _with_goal(self, at):
            return {"observation": at, "achieved_goal": at.copy(), "desired_goal": np.ones(2, np.float32)}

    class Right(Reaching):
        def compute_reward(self, achieved, desired, info):
            return self.paid(achieved, desired, info)

    class Wrong(Reaching):
        def compute_reward(self, achieved, desired, info):
            return 1.0 + self.paid(achieved, desired, info)

    class Needy(Reaching):
        def compute_reward(self, achieved, desired, info):
            return info["contact"]

    assert check_environment(Right(), steps=40) == []
    for kind, said in ((Reaching, "no `compute_reward`"), (Wrong, "of 40 of 40 steps"), (Needy, "raised KeyError")):
        (finding,) = check_environment(kind(), steps=40)
        assert finding.name == "goal_reward" and said in finding.evidence, finding


def test_vector_environments():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        testing.check_env(gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync"), steps=100)

    class Ragged(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            observation, reward, *others = super().step(actions)
            return observation, reward[:1], *others

    broken = Ragged(gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync"))
    with pytest.raises(AssertionError, match=r"Rewards must be 2 finite numbers\. Received: float64 of shape \(1,\)"):
        testing.check_env(broken, steps=10)


def test_bad_arguments():
    with pytest.raises(TypeError, match=r"`env` must be an id, .* Received: int$"):
        testing.check_env(3)
    with pytest.raises(TypeError, match="Received: int, from the callable"):
        testing.check_env(lambda: 3)
    with pytest.raises(ValueError, match="`steps` must be an integer >= 1"):
        testing.check_env("CartPole-v1", steps=0)
    with pytest.raises(TypeError, match="`warn` must be True or False"):
        testing.check_env("CartPole-v1", warn=1)
    with pytest.raises(ValueError, match="Unknown environment id"):
        check_environment("CartPool-v1")


def test_an_own_environment_stays_open_and_one_made_here_is_closed():
    closed = []

    class Closing(Walk):
        def close(self):
            closed.append(True)

    check_environment(Closing(), steps=5)
    assert closed == []
    check_environment(Closing, steps=5)
    assert closed == [True]


# Random play -----------------------------------------------------------------------------------------------


def test_returns_of_random_play():
    """Counter's episode e of 3 steps pays 100 e + 0, 1, 2 and an eighth of each action, 0 to 2: 300 e + 3 to 3.75."""
    returns = random_returns(Counter, episodes=3)
    assert [3.0 <= value - 300 * e <= 3.75 for e, value in enumerate(returns)] == [True] * 3
    assert random_returns(Counter, episodes=3) == returns
    assert len(random_returns(lambda: Counter(lengths=(4,)), episodes=9, timesteps=11)) == 2
    assert len(random_returns(lambda: Masked(mask=(0, 1)), episodes=2)) == 2


def test_environments_like_others_are_made_anew():
    env = gymnasium.make("CartPole-v1", max_episode_steps=7)
    build = fresh(make(env))
    other = build()
    assert other.unwrapped is not env.unwrapped and other.spec.max_episode_steps == 7
    assert fresh(make(Counter())) is None
    vector = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    assert not isinstance(fresh(make(vector))(), gymnasium.vector.VectorEnv)
    assert fresh(make(gymnasium.wrappers.vector.NormalizeReward(vector))) is None
    assert kagent.diagnosis.random_returns(build, episodes=2) != []
