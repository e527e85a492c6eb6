"""Runners with several environments: in other processes, of several actors, of several episodes at once."""

import os
import time

import gymnasium
import numpy as np
import pytest

from kagent.compat import tensorforce

VPG = {
    "agent": "vpg", "network": [{"type": "dense", "size": 4}], "batch_size": 1, "config": {"seed": 0, "eager_mode": True},
}  # fmt: skip


class Walk(tensorforce.Environment):
    """Ends after `length` timesteps; actions are the rewards."""

    def __init__(self, length=3, fails=None, slow=0.0):
        self.length, self.fails, self.slow = length, fails, slow

    def states(self):
        return {"type": "float", "shape": (2,)}

    def actions(self):
        return {"type": "int", "num_values": 2}

    def reset(self):
        self.time = 0
        return self.seen()

    def execute(self, actions):
        if self.fails == "raises":
            raise KeyError("the door is shut")
        if self.fails == "dies":
            os._exit(3)
        time.sleep(self.slow)
        self.time += 1
        return self.seen(), self.time == self.length, float(actions)

    def seen(self):
        return np.array([self.time, 0.0])


def run(environment, runner=None, **bounds):
    runner = tensorforce.Runner(VPG, environment, 4, **(runner or {}))
    runner.run(**bounds, use_tqdm=False)
    found = [variable.numpy() for variable in runner.agent.model.weights]
    runner.close()
    return runner, found


@pytest.mark.thorough
def test_other_processes_give_the_same_run():
    local = {"environment": Walk, "length": 3}
    one, expected = run(local, runner={"num_parallel": 2}, num_episodes=4)
    for runner, run_words in (
        ({"remote": "multiprocessing"}, {"sync_timesteps": True}),
        ({"remote": "multiprocessing", "blocking": True}, {}),
    ):
        other, found = run(local, runner={"num_parallel": 2, **runner}, num_episodes=4, **run_words)
        assert other.episode_returns == one.episode_returns and other.episode_timesteps == [3] * 4
        assert other.timesteps == other.agent.timesteps == 12
        for array, wanted in zip(found, expected):
            np.testing.assert_array_equal(array, wanted)


def test_whichever_is_ready_is_served_first():
    """The slow one takes a second for its timestep, in which the other has many episodes."""
    environments = [{"environment": Walk, "slow": 1.0}, {"environment": Walk, "length": 1}]
    runner = tensorforce.Runner(VPG, None, 4, environments=environments, remote="multiprocessing")
    runner.run(num_updates=3, use_tqdm=False)
    assert runner.episode_timesteps == [1, 1, 1] and runner.updates == 3
    processes = [one.environment._process for one in runner.environments]
    assert all(process.is_alive() for process in processes)
    runner.close()
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize("words", [{}, {"batch_agent_calls": True}])
def test_a_bound_of_timesteps_cuts_off_what_is_under_way(words):
    runner, _ = run(Walk, runner={"num_parallel": 2}, num_timesteps=4, **words)
    assert runner.timesteps == runner.agent.timesteps == 4
    assert runner.agent.episodes == 2 and runner.episode_timesteps == [2, 2]


def test_episodes_together_are_not_more_than_are_left():
    runner, _ = run(Walk, runner={"num_parallel": 2}, num_episodes=3, sync_episodes=True)
    assert runner.episodes == 3 and runner.timesteps == 9


def test_remote_environments_in_a_loop():
    np.random.seed(0)
    environment = tensorforce.Environment.create(Walk, 2, lambda s, a, t, r, n: r + n[0], remote="multiprocessing")
    assert environment.max_episode_timesteps() == 2 and environment.states()["shape"] == (2,)
    environment.start_reset()
    while (found := environment.receive_execute()) is None:
        time.sleep(0.001)
    np.testing.assert_array_equal(found[0], [0.0, 0.0])
    assert found[1:] == (-1, None)
    assert environment.execute(1)[1:] == (0, 2.0) and environment.execute(0)[1:] == (2, 2.0)
    with pytest.raises(AttributeError, match="in another process"):
        environment.length = 5
    with pytest.raises(RuntimeError, match="nothing is under way"):
        environment.receive_execute()
    environment.close()


@pytest.mark.parametrize(
    ("fails", "error"), [("raises", "KeyError: 'the door is shut'"), ("dies", r"ended \(exit code 3\)")]
)
def test_what_fails_in_another_process_is_said(fails, error):
    environment = tensorforce.Environment.create(Walk, remote="multiprocessing", fails=fails)
    environment.reset()
    with pytest.raises(RuntimeError, match=error):
        environment.execute(1)
    environment.close()


def test_remote_words_that_are_refused():
    with pytest.raises(NotImplementedError, match=r"that `Environment.create` returned"):
        Walk().start_reset()
    for words in ({"remote": "socket-client", "host": "here", "port": 1}, {"remote": "socket-server", "port": 1}):
        with pytest.raises(ValueError, match=r"not behind sockets.*workers=kagent.distributed.Ray"):
            tensorforce.Environment.create({"environment": Walk}, **words)
        with pytest.raises(ValueError, match="not behind sockets"):
            tensorforce.Runner(VPG, num_parallel=2, **words)
    with pytest.raises(ValueError, match="`blocking` is for remote"):
        tensorforce.Environment.create(Walk, blocking=True)
    for made in (Walk(), gymnasium.make("CartPole-v1")):
        with pytest.raises(TypeError, match="still to be made"):
            tensorforce.Environment.create(made, remote="multiprocessing")
    with pytest.raises(RuntimeError, match=r"TypeError.*unexpected keyword"):
        tensorforce.Environment.create(Walk, remote="multiprocessing", colour=1)


# Several actors --------------------------------------------------------------------------------------------------


class Pair(Walk):
    """Two actors, of which the second one ends after one timestep. The reward is its own action, and 10 of the second one."""

    def num_actors(self):
        return 2

    def reset(self):
        self.time, self.open = 0, np.arange(2)
        return self.open.copy(), np.array([[0.0, 0.0], [0.0, 1.0]])

    def execute(self, actions):
        assert actions.shape == self.open.shape
        self.time += 1
        ends = np.array([self.time == 3, True][: len(self.open)])
        rewards = actions + 10.0 * self.open
        self.open = self.open[~ends]
        return self.open.copy(), np.array([[self.time, 0.0]])[: len(self.open)], ends, rewards


@pytest.mark.parametrize("remote", [None, "multiprocessing"])
def test_several_actors_of_one_environment(remote):
    runner, _ = run(Pair, runner={"remote": remote}, num_episodes=4)
    assert runner.agent.parallel_interactions == 2 and len(runner.environments) == 1
    assert runner.episode_timesteps == [1, 3, 1, 3] and runner.timesteps == runner.agent.timesteps == 8
    assert all(found >= 10 for found in runner.episode_returns[::2]) and max(runner.episode_returns[1::2]) <= 3
    with pytest.raises(ValueError, match="`num_parallel` is for environments of one actor"):
        tensorforce.Runner(VPG, Pair, num_parallel=2)


class Many(Walk):
    """Episode i of several at once ends after i + 1 timesteps."""

    def is_vectorizable(self):
        return True

    def reset(self, num_parallel=None):
        assert num_parallel is not None
        self.time, self.open = 0, np.arange(num_parallel)
        return self.open.copy(), np.zeros((num_parallel, 2))

    def execute(self, actions):
        self.time += 1
        ends = self.open < self.time
        self.open = self.open[~ends]
        return self.open.copy(), np.full((len(self.open), 2), float(self.time)), ends, np.asarray(actions, float)


def test_a_vectorizable_environment_has_its_episodes_at_once():
    runner, _ = run(Many, runner={"num_parallel": 3}, num_episodes=5)
    assert runner.episode_timesteps == [1, 2, 3, 1, 2] and len(runner.environments) == 1
    cut, _ = run(Many, runner={"num_parallel": 3}, num_timesteps=4)
    assert cut.episode_timesteps == [1, 2, 2] and cut.agent.timesteps == 5  # the last timestep is of all that are open
