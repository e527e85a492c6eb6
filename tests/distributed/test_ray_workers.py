"""Workers of a real Ray cluster: equal to local environments, without TensorFlow, and what happens to them when they are killed."""

import functools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium
import pytest
from agent_states import differences, state_of

import kagent
from kagent.distributed import Ray

try:
    import ray
except ModuleNotFoundError:
    ray = None  # the tests then fail where `-m ray` names them

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.ray
make = functools.partial(kagent.PPO, "CartPole-v1", n_steps=32, batch_size=64, epochs=1, seed=5)


def trained(steps=1024, env="CartPole-v1", callbacks=(), normalize=False, **given):
    agent = make(normalize=normalize)
    agent.compile(jit_compile=False)
    agent.fit(env, steps=steps, steps_per_epoch=steps, verbose=0, callbacks=list(callbacks), **given)
    return agent


@pytest.fixture(scope="module")
def cluster():
    """One local cluster for most tests, as of a program that has called `ray.init`."""
    ray.init(num_cpus=8, include_dashboard=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # which its processes cannot import
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    ray.shutdown()


class Seen(kagent.callbacks.Callback):
    """What the workers said of themselves, and what they take of memory."""

    def __init__(self):
        super().__init__()
        self.about, self.resident = [], []

    def on_update_end(self, update, logs=None):
        self.about = list(self.model._run.trainer.collector.fleet.about)
        self.resident = [resident(about["pid"]) for about in self.about]


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024  # MiB


def test_a_cluster_of_its_own_equals_local_environments():
    local = trained(n_envs=8)
    workers = trained(workers=Ray(num_workers=2, envs_per_worker=4))
    assert not ray.is_initialized()
    assert differences(state_of(local), state_of(workers)) == []


def test_a_worker_is_small(cluster):
    """It has no TensorFlow, with preprocessing neither, and its memory is near that of an actor of Ray that does nothing."""

    @ray.remote
    class Nothing:
        def pid(self):
            return os.getpid()

    nothing = Nothing.remote()
    least = resident(ray.get(nothing.pid.remote()))
    seen = Seen()
    trained(workers=Ray(num_workers=2, envs_per_worker=2), callbacks=[seen], normalize=True)
    assert [about["heavy"] for about in seen.about] == [[], []]
    assert max(seen.resident) - least < 150, (seen.resident, least)
    program = "import time; a = time.process_time(); import kagent.distributed.worker; print(time.process_time() - a)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.0  # seconds of the processor


class Killer(threading.Thread):
    """Kills a random worker at random instants, until so many were killed."""

    def __init__(self, count, seed):
        super().__init__(daemon=True)
        self.count, self.random, self.killed, self.agent = count, random.Random(seed), 0, None

    def run(self):
        while self.killed < self.count:
            time.sleep(self.random.uniform(0.05, 1.5))
            trainer = getattr(getattr(self.agent, "_run", None), "trainer", None)
            if trainer is None:
                continue
            about = self.random.choice(trainer.collector.fleet.about)
            try:
                os.kill(about["pid"], signal.SIGKILL)
            except ProcessLookupError:
                continue  # its successor is not open yet
            self.killed += 1


class Until(kagent.callbacks.Callback):
    """Stops when the killer has done its work and some updates have followed."""

    def __init__(self, killer):
        super().__init__()
        self.killer, self.after, self.restarts = killer, 0, 0

    def on_train_begin(self, logs=None):
        self.killer.agent = self.model

    def on_update_end(self, update, logs=None):
        self.restarts = self.model._run.trainer.collector.fleet.restarts
        self.after += self.killer.killed == self.killer.count
        self.model.stop_training = self.after > 3


def test_killed_workers_cost_their_open_episodes(cluster):
    killer = Killer(4, seed=1)
    until = Until(killer)
    killer.start()
    with pytest.warns(UserWarning, match="Worker . .*has ended.* Its open episodes are given up"):
        agent = trained(steps=10**7, workers=Ray(num_workers=2, envs_per_worker=2), callbacks=[until])
    assert killer.killed == 4 and 1 <= until.restarts <= 4
    assert agent.timesteps % (32 * 4) == 0 and agent.updates * 64 == agent.timesteps


class Sixth(gymnasium.Wrapper):
    """Fails at the sixth step, or hangs there, where `where` does not exist yet."""

    def __init__(self, where=None):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.where, self.time = where, 0

    def step(self, action):
        self.time += 1
        if self.time == 6 and self.where is None:
            raise ZeroDivisionError("at the sixth")
        if self.time == 6 and not os.path.exists(self.where):
            with open(self.where, "w"):
                time.sleep(60)
        return self.env.step(action)


def test_exceptions_and_environments_that_hang(cluster, tmp_path):
    with pytest.raises(ZeroDivisionError, match="at the sixth") as raised:
        trained(env=lambda: Sixth(), workers=Ray(num_workers=2))
    assert "raise ZeroDivisionError" in raised.value.__notes__[0] and "worker " in raised.value.__notes__[0]
    where = str(tmp_path / "hung")
    with pytest.warns(UserWarning, match="hangs: env 0.*step_timeout=1 seconds"):
        agent = trained(env=lambda: Sixth(where), workers=Ray(num_workers=2), step_timeout=1.0)
    assert agent.timesteps == 1024


def test_a_module_that_workers_cannot_import(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("import gymnasium\ndef make():\n    return gymnasium.make('CartPole-v1')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with pytest.raises(
        ModuleNotFoundError, match=r"Worker . cannot read what it was sent: No module named 'only_here'"
    ):
        trained(env=only_here.make, workers=Ray(num_workers=2))


def test_a_callable_that_cannot_be_sent(cluster):
    lock = threading.Lock()
    with pytest.raises(
        TypeError, match=r"`env` must be a callable that can be sent to another process: cannot pickle .*lock"
    ):
        trained(env=lambda: gymnasium.make("CartPole-v1") if lock else None, workers=Ray(num_workers=2))


def test_too_few_processors(cluster):
    with pytest.raises(ValueError, match=r"too many for the Ray cluster. Received: a cluster of 8 CPUs, .*need 9"):
        trained(workers=Ray(num_workers=9))
    with pytest.raises(ValueError, match="`address` must be None where the program has called"):
        trained(workers=Ray(num_workers=2, address="auto"))


def test_no_cluster_there():
    ray.shutdown()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError, match=f"No Ray cluster can be reached at '{address}': .*refused"):
        trained(workers=Ray(num_workers=2, address=address))
    with pytest.raises(ConnectionError, match="No Ray cluster can be reached at 'auto'"):
        trained(workers=Ray(num_workers=2, address="auto"))


@pytest.mark.filterwarnings("ignore:Worker . ")
def test_a_machine_that_leaves():
    """A cluster of three nodes; the one that leaves has workers, whose successors find room on another."""
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    first, _ = cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    restarts = []

    class Leaves(kagent.callbacks.Callback):
        def on_update_end(self, update, logs=None):
            if not restarts:
                cluster.remove_node(first)
            restarts.append(self.model._run.trainer.collector.fleet.restarts)

    try:
        agent = trained(workers=Ray(num_workers=4, address=cluster.address), callbacks=[Leaves()], steps=2048)
        assert agent.timesteps == 2048 and 1 <= restarts[-1] <= 2
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_the_example(tmp_path):
    ray.shutdown()
    command = [sys.executable, ROOT / "examples" / "ray_cluster.py", "--steps", "1024", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1,024 timesteps in 4 environments" in done.stdout and "mean return of 10" in done.stdout


DRIVER = """
import signal
import kagent
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell runs tests in the background
class Says(kagent.callbacks.Callback):
    def on_update_end(self, update, logs=None):
        if update == 2:
            print("third update", flush=True)
agent = kagent.A2C("CartPole-v1", batch_size=32, network={"units": [4]}, seed=0)
agent.compile(jit_compile=False)
agent.fit("CartPole-v1", steps=10**7, verbose=0, callbacks=[Says()], workers=kagent.distributed.Ray(2, 2))
"""


def of_session(leader):
    """Command lines of the processes of a session, but for two that watch a node: these see within a minute that it has gone."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == leader and line and not line.startswith(("ray::DashboardAgent", "ray::RuntimeEnvAgent")):
            found.append(line)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_program_that_ends_takes_workers_and_cluster_with_it(how, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command, given = [sys.executable, "-c", DRIVER], {"env": environment, "cwd": tmp_path, "start_new_session": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **given) as program:
        assert "third update" in program.stdout.readline()
        assert sum("ray::RayServant" in line for line in of_session(program.pid)) == 2
        program.send_signal(how)
        program.wait(60)
        until = time.monotonic() + 60
        while (left := of_session(program.pid)) and time.monotonic() < until:
            time.sleep(0.5)
    assert left == []


class KillsOne(kagent.callbacks.Callback):
    """Kills a worker in the third update, and stops when another one is in its place and some updates have followed."""

    def __init__(self):
        super().__init__()
        self.updates, self.after, self.ended = 0, 0, 0

    def on_episode_end(self, episode, logs=None):
        assert episode == self.ended
        self.ended += 1

    def on_update_end(self, update, logs=None):
        fleet = self.model._run.trainer.collector.fleet
        self.updates += 1
        if self.updates == 3:
            os.kill(fleet.about[0]["pid"], signal.SIGKILL)
        self.after += fleet.restarts > 0
        self.model.stop_training = self.after > 3


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (kagent.IMPALA, {"n_steps": 16, "batch_size": 64, "epochs": 1}),
        (kagent.DQN, {"memory": 2000, "batch_size": 8, "start": 64, "frequency": 64}),
    ],
)
def test_workers_go_on_while_the_agent_learns_and_after_one_is_killed(cluster, kind, given):
    agent, kills = kind("CartPole-v1", seed=5, **given), KillsOne()
    agent.compile(jit_compile=False)
    endless = {"steps": 10**7, "steps_per_epoch": 10**7, "verbose": 0}
    with pytest.warns(UserWarning, match="Worker 0 .*has ended"):
        history = agent.fit("CartPole-v1", **endless, workers=Ray(2, 2), callbacks=[kills]).history
    assert agent.updates * 64 == agent.timesteps and agent.episodes == kills.ended
    assert 0.0 < history["weights_age"][0] <= history["weights_age_max"][0]
