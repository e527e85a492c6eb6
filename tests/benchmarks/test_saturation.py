"""benchmarks.saturation: the model of a fleet, by hand, and the page that it writes."""

import pytest

from benchmarks import saturation
from benchmarks.saturation import Costs, Fleet, Line

# One worker with one environment needs 0.1 s for 10 timesteps. The learner needs 0.01 s for a call, 0.01 s for 10 arrivals and 0.01 s to
# learn from 10 timesteps.
COSTS = Costs(0.01, Line(0.0, 0.0), Line(0.001, 0.0), 0.001, 0.01, 0.0, 0.0)


def test_lines():
    assert Line.through((4, 14), (3.0, 8.0)) == Line(1.0, 0.5) and Line(1.0, 0.5)(6) == 4.0
    assert Line.through((4, 14), (3.0, 2.0)) == Line(3.0, 0.0)  # noise: no row makes it cheaper


def test_workers_that_wait():
    """Two: 0.1 s for their blocks, 0.02 for two calls, 0.01 for 10 arrivals of two rows, 0.02 to learn."""
    assert Fleet(COSTS, 2, 1, 10).waiting() == pytest.approx((20 / 0.15, 1 / 3))


def test_rows_that_others_have_cost_the_workers_that_draw_for_all():
    costs = Costs(0.01, Line(0.0, 0.001), Line(0.0, 0.0), 0.0, 0.0, 0.0, 0.0)
    assert Fleet(costs, 10, 1, 10).waiting() == pytest.approx((100 / 0.2, 0.0))
    assert Fleet(costs, 10, 1, 10).waiting(exact=False) == pytest.approx((100 / 0.11, 0.0))


def test_bytes_cost_the_network():
    """80 machines' weights, and the timesteps of 5,120 workers."""
    costs = Costs(0.01, Line(0.0, 0.0), Line(0.0, 0.0), 0.0, 0.0, 100.0, 1e6, bandwidth=1e9)
    sent = (5120 * 10 * 100 + 80 * 1e6) / 1e9
    assert Fleet(costs, 5120, 1, 10).waiting() == pytest.approx((51200 / (0.1 + sent), sent / (0.1 + sent)))


@pytest.mark.parametrize(
    "workers, rate, busy",
    [
        (1, 10 / 0.11, 0.03 / 0.11),  # a block, and the call for it
        (3, 30 / 0.11, 0.09 / 0.11),
        (40, 10 / 0.03, 1.0),  # the learner is the limit
    ],
)
def test_workers_that_go_on(workers, rate, busy):
    assert Fleet(COSTS, workers, 1, 10).going_on() == pytest.approx((rate, busy), rel=0.02)


def test_the_page_has_the_tables_of_the_committed_files():
    page = saturation.PAGE.read_text(encoding="utf-8")
    assert saturation.written(page) == page
    assert "| 1,024 |" in page and "(assumed)" in page


def test_the_table_of_cartpole():
    row = {"n_steps": 128, "local": [9.0, 1000.0, 2000.0], "workers": [900.0, 901.0, 1.0], "ratio": 0.9}
    assert saturation.cartpole([row]).endswith("|---|---|---|---|\n| 128 | 1,000 | 900 | 0.90 |\n")
    assert saturation.cartpole([]) == ""


@pytest.mark.eager
def test_what_is_measured_runs():
    import kagent

    agent = kagent.PPO("CartPole-v1", network={"units": [4]}, n_steps=2, batch_size=8)
    block = saturation._collecting(agent, 4, 8, 3)()
    assert block["columns"]["outcome.0"].shape == (3, 4) and block["columns"]["observation.0"].shape == (4, 4, 4)
    assert saturation.least(saturation._arriving(agent, 4, 3), repeats=1) >= 0.0
