"""Workers that go on while the agent learns: what arrives is in order, updates keep their ratio, nothing piles up, faults cost little."""

import contextlib
import math
import os
import signal
import threading
import time

import numpy as np
import pytest
from transports import InProcess, Processes
from variants import thorough

import kagent

LONGEST = 5  # timesteps of an episode
NETWORK = {"type": "mlp", "units": [4]}
REPLAYED = {"network": NETWORK, "memory": 200, "batch_size": 4, "start": 16, "frequency": 16, "seed": 3}
STEPS = 8  # of a rollout

pytestmark = pytest.mark.eager


def dqn(**changes):
    agent = kagent.DQN("CartPole-v1", max_episode_timesteps=LONGEST, **{**REPLAYED, "horizon": 0, **changes})
    agent.compile(run_eagerly=True)
    return agent


def impala(**changes):
    given = {"network": NETWORK, "n_steps": STEPS, "batch_size": 4 * STEPS, "epochs": 1, "seed": 3, **changes}
    agent = kagent.IMPALA("CartPole-v1", max_episode_timesteps=LONGEST, **given)
    agent.compile(run_eagerly=True)
    return agent


class Bounded(InProcess):
    """Counts the calls that wait for a worker."""

    def submit(self, worker, method, *arguments):
        super().submit(worker, method, *arguments)
        waiting = [index for index, *_ in self.waiting]
        assert len(set(waiting)) == len(waiting) <= self.num_workers


class Arrivals:
    """Notes the timesteps that a memory gets, and checks that those of each environment follow each other."""

    def __init__(self, agent):
        self.memory, self.append, self.cut = agent.memory, agent.memory.append_leaves, agent.memory.cut_episodes
        self.last, self.count, self.cuts = {}, 0, 0
        agent.memory.append_leaves, agent.memory.cut_episodes = self.take, self.forget

    def take(self, *fields):
        (observation,), (following,), valid = fields[0], fields[5], fields[6]
        over = fields[3] | fields[4]
        for row in range(len(over)) if valid is None else np.flatnonzero(valid):
            if row in self.last:
                assert (observation[row] == self.last[row]).all()
            else:
                assert (np.abs(observation[row]) <= 0.05).all()  # as CartPole begins
            self.last[row] = following[row].copy()
            if over[row]:
                del self.last[row]
            self.count += 1
        self.append(*fields)

    def forget(self, rows):
        rows = list(rows)
        self.cuts += len(rows)
        for row in rows:
            self.last.pop(row, None)
        self.cut(rows)


class Episodes(kagent.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.ended, self.updates = [], []

    def on_episode_end(self, episode, logs=None):
        assert logs["episode_return"] == logs["episode_length"] <= LONGEST
        self.ended.append(logs["env"])

    def on_update_end(self, update, logs=None):
        self.updates.append(self.model.timesteps)


def train(agent, source, steps=192, **given):
    return agent.fit("CartPole-v1", steps=steps, steps_per_epoch=steps // 2, verbose=0, workers=source, **given).history


@pytest.mark.parametrize("latest_first", [False, True])
def test_replayed_timesteps_are_in_order_and_updates_due_as_without_workers(latest_first):
    agent, source, watch = dqn(), Bounded(3, 2, latest_first=latest_first), Episodes()
    arrivals = Arrivals(agent)
    history = train(agent, source, callbacks=[watch])
    assert arrivals.count == agent.timesteps == 192 and len(agent.memory) == 192
    assert watch.updates == list(range(16, 193, 16))  # each at its own time: none is late, and none is early
    assert agent.episodes == len(watch.ended) > 30
    assert set(watch.ended) == ({4, 5} if latest_first else set(range(6)))
    assert source.calls.count((0, "open")) == 1 and source.closed == 1
    assert len(source.shared) <= 8  # once per block at most
    assert 0 <= history["weights_age"][0] <= history["weights_age_max"][1]


def test_ages_are_counted_in_updates():
    # Three workers with blocks of 64 timesteps, in each of which 2 updates are due (16, 48, 80 ...). The first three are by the first
    # weights. Later ones were called for when the third block before them arrived.
    agent = dqn(frequency=32)
    history = train(agent, InProcess(3, 2), steps=384)
    ages = [0, 2, 4, 6, 6, 6]
    assert history["weights_age"] == pytest.approx([np.mean(ages[:3]), np.mean(ages[3:])])
    assert history["weights_age_max"] == [4.0, 6.0]


def test_sums_of_rewards_over_several_timesteps_are_of_one_episode():
    agent = dqn(horizon=2, discount=1.0, prioritized=True, frequency=64)
    train(agent, InProcess(3, 2))
    views = agent.memory.storage.views
    count = len(agent.memory)
    reward, over = views["reward"][:count], (views["terminated"] + views["truncated"])[:count] > 0
    assert count > 150 and (reward[~over] == 3.0).all()
    assert set(reward[over]) == {1.0, 2.0, 3.0}


def test_sequences_of_a_recurrent_network_are_of_one_environment():
    memory = {"type": "ReplaySequences", "capacity": 400, "sequence_length": 4, "burn_in": 2}
    agent = dqn(memory=memory, network={"units": [4], "rnn": 3}, start=64, frequency=64)
    arrivals = Arrivals(agent)
    train(agent, InProcess(2, 2))
    assert arrivals.count == 192 and agent.updates > 0


@pytest.mark.parametrize("make", [dqn, thorough(impala)])
def test_a_worker_may_end_in_any_call(make):
    """In each call of a run in turn: the agent has all its timesteps, and what the memory holds is whole."""
    source, steps = InProcess(2, 2), 192 if make is dqn else 64
    given = {"frequency": 64} if make is dqn else {}
    train(make(**given), source, steps)
    for number in range(1, len(source.calls) + 1):
        agent, watch = make(**given), Episodes()
        arrivals = Arrivals(agent) if make is dqn else None
        with pytest.warns(UserWarning, match=r"Worker . .*has ended: killed by the test. Its open episodes"):
            train(agent, InProcess(2, 2, fate=lambda n, *_, at=number: n == at), steps, callbacks=[watch])
        assert agent.timesteps == steps and agent.episodes == len(watch.ended)
        assert arrivals is None or arrivals.count == 192
        assert agent.updates == (3 if make is dqn else 2)


class Rollouts(kagent.callbacks.Callback):
    """What an update of IMPALA learns from."""

    def __init__(self):
        super().__init__()
        self.weights, self.seen = [], []

    def on_update_begin(self, update, logs=None):
        views = self.model.memory.storage.views
        assert views["valid"].all() and views["log_prob_known"].all()
        names = ("observation.0", "action.0", "log_prob", "next_observation.0", "terminated", "truncated")
        self.seen.append({name: np.array(views[name]) for name in names})
        self.model.actor.program.refresh_weights()
        self.weights.append(self.model.actor.program.weights.copy())


@pytest.mark.parametrize("latest_first", [False, True])
def test_impala_knows_how_likely_actions_were_and_its_columns_are_blocks(latest_first):
    agent, watch = impala(learning_rate=0.1), Rollouts()
    history = train(agent, Bounded(2, 2, latest_first=latest_first), callbacks=[watch])
    assert agent.updates == len(watch.seen) == 6
    for number, seen in enumerate(watch.seen):
        # A worker is called when its block arrives, before the update. Of the one that answers first each time, the second block of a
        # rollout is of weights that it got in the first place of this rollout.
        columns = [max(0, number - 1)] * 4
        if latest_first:
            columns[2:] = [number] * 2
        for column, version in enumerate(columns):
            agent.actor.program.set_weights(watch.weights[version])
            rows = slice(column, None, 4)
            found = agent.actor.log_prob([seen["observation.0"][rows]], [seen["action.0"][rows].astype(np.int32)])
            np.testing.assert_allclose(seen["log_prob"][rows], found, atol=1e-5)
        first, then = (seen[name].reshape(STEPS, 4, -1) for name in ("observation.0", "next_observation.0"))
        over = (seen["terminated"] + seen["truncated"]).reshape(STEPS, 4) > 0
        assert (first[1:][~over[:-1]] == then[:-1][~over[:-1]]).all() and over[-1].all()
    assert history["weights_age_max"] == [1.0, 1.0]
    assert history["importance_weight"][1] < 1.0 - 1e-4


def test_who_may_and_who_may_not():
    ppo = kagent.PPO("CartPole-v1", network=NETWORK, n_steps=8, batch_size=8)
    for agent, given, message in (
        (ppo, True, "must be False or None for PPO.*Received: True.*kagent.IMPALA"),
        (dqn(), False, "must be True or None for DQN.*Received: False"),
    ):
        source = InProcess(2, 2, asynchronous=given)
        with pytest.raises(ValueError, match=message):
            agent.fit("CartPole-v1", steps=10, verbose=0, workers=source)
        assert source.started == [] and agent.timesteps == 0
    with pytest.raises(TypeError, match="`asynchronous`"):
        kagent.distributed.Ray(2, asynchronous=1)
    agent, waiting = impala(), InProcess(2, 2, asynchronous=False)
    history = train(agent, waiting)
    assert agent.updates == 6 and "weights_age" not in history


def test_a_run_goes_on_with_new_episodes(tmp_path):
    agent = dqn()
    train(agent, InProcess(2, 2), steps=64)
    agent.save_weights(tmp_path / "a.weights.h5")
    other = dqn()
    other.load_weights(tmp_path / "a.weights.h5")
    assert other.timesteps == 64 and len(other.memory) == 64
    arrivals = Arrivals(other)
    train(other, InProcess(2, 2), steps=64)
    assert arrivals.cuts >= 4 and arrivals.count == 64 and other.timesteps == 128 and len(other.memory) == 128
    assert other.updates == len(range(16, 129, 16))


@pytest.mark.slow
@pytest.mark.parametrize("make", [dqn, impala])
def test_processes_that_are_killed(make):
    rng = np.random.default_rng(0)
    source, stop = Processes(2, 2), threading.Event()

    def kill():
        while not stop.wait(float(rng.uniform(2.0, 4.0))):
            pids = [pid for pid in source.pids if pid]
            with contextlib.suppress(ProcessLookupError):  # it was ended already
                os.kill(pids[int(rng.integers(len(pids)))], signal.SIGKILL)

    agent, watch = make(), Episodes()
    killer = threading.Thread(target=kill)
    killer.start()
    begin = time.monotonic()
    try:
        with pytest.warns(UserWarning, match="has ended"):
            while time.monotonic() - begin < 20.0:
                train(agent, source, steps=640, callbacks=[watch])
    finally:
        stop.set()
        killer.join()
    assert agent.episodes == len(watch.ended) and agent.timesteps % 640 == 0
    assert math.isfinite(float(np.sum(agent.get_weights()[0])))
