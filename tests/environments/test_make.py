"""`make`: what may be passed as an environment, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from toy_envs import Counter, Identity, NativeCounter

from kagent import environments
from kagent.environments import SingleEnvs, VectorEnvs, check_spaces, checks, make


class Closing(Counter):
    closed = 0

    def close(self):
        type(self).closed += 1


@pytest.fixture(autouse=True)
def nothing_closed():
    Closing.closed = 0


def test_ids():
    envs = make("CartPole-v1", n_envs=3)
    assert isinstance(envs, SingleEnvs) and envs.num_envs == 3 and envs.owned and envs.replayable
    assert envs.observation_space.shape == (4,) and envs.action_space == spaces.Discrete(2)
    wrappers = []
    env = envs.envs[0]
    while isinstance(env, gymnasium.Wrapper):
        wrappers.append(type(env).__name__)
        env = env.env
    assert "PassiveEnvChecker" not in wrappers and "TimeLimit" in wrappers
    envs.close()


def test_a_given_env_is_not_closed():
    env = Closing()
    envs = make(env)
    assert envs.num_envs == 1 and not envs.owned and envs.envs == [env]
    envs.close()
    assert Closing.closed == 0


def test_a_callable_is_called_once_per_env_and_what_it_made_is_closed():
    envs = make(Closing, n_envs=3)
    assert envs.num_envs == 3 and envs.owned
    envs.close()
    assert Closing.closed == 3


def test_vector_envs():
    vector = SyncVectorEnv([Closing, Closing])
    envs = make(vector)
    assert isinstance(envs, VectorEnvs) and envs.num_envs == 2 and not envs.owned and not envs.replayable
    assert envs.observation_space == Counter().observation_space and envs.action_space == spaces.Discrete(3)
    envs.close()
    assert Closing.closed == 0 and not vector.closed
    made = make(lambda: SyncVectorEnv([Closing, Closing]))
    made.close()
    assert made.owned and Closing.closed == 2


def test_environments_are_returned_as_they_are():
    envs = make(Counter)
    assert make(envs) is envs and make(envs, n_envs=1) is envs


def test_wrapped_vector_envs_and_modes_as_text():
    vector = gymnasium.wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv([Counter, Counter]))
    assert make(vector).autoreset_mode is AutoresetMode.NEXT_STEP
    native = NativeCounter(None, [{}])
    native.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP.value}
    assert make(native).autoreset_mode is AutoresetMode.SAME_STEP


@pytest.mark.parametrize(
    "metadata", [{}, None, {"autoreseet-mode": AutoresetMode.NEXT_STEP}, {"autoreset_mode": "soon"}]
)
def test_an_unknown_autoreset_mode_is_refused_with_a_hint(metadata):
    native = NativeCounter(None, [{}])
    native.metadata = metadata
    with pytest.raises(ValueError, match=r"autoreset_mode.*Received.*AutoresetMode\.SAME_STEP.*If you know the mode"):
        make(native)


class Promised(VectorEnv):
    """Has no more than gymnasium's class promises, and a spec of its own kind, as EnvPool's environments."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    spec = types.SimpleNamespace(config={"num_envs": 3})
    num_envs = 3
    single_observation_space = spaces.Box(-1, 1, (2,))
    single_action_space = spaces.Discrete(2)
    observation_space = spaces.Box(-1, 1, (3, 2))
    action_space = spaces.MultiDiscrete([2, 2, 2])
    done = np.zeros(3, bool)

    def reset(self, *, seed=None, options=None):
        return np.zeros((3, 2), np.float32), {}

    def step(self, actions):
        self.done = ~self.done
        return np.ones((3, 2), np.float32), np.ones(3), self.done, np.zeros(3, bool), {}


class Together(Promised):
    """Ends all its episodes together, so that `np.array` makes one array of objects of the last observations."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def step(self, actions):
        final = np.array([np.full(2, 0.5, np.float32)] * 3, dtype=object)
        assert final.shape == (3, 2)
        ended = np.ones(3, bool)
        return np.zeros((3, 2), np.float32), np.ones(3), ended, ~ended, {"final_obs": final, "_final_obs": ended}


def test_last_observations_of_episodes_that_end_together():
    envs = make(Together())
    envs.reset()
    taken = envs.step([np.zeros(3, np.int64)])
    np.testing.assert_array_equal(taken.next_observation[0], np.full((3, 2), 0.5, np.float32))


@pytest.mark.parametrize("bases", [(), (gymnasium.Env,)])
def test_a_vector_env_needs_only_what_its_class_promises(bases):
    env = type("Native", (Promised, *bases), {})()
    envs = make(env, n_envs=3)
    assert isinstance(envs, VectorEnvs) and envs.time_limit is None
    envs.reset()
    rows = [envs.step([np.zeros(3, np.int64)]).valid.tolist() for _ in range(3)]
    assert rows == [[True] * 3, [False] * 3, [True] * 3]
    with pytest.raises(ValueError, match="`max_episode_timesteps` cannot be kept by a vector environment"):
        make(env, max_episode_timesteps=5)
    with pytest.raises(ValueError, match="`n_envs` must agree"):
        make(env, n_envs=1)


def test_specs_without_a_limit_and_envs_that_are_several():
    env = Counter()
    env.spec = types.SimpleNamespace(id="mine")
    assert make(env).time_limit is None and make(env, max_episode_timesteps=4)
    env.spec = types.SimpleNamespace()  # gymnasium cannot show such an environment
    assert make(env, step_timeout=1.0).time_limit is None and checks.described(env) == "<Counter>"
    env.is_vector_env, env.num_envs = True, 8
    with pytest.raises(TypeError, match=r"must then be a gymnasium.vector.VectorEnv.*a gymnasium.Env of 8"):
        make(env)


def test_disabled_resets_are_seeded_and_masked():
    vector = SyncVectorEnv([lambda: Counter((1,)), lambda: Counter((2,))], autoreset_mode=AutoresetMode.DISABLED)
    envs = make(vector)
    seeds = iter(np.arange(50, 90))
    envs.reset(lambda: next(seeds))
    envs.step([np.zeros(2, np.int64)])
    envs.step([np.zeros(2, np.int64)])
    assert [env.seeds for env in vector.envs] == [[50, 52, 53], [51, 54]]
    native = NativeCounter(AutoresetMode.DISABLED, [{"lengths": (1,)}, {"lengths": (2,)}])
    envs = make(native, next_seed=lambda: 7)
    envs.reset()
    envs.step([np.zeros(2, np.int64)])
    assert native.resets[0] == (7, None)
    assert native.resets[1][0] == 7 and native.resets[1][1].tolist() == [True, False]


def test_vector_envs_begin_anew_on_restore():
    envs = make(SyncVectorEnv([Counter, Counter]))
    envs.reset()
    envs.step([np.zeros(2, np.int64)])
    assert envs.restore(envs.state()) == [0, 1]
    assert envs.observation[0][:, 1:].tolist() == [[1, 0], [1, 0]]


UNKNOWN = {
    "CartPol-v1": "Did you mean 'CartPole-v1'",
    "cartpole-v1": "Did you mean 'CartPole-v1'",
    "CartPole-v7": "Did you mean 'CartPole-v1'",
    "CartPole v1!": "Did you mean 'CartPole-v1'",
    "nowhere/Thing-v0": "gymnasium says: ",
    "no_such_module:Thing-v0": "No module named 'no_such_module'",
    "qqqqqqqqqqq": "'package:Name-v0'",
    "": "'package:Name-v0'",
}


@pytest.mark.parametrize("env_id, hint", UNKNOWN.items())
def test_an_unknown_id_is_named_with_close_matches(env_id, hint):
    with pytest.raises(ValueError, match="Unknown environment id") as caught:
        make(env_id)
    assert repr(env_id) in str(caught.value) and hint in str(caught.value)
    assert caught.value.__cause__ is not None


def test_errors_inside_an_environments_constructor_are_its_own():
    def broken():
        raise ModuleNotFoundError("No module named 'physics'", name="physics")

    gymnasium.register("KagentBroken-v0", entry_point=broken)
    try:
        with pytest.raises(ModuleNotFoundError, match="physics"):
            make("KagentBroken-v0")
    finally:
        gymnasium.registry.pop("KagentBroken-v0")


@pytest.mark.parametrize("env", [None, 3, ["CartPole-v1"], object(), spaces.Discrete(2)])
def test_other_things_are_refused(env):
    with pytest.raises(TypeError, match="`env` must be an id"):
        make(env)


def test_callables_that_return_other_things_are_refused():
    with pytest.raises(TypeError, match=r"callable that must return a gymnasium.Env"):
        make(lambda: "CartPole-v1")
    turns = iter([Closing(), None])
    with pytest.raises(TypeError, match=r"must be a gymnasium.Env"):
        make(lambda: next(turns), n_envs=2)
    assert Closing.closed == 1
    one = Counter()
    with pytest.raises(ValueError, match="must make a new one"):
        make(lambda: one, n_envs=2)


@pytest.mark.parametrize("n_envs", [0, -1, 1.5, True, "2"])
def test_n_envs_must_be_a_positive_integer(n_envs):
    with pytest.raises(ValueError, match="`n_envs` must be an integer >= 1"):
        make("CartPole-v1", n_envs=n_envs)


@pytest.mark.parametrize(
    "env", [Counter, lambda: SyncVectorEnv([Counter, Counter, Counter]), lambda: make(Counter, n_envs=3)]
)
def test_n_envs_must_agree_with_a_given_env(env):
    with pytest.raises(ValueError, match="`n_envs` must agree"):
        make(env(), n_envs=2)


def test_n_envs_must_agree_with_the_vector_env_of_a_callable():
    with pytest.raises(ValueError, match="`n_envs` must agree"):
        make(lambda: SyncVectorEnv([Closing]), n_envs=2)
    assert Closing.closed == 1


def test_envs_with_different_spaces_are_refused():
    sizes = iter([3, 4])
    with pytest.raises(ValueError, match=r"same observation_space(.|\n)*env 0: \w+\(n=3(.|\n)*env 1: \w+\(n=4"):
        make(lambda: Identity(spaces.Tuple((spaces.Discrete(next(sizes)), spaces.Discrete(2)))), n_envs=2)


def test_unsupported_and_missing_spaces():
    class Texts(Counter):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Dict(a=spaces.Text(5))

    class Spaceless(gymnasium.Env):
        action_space = spaces.Discrete(2)

    with pytest.raises(ValueError, match=r"`observation_space` at 'a' is not supported. Received: Text"):
        make(Texts())
    with pytest.raises(TypeError, match=r"`observation_space` must be a gymnasium.Space"):
        make(Spaceless())


def test_check_spaces_shows_both_sides():
    box, other = spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (4,))
    check_spaces(box, spaces.Discrete(2), types.SimpleNamespace(observation_space=box, action_space=spaces.Discrete(2)))
    wrong = types.SimpleNamespace(observation_space=other, action_space=spaces.Discrete(2, start=1))
    with pytest.raises(ValueError) as caught:
        check_spaces(box, spaces.Discrete(2), wrong, "validation_env")
    message = str(caught.value)
    for part in (
        "`validation_env`",
        "shape=(3,)",
        "shape=(4,)",
        "start=0",
        "start=1",
        "observation_space:",
        "action_space:",
    ):
        assert part in message


def test_the_adapters_import_no_tensorflow():
    code = "import sys, kagent.environments; print({'tensorflow', 'keras', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_kind_is_environments():
    for env in (Counter(), SyncVectorEnv([Counter])):
        envs = make(env)
        assert isinstance(envs, environments.Environments) and isinstance(env, gymnasium.Env | VectorEnv)
        envs.reset()
        assert envs.observation[0].shape == (1, 3)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            'Box2D is not installed, run `pip install "gymnasium[box2d]"`',
            r"'Needy-v0' needs .*: pip install 'kagent\[box2d\]'. gym",
        ),
        (
            'MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`',
            r"'Needy-v0' needs .*: pip install 'kagent\[mujoco\]'",
        ),
        ("pygame is not installed", r"^pygame is not installed$"),
    ],
)
def test_a_missing_simulator_is_named_with_the_line_that_installs_it(monkeypatch, said, expected):
    class Needy(Counter):
        def __init__(self):
            raise gymnasium.error.DependencyNotInstalled(said)

    monkeypatch.setitem(
        gymnasium.registry, "Needy-v0", gymnasium.envs.registration.EnvSpec("Needy-v0", entry_point=Needy)
    )
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match=expected):
        make("Needy-v0")
