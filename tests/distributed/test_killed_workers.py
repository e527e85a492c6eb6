"""Processes of multiprocessing as workers, killed at random instants."""

import os
import random
import signal
import threading
import time

import pytest
from agent_states import differences, state_of
from transports import Processes

import kagent

NETWORK = {"type": "mlp", "units": [4]}


def make():
    agent = kagent.PPO("CartPole-v1", network=NETWORK, n_steps=32, batch_size=64, epochs=1, seed=5)
    agent.compile(jit_compile=False)
    return agent


class Kills(kagent.callbacks.Callback):
    """Kills random workers at random instants of a run, from another thread, and stops it some updates later."""

    def __init__(self, count):
        super().__init__()
        self.count, self.killed, self.after = count, 0, 0
        self.random, self.ended = random.Random(0), 0

    def on_train_begin(self, logs=None):
        threading.Thread(target=self.kill, daemon=True).start()

    def kill(self):
        while self.killed < self.count:
            time.sleep(self.random.uniform(0.01, 0.8))
            trainer = self.model._run.trainer
            if trainer is None:
                continue
            try:  # one that is at work: another one is on its way to being so
                os.kill(self.random.choice(trainer.collector.fleet.about)["pid"], signal.SIGKILL)
                self.killed += 1
            except ProcessLookupError:
                pass

    def on_episode_end(self, episode, logs=None):
        assert episode == self.ended
        self.ended += 1

    def on_update_end(self, update, logs=None):
        self.after += self.killed == self.count
        self.model.stop_training = self.after > 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Worker . ")
def test_fifty_killed_workers():
    source = Processes(3, 2)
    kills = Kills(50)
    agent = make()
    agent.fit("CartPole-v1", steps=10**8, steps_per_epoch=10**8, verbose=0, workers=source, callbacks=[kills])
    assert kills.killed == 50 and agent.episodes == kills.ended
    assert agent.timesteps == agent.updates // 3 * 32 * 6 and agent.timesteps > 0
    assert all(process.exitcode is not None for process in source.processes.values())


@pytest.mark.thorough
def test_processes_equal_local_environments():
    local, workers = make(), make()
    local.fit("CartPole-v1", n_envs=4, steps=512, verbose=0)
    workers.fit("CartPole-v1", workers=Processes(2, 2), steps=512, verbose=0)
    assert differences(state_of(local), state_of(workers)) == []
