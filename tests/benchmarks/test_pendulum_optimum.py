"""The optimal policy's return on Pendulum-v1, by dynamic programming."""

import gymnasium
import numpy as np
import pytest

from benchmarks import pendulum_optimum


def test_a_step_is_that_of_gymnasium():
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    for angle, speed, torque in ((0.3, -0.5, 1.5), (-2.0, 7.9, 2.0), (3.0, -7.9, -2.0)):
        env.state = np.array([angle, speed])
        _, reward, *_ = env.step(np.array([torque]))
        found = pendulum_optimum.step(np.array(angle), np.array(speed), torque)
        assert found == pytest.approx((*env.state, reward), abs=1e-6)


def test_one_timestep_costs_where_it_begins():
    # Without torque, -(mean of angle**2 + 0.1 of speed**2) = -(pi**2 / 3 + 0.1 / 3) = -3.323.
    assert pendulum_optimum.mean_return(200, torques=3, timesteps=1) == pytest.approx(-3.323, abs=0.002)


def test_more_torques_and_finer_grids_are_no_worse():
    coarse, fine = (pendulum_optimum.mean_return(points, torques=5, timesteps=100) for points in (40, 80))
    more = pendulum_optimum.mean_return(80, torques=9, timesteps=100)
    assert coarse < fine < more < -100


def test_grids_need_two_points(capsys):
    with pytest.raises(SystemExit):
        pendulum_optimum.main(["--points", "1"])
    assert "--points must be at least 2" in capsys.readouterr().err
