"""A worker that ends costs its open episodes; exceptions arrive with their traceback; environments that hang are replaced."""

import threading

import gymnasium
import numpy as np
import pytest
from transports import InProcess

import kagent
from kagent.distributed import WorkerError

STEPS, ENVS, LONGEST = 8, 4, 5  # of a rollout, and of an episode


@pytest.fixture
def agent():
    small = {"network": {"type": "mlp", "units": [4]}, "n_steps": STEPS, "batch_size": 32, "epochs": 1, "seed": 3}
    agent = kagent.PPO("CartPole-v1", **small, max_episode_timesteps=LONGEST)
    agent.compile(jit_compile=False, run_eagerly=True)
    return agent


def train(agent, source, env="CartPole-v1", **given):
    before = agent.timesteps, agent.episodes
    agent.fit(env, **{"steps": 64, "steps_per_epoch": 16, "verbose": 0, "workers": source, **given})
    return agent.timesteps - before[0], agent.episodes - before[1]


class Watch(kagent.callbacks.Callback):
    """Checks the memory at every update: each timestep follows the one before, or begins an episode."""

    def __init__(self):
        super().__init__()
        self.updates, self.begun, self.ended = 0, 0, 0

    def on_episode_begin(self, episode, logs=None):
        self.begun += 1

    def on_episode_end(self, episode, logs=None):
        self.ended += 1
        assert logs["episode_length"] <= LONGEST and logs["episode_return"] == logs["episode_length"]

    def on_update_begin(self, update, logs=None):
        def steps(name):
            return np.asarray(self.model.memory.storage.views[name]).reshape(STEPS, ENVS, -1)

        first, then = steps("observation.0"), steps("next_observation.0")
        over = (steps("terminated") + steps("truncated"))[..., 0] > 0
        for t in range(STEPS - 1):
            assert (first[t + 1][~over[t]] == then[t][~over[t]]).all()
            assert (np.abs(first[t + 1][over[t]]) <= 0.05).all()  # as CartPole begins
        self.updates += 1


@pytest.mark.thorough
@pytest.mark.eager
def test_a_worker_may_end_in_any_call(agent):
    """In each call of a run in turn, between the halves of a rollout too: the agent has all its timesteps, and they are whole."""
    source = InProcess(2, 2)
    assert train(agent, source)[0] == 64
    calls = list(source.calls)
    assert [calls.count((0, name)) for name in ("open", "start", "collect", "state")] == [1, 1, 4, 1]
    for number, (worker, method) in enumerate(calls, 1):
        dying, watch = InProcess(2, 2, fate=lambda n, worker, method, at=number: n == at), Watch()
        with pytest.warns(UserWarning, match=f"Worker {worker} .*has ended: killed by the test. Its open episodes"):
            timesteps, episodes = train(agent, dying, callbacks=[watch])
        assert (timesteps, episodes, watch.updates) == (64, watch.ended, 2)
        assert sorted(dying.started) == sorted([0, 1, worker]) and dying.closed == 1
        assert method in ("open", "start") or watch.begun >= watch.ended + 2


@pytest.mark.eager
def test_a_worker_that_ends_each_time(agent):
    source = InProcess(2, 2, fate=lambda n, worker, method: (worker, method) == (1, "collect"))
    with (
        pytest.warns(UserWarning),
        pytest.raises(WorkerError, match=r"Worker 1 \(environments 2 to 3, .*each of 5 attempts"),
    ):
        train(agent, source)
    assert source.closed == 1 and source.started == [0, 1, 1, 1, 1, 1] and agent.timesteps == 0
    assert train(agent, InProcess(2, 2))[0] == 64  # the agent can be used as before


class Faulty(gymnasium.Wrapper):
    """Raises at a step, or hangs in it once."""

    def __init__(self, error=None, hang=None):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.error, self.hang, self.time = error, hang, 0

    def step(self, action):
        self.time += 1
        if self.error is not None and self.time == 6:
            raise self.error
        if self.hang and self.time == 6:
            self.hang.pop().wait(20)
        return self.env.step(action)


class OwnError(Exception):
    pass


@pytest.mark.eager
@pytest.mark.parametrize("error", [KeyError("at the sixth"), OwnError("at the sixth")])
def test_an_exception_arrives_with_its_traceback(agent, error):
    source, made = InProcess(2, 2), []

    def make():
        made.append(Faulty(error if len(made) == 3 else None))
        return made[-1]

    kind = KeyError if isinstance(error, KeyError) else WorkerError
    with pytest.raises(kind, match="at the sixth") as raised:
        train(agent, source, make)
    assert raised.value.args == (("at the sixth",) if kind is KeyError else ("OwnError: at the sixth",))
    (note,) = raised.value.__notes__
    assert "worker 1 (environments 2 to 3, process " in note and "raise self.error" in note
    assert "raised by `step` of env 1, episode step 1" in note  # the collector's own
    assert source.closed == 1 and agent.timesteps == 16  # those of the epoch before


@pytest.mark.eager
def test_an_environment_that_hangs_is_replaced(agent):
    release = threading.Event()
    hanging = [release]

    def make():
        return Faulty(hang=hanging)

    source, watch = InProcess(2, 2), Watch()
    with pytest.warns(UserWarning, match="Worker 0 .*hangs: env 0, .*has not returned for step_timeout=0.2 seconds"):
        timesteps, _ = train(agent, source, make, step_timeout=0.2, callbacks=[watch])
    release.set()
    assert (timesteps, watch.updates, source.started) == (64, 2, [0, 1, 0])
