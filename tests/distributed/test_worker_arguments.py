"""What does not go with workers is refused by name before one is started."""

import functools
import http.server
import sys
import threading
import types

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Counter
from transports import InProcess

import kagent
from kagent.distributed import Ray
from kagent.distributed import worker as workers
from kagent.environments import compiled

NETWORK = {"type": "mlp", "units": [4]}
GOAL = spaces.Box(-1, 1, (2,))
GOALS = {
    "observation_space": spaces.Dict(observation=GOAL, achieved_goal=GOAL, desired_goal=GOAL),
    "action_space": spaces.Discrete(2),
}
ppo = functools.partial(kagent.PPO, network=NETWORK, n_steps=8, batch_size=8)


@pytest.fixture(scope="module")
def agent():
    return ppo("CartPole-v1", seed=0)


class Timesteps(kagent.callbacks.Callback):
    def on_timestep_end(self, timestep, logs=None):
        pass


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        ({"env": gymnasium.make("CartPole-v1")}, TypeError, "`env` must be an id or a callable .*Received: "),
        ({"env": compiled.CartPole(num_envs=2)}, TypeError, "`env` must be an id or a callable .*Received: CartPole"),
        ({"validation_env": gymnasium.make("CartPole-v1")}, TypeError, "`validation_env` must be an id or a callable"),
        ({"workers": 8}, TypeError, "`workers` must be a kagent.distributed.Ray, or None. Received: 8"),
        ({"n_envs": 3}, ValueError, "`n_envs` must agree with `workers`, whose environments are 4. Received: 3"),
        ({"workers": InProcess(2, 40_000)}, ValueError, "`workers` may have 65536 environments at most"),
        ({"callbacks": [Timesteps()]}, ValueError, "Timesteps.on_timestep_end would be called when a worker"),
    ],
)
def test_arguments(agent, arguments, kind, message):
    source = InProcess(2, 2)
    with pytest.raises(kind, match=message):
        agent.fit(**{"env": "CartPole-v1", "steps": 10, "verbose": 0, "workers": source, **arguments})
    assert source.started == [] and agent.timesteps == 0


BY_EPISODES = {"type": "Linear", "initial": 1.0, "final": 0.0, "steps": 100, "unit": "episodes"}


@pytest.mark.parametrize(
    "make, message",
    [
        (
            functools.partial(kagent.DQN, **GOALS, network=NETWORK, memory={"type": "hindsight", "capacity": 100}),
            "`memory` does not .*Hindsight.*Allowed: a memory that calls no method of environments",
        ),
        (
            functools.partial(ppo, "CartPole-v1", exploration=kagent.ActionNoise(BY_EPISODES)),
            "number of finished episodes",
        ),
        (functools.partial(ppo, "CartPole-v1", variable_noise=0.1), "`policy` does not .*noise on its variables"),
    ],
)
def test_parts(make, message):
    source = InProcess(2, 2)
    agent = make()
    with pytest.raises(ValueError, match=message):
        agent.fit("CartPole-v1", steps=10, verbose=0, workers=source)
    assert source.started == [] and agent.timesteps == 0


@pytest.mark.eager
def test_progress_of_a_run_without_a_bound():
    class Stops(kagent.callbacks.Callback):
        def on_update_end(self, update, logs=None):
            self.model.stop_training = True

    agent = kagent.PQN("CartPole-v1", network={"units": [4]}, n_steps=8, batch_size=8, epochs=1)
    agent.compile(jit_compile=False, run_eagerly=True)
    with pytest.warns(UserWarning, match="measures the progress of a run that has no bound"):
        agent.fit("CartPole-v1", max_updates=float("inf"), verbose=0, callbacks=[Stops()], workers=InProcess(1))


def test_recorded_experience_has_no_workers(agent):
    data = kagent.datasets.Episodes.__new__(kagent.datasets.Episodes)
    with pytest.raises(ValueError, match=r"Recorded episodes are learned from .*workers"):
        agent.fit(data, updates=1, workers=InProcess(1))


def vector():
    return gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")


@pytest.mark.parametrize(
    "env, message",
    [
        (vector, "`env` must be an id or a callable that returns a gymnasium.Env: workers step single environments"),
        (Counter, "The spaces of `env` are not the agent's"),
        ("CartPole-v7", "Unknown environment id. Received: 'CartPole-v7'"),
    ],
)
def test_environments_are_looked_at_before_a_step(agent, env, message):
    source = InProcess(2, 2)
    with pytest.raises((TypeError, ValueError), match=message):
        agent.fit(env, steps=10, verbose=0, workers=source)
    assert source.closed == 1 and {method for _, method in source.calls} == {"open"}


def test_another_version_of_kagent(agent, monkeypatch):
    monkeypatch.setattr(workers.kagent, "__version__", "0.0.1")
    with pytest.raises(
        RuntimeError, match=r"The agent has kagent .*, and its worker on .* has kagent 0.0.1: install the same"
    ):
        agent.fit("CartPole-v1", steps=10, verbose=0, workers=InProcess(1))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_workers": 0}, "`num_workers` must be an integer >= 1. Received: 0"),
        ({"num_workers": 2, "envs_per_worker": 1.5}, "`envs_per_worker` must be an integer >= 1. Received: 1.5"),
        ({"num_workers": 2, "exact": 1}, "`exact` must be True or False. Received: 1"),
        ({"num_workers": 2, "cpus_per_worker": -1}, "`cpus_per_worker` must be a number > 0"),
        ({"num_workers": 2, "address": "ray://host:10001"}, "`address` must be None, 'auto' or 'host:port'"),
        ({"num_workers": 2, "address": "here"}, "`address` must be None, 'auto' or 'host:port'"),
    ],
)
def test_ray(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Ray(**arguments)


def test_a_port_of_another_program(monkeypatch):
    """Ray itself tries for minutes."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: False))
    address = f"127.0.0.1:{server.server_port}"
    with pytest.raises(ConnectionError, match=f"No Ray cluster can be reached at '{address}': another program listens"):
        Ray(num_workers=2, address=address).connect()
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=f"No Ray cluster can be reached at '{address}': .*refused"):
        Ray(num_workers=2, address=address).connect()


def test_ray_is_missing(agent, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'kagent\[ray\]'"):
        agent.fit("CartPole-v1", steps=10, verbose=0, workers=Ray(num_workers=2))
    assert agent.timesteps == 0 and np.isfinite(agent.get_weights()[0]).all()
