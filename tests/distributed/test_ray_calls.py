"""How calls go to the actors of Ray and back, without Ray."""

import pickle
import types

import numpy as np
import pytest

import kagent
from kagent.distributed import ray_workers
from kagent.distributed.job import Job
from kagent.distributed.worker import Streams
from kagent.schedules import Clock


def test_small_blocks_come_pickled_and_large_ones_do_not(monkeypatch):
    agent = kagent.PPO("CartPole-v1", network={"units": [4]}, n_steps=2, batch_size=4, seed=0)
    job = Job("CartPole-v1", 0, 2, 2, agent.actor.to_config(), agent.exploration, {}, None)
    servant = ray_workers.RayServant()
    for method, *arguments in (("open", job), ("start", [1, 2])):
        kind, _ = servant.call(pickle.dumps((method, tuple(arguments))))
        assert kind == "done"
    weights, version = agent.actor.served_weights()
    streams = Streams(dict(agent._random["act"].bit_generator.state), None)
    packed = pickle.dumps(("collect", (version, [tuple(Clock(t)) for t in range(3)], streams)))
    found = servant.call(packed, weights)
    kind, (block, _) = pickle.loads(found)  # noqa: S301
    assert kind == "done" and block["columns"]["outcome.0"].shape == (3, 2)
    monkeypatch.setattr(ray_workers, "_SMALL", 100)  # bytes; the observations are 4 * 2 * 16
    kind, (block, _) = servant.call(packed, weights)
    assert kind == "done" and block["columns"]["observation.0"].nbytes == 128
    assert servant.call(pickle.dumps(("collect", ())))[0] == "raised"


class Sent:
    """An object of Ray's store."""


@pytest.fixture
def ray():
    """What `RayWorkers` takes of Ray; `sent` are the calls of all actors."""
    found = types.SimpleNamespace(sent=[], pickled=[], ObjectRef=Sent)

    def dumps(value):
        found.pickled.append(value)
        return pickle.dumps(value)

    def call(packed, *shared):
        found.sent.append((pickle.loads(packed), shared))  # noqa: S301
        return object()

    actor = types.SimpleNamespace(call=types.SimpleNamespace(remote=call))
    kind = types.SimpleNamespace(remote=lambda: actor)
    found.remote = lambda servant: types.SimpleNamespace(options=lambda **given: kind)
    found.cloudpickle = types.SimpleNamespace(dumps=dumps)
    found.put = lambda weights: Sent()
    return found


def test_what_several_workers_get_is_pickled_once(ray):
    workers = ray_workers.RayWorkers(ray, 2, 1.0, own=False)
    for worker in range(2):
        workers.start(worker)
    shared, clocks = workers.share(np.zeros(1 << 20, np.float32)), [(1,)]
    assert isinstance(shared, Sent) and isinstance(workers.share(np.zeros(4, np.float32)), np.ndarray)
    for worker in range(2):
        workers.submit(worker, "collect", shared, 1, clocks)
    assert ray.sent == [(("collect", (1, clocks)), (shared,))] * 2 and len(ray.pickled) == 1
    workers.submit(0, "collect", shared, 1, [(2,)])
    assert ray.sent[2] == (("collect", (1, [(2,)])), (shared,)) and len(ray.pickled) == 2
    with pytest.raises(TypeError, match=r"`env` must be a callable that can be sent to another process: .*pickle"):
        workers.submit(0, "open", (number for number in ()))
