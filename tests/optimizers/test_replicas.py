"""Gradient steps over several replicas of `tf.distribute` are those of one device."""

import json
import os
import socket
from pathlib import Path

import forked
import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.learning]  # programs of several replicas are traced for seconds each
PROGRAM = Path(__file__).with_name("replicated.py")


def start(*arguments, **variables):
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.fspath(Path(__file__).parents[2]), **variables}
    return forked.Child([PROGRAM, *arguments], env=env)


def result(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def two():
    """All that two replicas on one CPU find."""
    return result(start("all", "DQN"))


def test_dqn_of_two_replicas_is_that_of_one(two):
    """Of 15 rows each, which two replicas cannot have the same number of."""
    one, many, far = two["DQN"]
    assert one == many >= 50 and far < 1e-5


def test_equations_of_rows_on_two_replicas(two):
    """Rows 1, 2 and 3 with weights 1, 1 and 2, of which the second replica has the last. Twice their mean is 2 * 9 / 4.

    The loss is (f * 9 / 4) ** 2 + f, its gradient at f = 2 is 2 * 2 * (9 / 4) ** 2 + 1. The padded row counts as an advantage, as it
    has no weight of its own there: of 1, 2, 3, 3 the mean is 2.25 and the deviation sqrt(2.75 / 3).
    """
    found, whole = two["equations"]["found"], two["equations"]["whole"]
    assert found["own"] == [[1.0, 2.0], [3.0, 3.0]] and found["weight"] == [[1.0, 1.0], [2.0, 0.0]]
    assert found["scalar"] == [5.0, 5.0] and found["all"] == [[1.0, 2.0, 3.0, 3.0]] * 2
    np.testing.assert_allclose(found["mean"], [4.5, 4.5], rtol=1e-6)
    np.testing.assert_allclose(found["gradient"], [21.25, 21.25], rtol=1e-6)
    deviation = (2.75 / 3) ** 0.5
    np.testing.assert_allclose(found["advantage"], np.array([[-1.25, -0.25], [0.75, 0.75]]) / deviation, rtol=1e-5)
    assert found["rows"][0] + found["rows"][1] == whole["rows"]
    assert np.concatenate(found["columns"], axis=1).tolist() == whole["columns"]
    assert found["same"] == [whole["same"]] * 2


def test_refused_by_name_before_a_timestep(two):
    refused = two["refused"]
    assert "`optimizer` over several replicas" in refused["natural gradient"]
    assert "NaturalGradient" in refused["natural gradient"]
    assert "`network` over several replicas" in refused["recurrent"]
    assert "agent of _DefaultDistributionStrategy, in the scope of MirroredStrategy" in refused["elsewhere"]
    assert "an agent made in the scope of 2 replicas" in refused["compiled environment"]
    assert refused["timesteps of the refused"] == 0
    assert "`jit_compile` must be 'auto' or False over several replicas" in refused["xla"]


def test_keras_optimizers_and_compile_out_of_the_scope(two):
    assert two["refused"]["steps"] > 0


def test_saved_loaded_and_gone_on(two):
    """Within the scope and out of it; a run that goes on is the one that never stopped."""
    assert two["resumed"] == [0.0, 0.0, 0.0, 35]


def test_a_second_strategy_of_the_same_devices_is_warned_of(two):
    again, other = two["second"]
    assert again == [] and len(other) == 1 and "A second MirroredStrategy of the same devices" in other[0]


def test_ppo_and_sac_of_two_replicas():
    for one, many, far in result(start("some", "PPO,SAC")).values():
        assert one == many >= 50 and far < 1e-5


def test_two_workers():
    """Two processes that find each other on this machine."""
    places = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            places.append(f"127.0.0.1:{free.getsockname()[1]}")
    cluster = [json.dumps({"cluster": {"worker": places}, "task": {"type": "worker", "index": i}}) for i in range(2)]
    workers = [start("worker", "DQN,PPO,SAC", TF_CONFIG=each) for each in cluster]
    for found in map(result, workers):
        assert found.pop("replicas") == 2
        for one, many, far in found.values():
            assert one == many >= 50 and far < 1e-5
