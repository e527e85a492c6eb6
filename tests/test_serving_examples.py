"""The examples of a web service and of a robot's loop, on a real agent's file, with what can go wrong."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import kagent

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "agent.keras"
    agent = kagent.PPO("CartPole-v1", network={"type": "mlp", "units": [8]}, seed=0)
    rng = np.random.default_rng(0)
    agent.policy.set_weights([rng.normal(size=w.shape) * (w.ndim > 1) for w in agent.policy.get_weights()])
    agent.save(path)
    return path


@pytest.fixture
def server(file):
    made = load("serve_http").service(kagent.acting.load(file), 0)
    made.RequestHandlerClass.log_message = lambda *arguments: None
    looks = 0.01  # seconds between its looks whether it shall end
    thread = threading.Thread(target=made.serve_forever, args=(looks,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()
    thread.join()


def ask(address, content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    try:
        with urllib.request.urlopen(address, data, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_service_answers_as_the_agent_acts(server, file):
    actor = kagent.acting.load(file)
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    expected = [actor.act(row) for row in rows]
    assert set(expected) == {0, 1}
    assert ask(server, {"observations": rows.tolist()}) == (200, {"actions": expected})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: ask(server, {"observations": [row.tolist()]}), rows))
    assert found == [(200, {"actions": [action]}) for action in expected]
    assert ask(server, {"observations": rows[:2].tolist(), "masks": [[0, 1], [1, 0]]}) == (200, {"actions": [1, 0]})


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "Expecting"),
        ({}, "KeyError"),
        ([1], "TypeError"),
        ({"observations": [[1.0, 2.0]]}, "must have shape"),
        ({"observations": [[0.0, 0.0, 0.0, 1e300]]}, "must be finite"),
        ({"observations": "x"}, "ValueError"),
        ({"observations": [[0.0] * 4], "masks": 3}, "must be 1 masks"),
    ],
)
def test_a_mistake_is_answered_and_the_service_goes_on(server, content, message):
    status, answer = ask(server, content)
    assert status == 400 and message in answer["error"]
    assert ask(server, {"observations": [[0.0] * 4]})[0] == 200


def test_a_robot_gets_its_actions_in_time(file):
    actor = kagent.acting.load(file)
    seen = [np.zeros(4, np.float32), np.full(4, np.nan, np.float32), np.ones(4, np.float32)] * 2
    written = []
    outcome = load("robot_loop").control(actor, iter(seen).__next__, written.append, 0.002, 6, safe=1)
    safe = [actor.act(seen[0]), 1, actor.act(seen[2])] * 2
    assert written == safe and outcome.bad == 2 and 0 < outcome.longest


def test_a_late_decision_is_counted(file):
    import time

    slow = lambda: time.sleep(0.02) or np.zeros(4, np.float32)  # noqa: E731
    outcome = load("robot_loop").control(kagent.acting.load(file), slow, lambda action: None, 0.001, 3, safe=0)
    assert outcome.missed == 3


def test_the_robots_program_needs_no_tensorflow(file):
    program = (
        "import runpy, sys; sys.argv[1:] = [sys.argv[1], '--hertz', '1000', '--seconds', '0.02']; "
        f"runpy.run_path({str(EXAMPLES / 'robot_loop.py')!r}, run_name='__main__'); assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, cwd=EXAMPLES.parent
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 decisions, ")
