"""Bad input: refused where it happens, by name, and with nothing lost."""

import re
import traceback

import gymnasium
import numpy as np
import pytest
from faulty_envs import Faulty
from gymnasium import spaces
from toy_envs import Counter, Identity

import kagent

NET = {"type": "mlp", "units": [8]}
BOX, DISCRETE = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)


def dqn(env=None, **changes):
    """A small DQN that learns from step 8 on; the memory's rows can be counted."""
    agent = kagent.DQN(
        env, **{"network": NET, "memory": 50, "batch_size": 8, "start": 8, "horizon": 0, "seed": 0, **changes}
    )
    agent.compile(run_eagerly=True)
    return agent


def ppo(env=None, **changes):
    agent = kagent.PPO(env, **{"network": NET, "n_steps": 8, "batch_size": 8, "epochs": 1, "seed": 0, **changes})
    agent.compile(run_eagerly=True)
    return agent


def counters(agent):
    weights = np.concatenate([np.ravel(variable) for variable in agent.variables])
    return (
        agent.timesteps,
        agent.episodes,
        agent.updates,
        len(agent.memory) if agent.memory.built else 0,
        weights.tobytes(),
    )


def test_a_batch_larger_than_the_memory():
    with pytest.raises(ValueError, match=r"`batch_size` must be at most the memory's capacity, 20. Received: 32"):
        kagent.DQN(observation_space=BOX, action_space=DISCRETE, memory=20, batch_size=32)
    agent = ppo("CartPole-v1", n_steps=8, batch_size=9)
    before = counters(agent)
    with pytest.raises(ValueError, match=r"`batch_size` must be at most .*8 steps of 1 .*Received: 9"):
        agent.fit("CartPole-v1", steps=20, verbose=0)
    assert counters(agent) == before


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_other_spaces_are_shown_side_by_side(method):
    agent = dqn(Identity(spaces.Discrete(3)), observation_space=None)
    before = counters(agent)
    call = (lambda env: agent.fit(env, steps=20, verbose=0)) if method == "fit" else agent.evaluate
    with pytest.raises(ValueError) as caught:
        call(Identity(spaces.Discrete(4, start=1)))
    message = str(caught.value)
    assert "The spaces of `env` are not the agent's. Received:" in message
    assert re.search(r"observation_space:\n.*agent: discrete\(n=3, start=0\) +env: discrete\(n=4, start=1\)", message)
    assert "action_space:" in message
    with pytest.raises(ValueError, match=r"(?s)agent: Box\(shape=\(4,\).* env: -|agent: .*env: Box"):
        call("CartPole-v1")
    with pytest.raises(ValueError, match=r"Unknown environment id\. Received: 'CartPool-v1'"):
        call("CartPool-v1")
    assert counters(agent) == before


def test_the_validation_environment_is_checked_before_anything_is_done():
    agent = dqn("CartPole-v1")
    before = counters(agent)
    with pytest.raises(ValueError, match="are not the agent's"):
        agent.fit("CartPole-v1", steps=20, validation_env="Pendulum-v1", verbose=0)
    assert counters(agent) == before


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"steps": -1}, {"steps": 2.5}, {"steps": "5"}, {"steps": True}, {"episodes": -1}, {"steps": np.nan},
        {"steps": 5, "max_steps": 9}, {"episodes": 5, "max_episodes": 9}, {"steps": 5, "steps_per_epoch": 0},
        {"steps": 5, "n_envs": 0}, {"steps": 5, "validation_episodes": 0}, {"steps": 5, "validation_freq": 0},
    ],
    ids=str,
)  # fmt: skip
def test_bounds_of_fit(arguments):
    agent = dqn("CartPole-v1")
    before = counters(agent)
    with pytest.raises((ValueError, TypeError)) as caught:
        agent.fit("CartPole-v1", verbose=0, **arguments)
    assert "eceived" in str(caught.value)
    assert counters(agent) == before


@pytest.mark.parametrize("arguments", [{"episodes": 0}, {"episodes": 1.5}, {"seed": -1}, {"seed": 0.5}], ids=str)
def test_arguments_of_evaluate(arguments):
    agent = dqn("CartPole-v1")
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be.*Received"):
        agent.evaluate("CartPole-v1", **arguments)


FAULTS = {
    "nan": (ValueError, r"Observation is not finite. Received: nan at index \(1,\)"),
    "inf": (ValueError, r"Observation is not finite. Received: inf"),
    "huge": (ValueError, r"Observation is not finite. Received: inf"),
    "shape": (ValueError, r"Observation has the wrong shape. Received: \(2,\); observation_space says \(3,\)"),
    "text": (TypeError, r"Observation must be numeric"),
    "nan_reward": (ValueError, r"The reward is not finite. Received: nan"),
    "inf_reward": (ValueError, r"The reward is not finite. Received: -inf"),
    "none_reward": (TypeError, r"The reward must be a number. Received: None"),
    "four": (ValueError, r"Received: 4 values, the old gym API"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_environment_that_breaks_its_word_in_training(fault):
    # Environment 1 of 2, in its second episode (10 steps each), at step 3: 12 good steps of each before it.
    error, message = FAULTS[fault]
    agent = dqn(Faulty("nan", at=99))
    made = iter([Faulty(fault, at=99), Faulty(fault, at=3, episode=1)])
    with pytest.raises(error, match=message) as caught:
        agent.fit(lambda: next(made), steps=100, n_envs=2, verbose=0)
    assert re.search(r"env 1, episode step 3", str(caught.value))
    check_good_steps(agent)


def check_good_steps(agent):
    """12 steps of two environments were good; they are counted and kept, and nothing else is."""
    assert (agent.timesteps, agent.episodes, len(agent.memory)) == (24, 2, 24)
    assert np.isfinite(np.concatenate([np.ravel(variable) for variable in agent.variables])).all()
    batch = next(iter(agent.memory.dataset(batch_size=50, steps=8)))
    assert np.isfinite(batch["observation"]).all() and np.isfinite(batch["reward"]).all()
    # Rows that end are the two at step 10 of the first episodes; what the fault cut off ends nothing.
    ends = np.asarray(batch["next_observation"])[np.asarray(batch["terminated"] | batch["truncated"])]
    assert set(ends[:, 0]) == {10.0}
    # And the agent goes on.
    agent.fit(lambda: Faulty("nan", at=99), steps=10, verbose=0)
    assert agent.timesteps == 34


def test_a_nested_leaf_is_named():
    agent = dqn(Faulty("nan", at=99, nested=True))
    with pytest.raises(ValueError, match=r"leaf 'camera/right' is not finite"):
        agent.fit(Faulty("nan", at=5, nested=True), steps=20, verbose=0)
    assert agent.timesteps == len(agent.memory) == 4


def test_an_environment_that_raises_in_mid_episode():
    agent = dqn(Faulty("nan", at=99))
    made = iter([Faulty("nan", at=99), Faulty("raise", at=3, episode=1)])
    with pytest.raises(ZeroDivisionError, match="the simulator broke") as caught:
        agent.fit(lambda: next(made), steps=100, n_envs=2, verbose=0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename.endswith("faulty_envs.py") and "ZeroDivisionError" in last.line
    assert any("env 1" in note for note in caught.value.__notes__)
    check_good_steps(agent)


def test_a_rollout_that_was_broken_off_ends_where_it_was_broken_off():
    # The rows before the fault belong to another episode than those after it.
    agent = ppo(Faulty("nan", at=99), n_steps=16)
    with pytest.raises(ZeroDivisionError):
        agent.fit(Faulty("raise", at=6), steps=100, verbose=0)
    assert agent.timesteps == len(agent.memory) == 5 and agent.updates == 0
    seen = []

    class Watched(type(agent.objective)):
        def prepare(self, agent, experience):
            seen.append({key: np.asarray(experience[key])[:, 0] for key in ("terminated", "truncated", "observation")})
            return super().prepare(agent, experience)

    agent.objective = Watched()
    agent.compile(run_eagerly=True)
    agent.fit(Faulty("nan", at=99), steps=11, verbose=0)
    (rollout,) = seen
    assert rollout["observation"][:, 0].tolist() == [0, 1, 2, 3, 4, *range(10), 0]
    assert np.flatnonzero(rollout["truncated"]).tolist() == [4]
    assert np.flatnonzero(rollout["terminated"]).tolist() == [14]


class Masked(Counter):
    """Allows nothing from step `at` on."""

    def __init__(self, at):
        super().__init__(lengths=(10,), masked=True)
        self.at = at

    def _info(self):
        info = super()._info()
        return {"action_mask": np.zeros(3, np.int8)} if self.time == self.at else info


def test_a_mask_that_allows_nothing():
    agent = dqn(Counter(masked=True))
    with pytest.raises(
        ValueError, match=r"The action mask allows no value. Received: \[0, 0, 0\].*env 0, episode step 5"
    ):
        agent.fit(Masked(5), steps=50, verbose=0)
    assert agent.timesteps == len(agent.memory) == 4 and agent.episodes == 0
    final = dqn(Counter(masked=True))
    final.fit(Masked(10), steps=30, verbose=0)  # where nothing is decided it does no harm
    assert final.timesteps == 30


def test_act_and_observe_check_what_they_are_told():
    agent = dqn(observation_space=BOX, action_space=DISCRETE)
    good = np.zeros(3, np.float32)
    for deterministic in (True, False):
        for bad in (np.zeros(2), np.zeros((1, 3)), np.array([0, np.nan, 0]), np.array([0, np.inf, 0]), "abc", None):
            with pytest.raises((ValueError, TypeError), match=r"(?i)observation.*received"):
                agent.act(bad, deterministic)
    with pytest.raises(RuntimeError, match="`observe` follows `act"):
        agent.observe(1.0, False, False, good)
    agent.act(good)
    with pytest.raises(ValueError, match=r"`reward`.*not finite. Received: nan"):
        agent.observe(np.nan, False, False, good)
    with pytest.raises(ValueError, match=r"(?i)observation.*received"):
        agent.observe(1.0, False, False, np.full(3, np.nan))
    assert agent.timesteps == 0 and not agent.memory.built
    agent.observe(1.0, False, False, good)  # the action still stands
    assert agent.timesteps == len(agent.memory) == 1


def test_compile_checks_its_arguments():
    agent = dqn(observation_space=BOX, action_space=DISCRETE)
    for bad in (0, -1, 1.5, "2", True):
        with pytest.raises(ValueError, match=r"`steps_per_execution` must be .*Received"):
            agent.compile(steps_per_execution=bad)
    with pytest.raises(ValueError, match=r"`jit_compile` must be .*Received: 'yes'"):
        agent.compile(jit_compile="yes")


def test_a_box_observation_with_other_dtype_is_stored_as_the_space_says():
    class Doubles(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return [0.5, 0], {}  # a list of Python numbers means what it says

        def step(self, action):
            return np.array([0.25, 1.0]), np.float64(2), np.bool_(False), 0, {}

    agent = dqn(Doubles())
    agent.fit(Doubles(), steps=10, verbose=0)
    batch = next(iter(agent.memory.dataset(batch_size=8)))
    assert batch["observation"].dtype == "float32" and batch["reward"].numpy().tolist() == [2.0] * 8
