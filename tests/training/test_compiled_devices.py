"""Programs of compiled environments run where the agent's variables are, and so are their own."""

import json
import os
from pathlib import Path

import forked
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.environments import compiled
from kagent.training.compiled.variables import ProgramVariable


def test_integers_are_kept_as_they_are():
    variable = ProgramVariable(np.array([1, -2, 2**31 - 1], np.int32))
    assert variable.read_value().dtype == tf.int32 and variable.numpy().tolist() == [1, -2, 2**31 - 1]
    variable.assign(tf.constant([-(2**31), 0, 7]))
    assert variable.numpy().tolist() == [-(2**31), 0, 7] and variable.read_value().numpy().tolist() == [-(2**31), 0, 7]
    assert ProgramVariable(np.float64(0.1)).numpy() == 0.1


@pytest.mark.thorough
def test_no_variable_of_a_program_is_of_a_kind_that_a_gpu_has_not():
    """TensorFlow puts int32 variables on the CPU, and XLA reads none of another device."""
    env = compiled.Catch(num_envs=2, rows=4)
    agent = kagent.DQN(env, network={"units": [4]}, memory=40, batch_size=4, start=8, frequency=4, horizon=1, seed=0)
    agent.compile(jit_compile=False)
    agent.fit(env, steps=16, verbose=0)
    collector = agent._run.program.collector
    groups = [*collector._variables.values(), collector._blocks.values(), collector._windows._variables.values()]
    kept = {variable._variable.dtype for group in groups for variable in group}
    assert tf.uint32 in kept and tf.int32 not in kept


@pytest.mark.thorough
def test_a_program_on_another_device():
    process = forked.Child(
        [Path(__file__).with_name("placed.py")],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
    )
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    found = json.loads(out.splitlines()[-1])
    assert found == {name: [["CPU:1"], True] for name in ("PPO argument", "PPO scope", "SAC argument")}
