"""How calls go to the actors of Ray, without Ray."""

import types

import numpy as np
import pytest

import kagent
from kagent.distributed import ray_workers
from kagent.distributed.job import Job
from kagent.distributed.worker import Streams
from kagent.schedules import Clock


def test_a_call_is_one_argument_beside_what_is_shared():
    agent = kagent.PPO("CartPole-v1", network={"units": [4]}, n_steps=2, batch_size=4, seed=0)
    job = Job("CartPole-v1", 0, 2, 2, agent.actor.to_config(), agent.exploration, {}, None)
    servant = ray_workers.RayServant()
    for method, *arguments in (("open", job), ("start", [1, 2])):
        kind, _ = servant.call((method, tuple(arguments)))
        assert kind == "done"
    weights, version = agent.actor.served_weights()
    streams = Streams(dict(agent._random["act"].bit_generator.state), None)
    kind, (block, _) = servant.call(("collect", (version, [tuple(Clock(t)) for t in range(3)], streams)), weights)
    assert kind == "done" and block["columns"]["outcome.0"].shape == (3, 2)
    assert servant.call(("collect", ()))[0] == "raised"


class Sent:
    """An object of Ray's store."""


@pytest.fixture
def ray():
    """What `RayWorkers` takes of Ray; `sent` are the calls of all actors."""
    found = types.SimpleNamespace(sent=[], ObjectRef=Sent)

    def call(*arguments):
        if any(isinstance(part, types.GeneratorType) for part in arguments[0][1]):
            raise TypeError("Could not serialize the argument") from TypeError("cannot serialize 'generator'")
        found.sent.append(arguments)
        return object()

    actor = types.SimpleNamespace(call=types.SimpleNamespace(remote=call))
    kind = types.SimpleNamespace(remote=lambda: actor)
    found.remote = lambda servant: types.SimpleNamespace(options=lambda **given: kind)
    found.put = lambda weights: Sent()
    return found


def test_large_weights_are_shared_and_small_ones_go_with_the_call(ray):
    workers = ray_workers.RayWorkers(ray, 2, 1.0, own=False)
    for worker in range(2):
        workers.start(worker)
    large, small = workers.share(np.zeros(1 << 20, np.float32)), workers.share(np.zeros(4, np.float32))
    assert isinstance(large, Sent) and isinstance(small, np.ndarray)
    workers.submit(0, "collect", large, 1, [(1,)])
    workers.submit(1, "collect", small, 1, [(1,)])
    assert ray.sent == [(("collect", (1, [(1,)])), large), (("collect", (small, 1, [(1,)])),)]
    with pytest.raises(TypeError, match=r"`env` must be a callable that can be sent to another process: .*generator"):
        workers.submit(0, "open", (number for number in ()))
