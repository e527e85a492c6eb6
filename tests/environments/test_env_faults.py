"""What environments get wrong: said where it happens, with the environment, the step and the leaf."""

from __future__ import annotations

import functools
import traceback

import gymnasium
import numpy as np
import pytest
from faulty_envs import Faulty
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from toy_envs import Counter

from kagent import environments

LEAF = "'camera/right'"
OBSERVATION_FAULTS = [
    ("nan", ValueError, "not finite. Received: nan at index (1,)"),
    ("inf", ValueError, "not finite. Received: inf at index (1,)"),
    ("huge", ValueError, "not finite. Received: inf at index (1,)"),
    ("shape", ValueError, "wrong shape. Received: (2,); observation_space says (3,)"),
    ("extra_axis", ValueError, "wrong shape. Received: (1, 3); observation_space says (3,)"),
    ("text", TypeError, "must be numeric. Received: str"),
    ("object", TypeError, "must be numeric. Received: list"),
]
OTHER_FAULTS = [
    ("nan_reward", ValueError, "The reward is not finite. Received: nan"),
    ("inf_reward", ValueError, "The reward is not finite. Received: -inf"),
    ("huge_reward", ValueError, "The reward is not finite as float32, in which it is stored. Received: -1e+300"),
    ("long_reward", ValueError, "The reward is not finite. Received: inf"),
    ("none_reward", TypeError, "The reward must be a number. Received: None (NoneType)"),
    ("pair_reward", ValueError, "The reward must be one number. Received: an array of shape (2,)"),
    ("text_reward", TypeError, "The reward must be a number. Received: '1' (str)"),
    ("four", ValueError, "Received: 4 values, the old gym API"),
    ("none_flag", TypeError, "`terminated` must be a bool. Received: None"),
    ("info_as_flag", TypeError, "`truncated` must be a bool. Received: {'TimeLimit.truncated': True}"),
]


def run(envs, steps=20):
    """Steps until the fault; nothing of the faulty step may be seen as an open episode."""
    envs.reset()
    try:
        for _ in range(steps):
            envs.step([np.zeros(envs.num_envs, np.int64)])
    finally:
        if envs.num_envs:
            assert envs.state() == {"episodes": []}


def expect(error, text, envs, *places):
    with pytest.raises(error) as caught:
        run(envs)
    message = str(caught.value)
    for part in (text, *places):
        assert part in message, message
    with pytest.raises(RuntimeError, match="reset"):
        envs.step([np.zeros(envs.num_envs, np.int64)])
    envs.reset()  # the fault was in the first episode only
    envs.step([np.zeros(envs.num_envs, np.int64)])


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("fault, error, text", OBSERVATION_FAULTS)
@pytest.mark.parametrize("nested", [False, True])
def test_wrong_observation_of_a_single_env(fault, error, text, nested):
    envs = environments.SingleEnvs([Faulty("nan", at=99, nested=nested), Faulty(fault, at=3, nested=nested)])
    expect(error, text, envs, "env 1, episode step 3", LEAF if nested else "Observation ")


@pytest.mark.parametrize("fault, error, text", OTHER_FAULTS)
def test_wrong_reward_flag_or_api_of_a_single_env(fault, error, text):
    envs = environments.SingleEnvs([Faulty("nan", 99), Faulty(fault)])
    expect(error, text, envs, "env 1, episode step 3")


@pytest.mark.parametrize("fault, text", [("scalar", "dict"), ("nesting", "dict with keys")])
def test_wrong_nesting_of_a_single_env(fault, text):
    expect(ValueError, text, environments.SingleEnvs([Faulty(fault, nested=True)]), "env 0, episode step 3")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("fault, error, text", OBSERVATION_FAULTS)
def test_wrong_observation_at_reset(fault, error, text):
    envs = environments.SingleEnvs([Faulty("nan", at=99), Faulty(fault, at=0)])
    with pytest.raises(error) as caught:
        envs.reset()
    assert text in str(caught.value) and "env 1, episode step 0, seed" in str(caught.value)


def test_wrong_observation_at_the_reset_after_an_episode():
    envs = environments.SingleEnvs([Faulty("nan", at=0, nested=True, episode=1)])
    expect(ValueError, "not finite", envs, LEAF, "env 0, episode step 0")


def test_reset_that_returns_only_the_observation():
    envs = environments.make(Faulty("reset_only_observation", at=0))
    with pytest.raises(ValueError, match=r"`reset` must return \(observation, info\).*old gym API"):
        envs.reset()


def test_a_pair_of_arrays_is_not_taken_for_observation_and_info():
    class Pair(Counter):
        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.float32)

    with pytest.raises(ValueError, match="`reset` must return"):
        environments.make(Pair()).reset()


def test_reset_without_seed_names_the_signature():
    class Old(Counter):
        def reset(self):
            return np.zeros(3, np.float32), {}

    with pytest.raises(TypeError, match="seed") as caught:
        environments.make(Old()).reset()
    assert any("seed=None" in note for note in caught.value.__notes__)


def test_floats_for_a_discrete_or_integer_observation():
    class Wrong(Counter):
        def __init__(self, space, value):
            super().__init__()
            self.observation_space, self.value = space, value

        def _observe(self):
            return self.value

    for space, value, error, text in (
        (spaces.Discrete(3), 1.0, TypeError, "holds floats where observation_space says discrete"),
        (spaces.Discrete(3), 3, ValueError, "outside the space. Received: 3; allowed: 0 to 2"),
        (spaces.Discrete(3, start=1), 0, ValueError, "allowed: 1 to 3"),
        (spaces.Discrete(3), np.array([1]), ValueError, "wrong shape"),
        (spaces.MultiDiscrete([2, 3]), np.array([0, 3]), ValueError, "outside the space"),
        (spaces.MultiBinary(2), np.array([0, -1]), ValueError, "outside the space"),
        (spaces.Box(0, 255, (1,), np.uint8), np.array([0.5]), TypeError, "dtype float64"),
        (spaces.Box(0, 255, (1,), np.uint8), np.array([256]), ValueError, "does not fit into uint8"),
        (spaces.Box(0, 255, (1,), np.uint8), np.array([-1]), ValueError, "does not fit into uint8"),
        (spaces.Discrete(3), 2**32 + 1, ValueError, "outside the space"),
    ):
        with pytest.raises(error) as caught:
            environments.make(Wrong(space, value)).reset()
        assert text in str(caught.value) and "env 0" in str(caught.value), str(caught.value)


def test_an_env_that_raises_keeps_its_exception_and_traceback():
    envs = environments.SingleEnvs([Faulty("nan", at=99), Faulty("raise", at=4)])
    envs.reset()
    for _ in range(3):
        envs.step([np.array([0, 0])])
    with pytest.raises(ZeroDivisionError, match="the simulator broke") as caught:
        envs.step([np.array([0, 1])])
    note = "".join(caught.value.__notes__)
    assert "env 1, episode step 4" in note and "action 1" in note
    assert traceback.extract_tb(caught.value.__traceback__)[-1].filename.endswith("faulty_envs.py")
    assert envs.state() == {"episodes": []}
    with pytest.raises(RuntimeError, match="reset"):
        envs.step([np.array([0, 1])])


def test_an_env_that_raises_at_reset_keeps_its_exception():
    envs = environments.make(Faulty("reset_raise", at=0))
    with pytest.raises(OSError, match="gone") as caught:
        envs.reset(lambda: 11)
    assert "env 0, seed 11" in "".join(caught.value.__notes__)


def test_step_before_reset_and_after_close():
    envs = environments.make(lambda: Counter())
    with pytest.raises(RuntimeError, match="reset"):
        envs.step([np.array([0])])
    envs.reset()
    envs.close()
    with pytest.raises(RuntimeError, match="reset"):
        envs.step([np.array([0])])


# --- vector environments


def sync(*faults, **options):
    functions = [functools.partial(Faulty, *fault) if isinstance(fault, tuple) else fault for fault in faults]
    return environments.make(SyncVectorEnv(functions, **options))


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("fault", ["nan", "inf"])
@pytest.mark.parametrize("nested", [False, True])
def test_non_finite_observation_of_a_vector_env(mode, fault, nested):
    envs = sync(("nan", 99, nested), (fault, 3, nested), autoreset_mode=mode)
    expect(ValueError, "not finite", envs, "env 1, episode step 3", LEAF if nested else "Observation ")


@pytest.mark.parametrize("mode", AutoresetMode)
def test_non_finite_last_observation_of_an_episode(mode):
    envs = sync(("nan", 99), ("nan_at_end", 3), autoreset_mode=mode)
    expect(ValueError, "not finite. Received: nan", envs, "env 1, episode step 3")


@pytest.mark.parametrize("mode", AutoresetMode)
def test_the_step_is_counted_from_the_reset_of_the_episode(mode):
    envs = sync(("nan", 99), ("nan", 4, False, 1), autoreset_mode=mode)  # in the second episode
    envs.reset()
    with pytest.raises(ValueError, match=r"not finite.*\(env 1, episode step 4\)"):
        for _ in range(20):
            envs.step([np.zeros(2, np.int64)])


def test_one_bad_pixel_in_a_large_observation():
    image = np.zeros((40, 40, 3), np.float32)

    class Camera(Counter):
        def __init__(self):
            super().__init__((99,))
            self.observation_space = spaces.Box(0, 1, image.shape)

        def _observe(self):
            return image

    envs = environments.make(Camera())
    envs.reset()
    image[39, 38, 1] = np.inf
    with pytest.raises(ValueError, match=r"inf at index \(39, 38, 1\).*env 0, episode step 1"):
        envs.step([np.array([0])])


@pytest.mark.parametrize("fault", ["nan_reward", "inf_reward"])
def test_non_finite_reward_of_a_vector_env(fault):
    expect(ValueError, "The reward is not finite", sync(("nan", 99), (fault, 3)), "env 1, episode step 3")


class Vector(gymnasium.vector.VectorEnv):
    """Returns what it is told to."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, observation=None, result=None, space=None):
        self.num_envs = 3
        self.single_observation_space = space or spaces.Box(-1, 1, (2,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation, self.result = (
            np.zeros((3, 2), np.float32) if observation is None else observation,
            result,
        )

    def reset(self, *, seed=None, options=None):
        return self.observation, {}

    def step(self, actions):
        return self.result or (self.observation, np.zeros(3), np.zeros(3, bool), np.zeros(3, bool), {})


def test_wrong_results_of_a_vector_env():
    good, no = np.zeros((3, 2), np.float32), np.zeros(3, bool)
    for result, error, text in (
        ((good, no, no, {}), ValueError, "4 values, the old gym API"),
        ((good[:2], np.zeros(3), no, no, {}), ValueError, "wrong shape. Received: (2, 2)"),
        ((good, np.zeros(2), no, no, {}), TypeError, "Rewards of a vector env must be numbers of shape (3,)"),
        ((good, None, no, no, {}), TypeError, "Rewards of a vector env"),
        ((good, np.zeros(3), no[:1], no, {}), TypeError, "`terminated` of a vector env must be bools"),
        ((good, np.zeros(3), no, [None] * 3, {}), TypeError, "`truncated` of a vector env must be bools"),
    ):
        envs = environments.make(lambda result=result: Vector(result=result))
        envs.reset()
        with pytest.raises(error) as caught:
            envs.step([np.zeros(3, np.int64)])
        assert text in str(caught.value) and "vector env Vector" in str(caught.value), str(caught.value)
        with pytest.raises(RuntimeError):
            envs.step([np.zeros(3, np.int64)])


def test_a_value_outside_the_space_names_the_env_that_gave_it():
    envs = environments.make(Vector(np.array([0, 1, 5]), space=spaces.Discrete(3)))
    with pytest.raises(ValueError, match=r"outside the space.*\(env 2, episode step 0\)"):
        envs.reset()


def test_rewards_and_flags_of_a_vector_env_are_converted_and_copied():
    rewards = np.ones((3, 1), np.float32)
    envs = environments.make(Vector(result=(np.zeros((3, 2)), rewards, [0, 1, 0], np.zeros(3, np.int8), {})))
    envs.reset()
    transition = envs.step([np.zeros(3, np.int64)])
    rewards[:] = 9
    assert transition.reward.tolist() == [1, 1, 1] and transition.reward.dtype == np.float64
    assert transition.terminated.tolist() == [False, True, False] and transition.ended == [1]


@pytest.mark.parametrize("value", [-1e300, np.float64(3.5e38), np.nan])
def test_a_reward_of_a_vector_env_that_float32_does_not_hold(value):
    envs = environments.make(Vector(result=(np.zeros((3, 2)), np.array([3.4e38, value, 0]), [0] * 3, [0] * 3, {})))
    envs.reset()
    with pytest.raises(ValueError, match=r"The reward is not finite.*Received: .*\(env 1, episode step 1\)") as caught:
        envs.step([np.zeros(3, np.int64)])
    assert str(float(value)) in str(caught.value)


def test_the_largest_reward_that_float32_holds():
    class Paying(Counter):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, self.pays, *rest

    env = Paying((9,))
    envs = environments.make(env)
    envs.reset()
    # Halfway to what would be the next float32, 2**128, rounding goes up, to infinity.
    for env.pays in (np.nextafter(2.0**128 - 2.0**103, 0), float(np.finfo(np.float32).max), -3e38):
        assert np.isfinite(envs.step([np.zeros(1, np.int64)]).reward.astype(np.float32)).all()
    env.pays = 2.0**128 - 2.0**103
    with pytest.raises(ValueError, match="not finite as float32"):
        envs.step([np.zeros(1, np.int64)])


@pytest.mark.parametrize("kind", [list, tuple])
def test_infos_as_a_list_are_called_by_the_wrappers_name(kind):
    class Listed(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            found = self.env.step(actions)[:4]
            return *found, kind({} for _ in range(self.num_envs))

    for make in (gymnasium.wrappers.vector.DictInfoToList, Listed):
        envs = environments.make(make(SyncVectorEnv([Counter, Counter])))
        with pytest.raises(TypeError, match=r"`infos` of a vector env must be a dict.*DictInfoToList.*leave it out"):
            envs.reset()
            envs.step([np.zeros(2, np.int64)])


@pytest.mark.parametrize("mode", AutoresetMode)
def test_an_env_that_raises_inside_a_vector_env(mode):
    envs = sync(("nan", 99), ("raise", 2), autoreset_mode=mode)
    envs.reset()
    envs.step([np.zeros(2, np.int64)])
    with pytest.raises(ZeroDivisionError, match="broke") as caught:
        envs.step([np.array([0, 1])])
    assert "actions array([0, 1])" in "".join(caught.value.__notes__)


@pytest.mark.filterwarnings("ignore:.*Calling `close` while waiting")
def test_a_worker_that_dies_is_an_error_and_leaves_no_process():
    functions = [functools.partial(Faulty, "exit", 2), functools.partial(Faulty, "nan", 99)]
    envs = environments.make(lambda: AsyncVectorEnv(functions, context="forkserver"))
    envs.reset()
    envs.step([np.zeros(2, np.int64)])
    processes = envs.env.processes
    with pytest.raises((EOFError, ConnectionError)) as caught:
        envs.step([np.zeros(2, np.int64)])
    assert "vector env AsyncVectorEnv" in "".join(caught.value.__notes__)
    envs.close()
    assert [process.is_alive() for process in processes] == [False, False]
