"""The estimator's agent killed at any moment: a run that goes on ends where an uninterrupted one does."""

import json
import os
import sys

import forked
import numpy as np
import pytest
from counting import GRID, Count, counters, make, same, state_of

from kagent.estimators import Memory, RunConfig

EPISODES = 40

# It trains in forked processes, and kills them one after the other.
PROGRAM = """
import json, os, random, signal, sys, time
from pathlib import Path
from counting import Count
from kagent.callbacks import Callback
from test_killed_estimators import agent, newest, train

class Ends(Callback):
    def on_episode_end(self, episode, logs=None):
        os.write(told, b"%d\\n" % (episode + 1))

directory, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
for _ in range(kills):
    before, (heard, told) = newest(directory), os.pipe()
    child = os.fork()
    if not child:
        made = agent(directory)
        os.write(told, b"%d\\n" % made.global_episode)
        train(made, hooks=[Ends()])
        os._exit(0)
    os.close(told)
    ended = lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    while newest(directory) == before and not ended():
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    episodes = [int(line) for line in os.fdopen(heard).read().split()]
    print(json.dumps({"resumed": episodes[0], "finished": episodes[-1], "newest": newest(directory)}))
"""


def agent(directory=None, seed=0):
    config = RunConfig(seed=seed, save_episodes=2, summaries=None, log_episodes=None)
    return make(memory=Memory(1000, 8, saved=True), config=config, model_dir=directory)


def train(made, **arguments):
    return made.train(Count(), max_episodes=EPISODES, **GRID, **arguments)


def newest(directory):
    """Episode of the newest checkpoint, 0 without any."""
    return max((int(path.name[5:].split(".")[0]) for path in directory.glob("ckpt-*.weights.h5")), default=0)


@pytest.fixture(scope="module")
def whole():
    """An agent that nothing has interrupted."""
    return train(agent())


@pytest.mark.thorough
def test_killed_at_any_moment_it_ends_where_the_uninterrupted_run_does(tmp_path, whole):
    directory, chance = tmp_path / "run", str(int.from_bytes(os.urandom(4), "big"))
    paths = os.pathsep.join([os.path.dirname(__file__), *(path for path in sys.path if path)])
    found = forked.run(["-c", PROGRAM, directory, "3", chance], env={**os.environ, "PYTHONPATH": paths}, timeout=120)
    assert found.returncode == 0, found.stderr[-3000:]
    lives = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(lives) == 3 and lives[0]["resumed"] == 0, (chance, lives)
    for life, following in zip(lives, [*lives[1:], None]):
        # Every second episode is saved, and no more is lost than what has ended since.
        assert life["resumed"] <= life["newest"] <= life["finished"] <= life["newest"] + 2 <= EPISODES, (chance, lives)
        assert following is None or following["resumed"] == life["newest"], (chance, lives)
    assert newest(directory) == lives[-1]["newest"]
    again = agent(directory, seed=5)
    assert again.global_episode == lives[-1]["newest"]
    train(again)
    assert counters(again) == counters(whole) == (10 * EPISODES, EPISODES, 3 * EPISODES - 2)
    assert same(state_of(again), state_of(whole)), chance
    states = np.linspace(-1, 9, 7)[:, None]
    np.testing.assert_array_equal(again.predict(states, "q")["q"], whole.predict(states, "q")["q"])
