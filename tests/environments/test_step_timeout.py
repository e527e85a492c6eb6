"""Environments that hang, workers that die, and what of them can be used afterwards."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time

import gymnasium
import numpy as np
import pytest
from faulty_envs import Faulty
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from toy_envs import Counter
from variants import with_few

from kagent import environments

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Calling `close` while waiting"),
    pytest.mark.filterwarnings("ignore:(?s).*ERROR. "),  # gymnasium's, of workers whose environment raised
]
STAY = [np.zeros(2, np.int64)]
SOON = 0.2


class Hanging(Counter):
    """Waits for `gate` in step `at`, or in a reset after the first one where `at` is 0."""

    def __init__(self, gate, at=2):
        super().__init__(lengths=(3,))
        self.gate, self.at, self.threads, self.closed = gate, at, set(), False

    def reset(self, *, seed=None, options=None):
        if self.at == 0 and self.episode >= 0:
            self.gate.wait()
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.threads.add(threading.current_thread().name)
        if self.time + 1 == self.at:
            self.gate.wait()
        return super().step(action)

    def close(self):
        self.closed = True


class Sleeping(Counter):
    """Sleeps for a minute in its second step."""

    def step(self, action):
        if self.time == 1 and self.offset == 1:
            time.sleep(60)
        return super().step(action)


@pytest.fixture
def gate():
    event = threading.Event()
    yield event
    event.set()


def workers(*functions, **options):
    return AsyncVectorEnv(functions, context="fork", **options)


def kill(env, index, number=signal.SIGKILL):
    os.kill(env.processes[index].pid, number)
    env.processes[index].join(10)


@pytest.mark.parametrize(("at", "name"), [(2, "step"), (0, "reset")])
def test_a_single_env_that_hangs_is_named(gate, at, name):
    made = [Counter(), Hanging(gate, at)]
    envs = environments.make(lambda: made.pop(0), n_envs=2, step_timeout=SOON)
    hanging = envs.envs[1]
    envs.reset()
    begin = time.perf_counter()
    with pytest.raises(
        TimeoutError, match=rf"env 1, <Hanging.*`{name}` has not returned for step_timeout=0.2 s"
    ) as caught:
        for _ in range(3):
            envs.step(STAY)
    assert time.perf_counter() - begin < 30
    assert "env 1" in "".join(caught.value.__notes__) and "seed" in "".join(caught.value.__notes__)
    with pytest.raises(RuntimeError, match="`step` needs `reset`"):
        envs.step(STAY)
    envs.close()
    assert not hanging.closed  # nobody may touch it while it hangs
    with pytest.raises(RuntimeError, match=r"env 0.*has not returned from an earlier .*make a new one"):
        environments.make(hanging)
    gate.set()
    for _ in range(100):
        try:
            environments.make(hanging).reset()
            return
        except RuntimeError:
            time.sleep(0.05)
    raise AssertionError("it has returned, and may be used again")


def test_a_hanging_single_env_does_not_keep_the_process():
    code = (
        "import time, numpy, toy_envs\n"
        "from kagent import environments\n"
        "class Hanging(toy_envs.Counter):\n"
        "    def step(self, action): time.sleep(600)\n"
        "envs = environments.make(Hanging, step_timeout=0.1)\n"
        "envs.reset()\n"
        "try: envs.step([numpy.zeros(1, int)])\n"
        "except TimeoutError: print('in time')\n"
        "envs.close()\n"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "in time\n", found.stderr


def test_without_a_timeout_steps_stay_in_the_callers_thread(gate):
    gate.set()
    env = Hanging(gate)
    envs = environments.make(env)
    envs.reset()
    envs.step([np.zeros(1, np.int64)])
    assert env.threads == {threading.current_thread().name}
    envs = environments.make(env, step_timeout=60)
    envs.reset()
    envs.step([np.zeros(1, np.int64)])
    assert len(env.threads) == 2
    envs.close()


def test_errors_and_results_come_through_the_watchdog():
    envs = environments.make(Faulty("raise", 2), step_timeout=60)
    envs.reset()
    assert envs.step([np.zeros(1, np.int64)]).reward.tolist() == [1]
    with pytest.raises(ZeroDivisionError, match="the simulator broke") as caught:
        envs.step([np.zeros(1, np.int64)])
    assert "env 0, episode step 2" in "".join(caught.value.__notes__)
    envs.close()


def test_a_hanging_replay_is_no_episode_that_differs(gate):
    gate.set()
    env = Hanging(gate)
    envs = environments.make(env)
    envs.reset()
    envs.step([np.zeros(1, np.int64)])
    envs.step([np.zeros(1, np.int64)])
    gate.clear()
    with pytest.raises(TimeoutError):
        environments.make(env, step_timeout=SOON).restore(envs.state())


WRAPPED = [
    *((lambda env: env, mode) for mode in AutoresetMode),
    (lambda env: gymnasium.wrappers.vector.TransformReward(env, np.negative), AutoresetMode.NEXT_STEP),
]


@pytest.mark.parametrize(
    ("wrap", "mode"),
    with_few(WRAPPED, WRAPPED[-2:]),
)
def test_a_worker_that_hangs_is_named(wrap, mode):
    base = workers(*(functools.partial(Sleeping, offset=i) for i in range(2)), autoreset_mode=mode)
    env = wrap(base)
    envs = environments.make(env, step_timeout=1)
    envs.reset()
    envs.step(STAY)
    begin = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"env 1 of .*has not answered for step_timeout=1 s.*new vector env"):
        envs.step(STAY)
    assert time.perf_counter() - begin < 30
    assert "step_wait" not in vars(base)  # it is gymnasium's own again
    with pytest.raises(RuntimeError, match=r"left in the middle.*new vector environment"):
        environments.make(env)
    env.close(terminate=True)


def test_an_owned_vector_env_that_hangs_is_closed():
    functions = [functools.partial(Sleeping, offset=i) for i in range(2)]
    envs = environments.make(lambda: workers(*functions), step_timeout=1)
    envs.reset()
    envs.step(STAY)
    with pytest.raises(TimeoutError):
        envs.step(STAY)
    envs.close()
    assert [process.is_alive() for process in envs.env.processes] == [False, False] and envs.env.closed


def test_other_vector_envs_that_hang(gate):
    env = SyncVectorEnv([Counter, lambda: Hanging(gate)])
    envs = environments.make(env, step_timeout=SOON)
    envs.reset()
    envs.step(STAY)
    with pytest.raises(TimeoutError, match=r"vector env SyncVectorEnv: `step` has not returned"):
        envs.step(STAY)
    with pytest.raises(RuntimeError, match="SyncVectorEnv has not returned"):
        environments.make(env)


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, True, "5"])
def test_a_timeout_must_be_positive(value):
    with pytest.raises(ValueError, match="`step_timeout` must be a number > 0 or None"):
        environments.make("CartPole-v1", step_timeout=value)


def test_a_killed_worker_is_named_with_its_exit_code():
    env = workers(Counter, Counter, Counter)
    envs = environments.make(env)
    envs.reset()
    kill(env, 1)
    action = [np.zeros(3, np.int64)]
    with pytest.raises(RuntimeError, match=r"worker 1 has ended \(exit code -9\).*new vector env") as caught:
        envs.step(action)
    assert isinstance(caught.value, ConnectionError) and caught.value.__cause__ is not None
    for again in (lambda: environments.make(env), envs.reset):
        with pytest.raises(RuntimeError, match=r"worker 1 has ended \(exit code -9\).*new vector env"):
            again()
    env.close(terminate=True)


def test_a_worker_killed_by_its_own_step_or_between_two_uses():
    env = workers(functools.partial(Faulty, "nan", 99), functools.partial(Faulty, "exit", 1))
    envs = environments.make(env)
    envs.reset()
    with pytest.raises(RuntimeError, match=r"worker 1 has ended \(exit code 7\)"):
        envs.step(STAY)
    env.close(terminate=True)
    env = workers(Counter, Counter)
    kill(env, 0, signal.SIGTERM)
    with pytest.raises(RuntimeError, match=r"worker 0 has ended \(exit code -15\)"):
        environments.make(env)
    env.close(terminate=True)


def test_a_worker_whose_env_raised():
    env = workers(functools.partial(Faulty, "nan", 99), functools.partial(Faulty, "raise", 1))
    envs = environments.make(env)
    envs.reset()
    with pytest.raises(ZeroDivisionError, match="the simulator broke"):
        envs.step(STAY)
    for again in (lambda: environments.make(env), envs.reset):
        with pytest.raises(
            RuntimeError, match=r"ZeroDivisionError was raised in it, and worker 1 has ended.*new vector env"
        ):
            again()
    env.close(terminate=True)


def test_an_interrupted_call_leaves_no_answer_to_the_next_question():
    env = workers(Counter, Counter)
    envs = environments.make(env)
    envs.reset()
    env.step_async(np.zeros(2, np.int64))  # as Ctrl-C between question and answer
    with pytest.raises(RuntimeError, match=r"interrupted call.*new vector env"):
        environments.make(env).reset()
    with pytest.raises(RuntimeError, match="new vector env"):
        environments.make(env)
    env.close()


def test_a_sync_vector_env_goes_on_after_an_error():
    env = SyncVectorEnv([functools.partial(Faulty, "nan", 99), functools.partial(Faulty, "raise", 1)])
    envs = environments.make(env)
    envs.reset()
    with pytest.raises(ZeroDivisionError):
        envs.step(STAY)
    envs = environments.make(env)
    envs.reset()
    assert envs.step(STAY).valid.all()
