"""Numbers that change over a run: any number marked "may be a schedule" takes one of these, or a dict of it.

A schedule is a pure function of the agent's `Clock`, on the host with Python numbers (exploration) and inside the
compiled learner with tensors (learning rates, clip ranges). It holds no state, so it needs no saving; the random ones
derive their noise from a seed and the time.

Keras's own schedules (`keras.optimizers.schedules`) are taken too; they count updates.

Example:

>>> schedule = get({"type": "linear", "initial": 1.0, "final": 0.0, "steps": 10, "unit": "timesteps"})
>>> [schedule(Clock(timesteps=timesteps)) for timesteps in (0, 5, 10, 15)]
[1.0, 0.5, 0.0, 0.0]
"""

from kagent.config import moved
from kagent.schedules.clock import UNITS, Clock
from kagent.schedules.decays import Exponential, InverseTime, NaturalExponential
from kagent.schedules.get import evaluate, get, is_schedule, start_of
from kagent.schedules.interval import Interval, decay
from kagent.schedules.piecewise import Constant, Piecewise
from kagent.schedules.processes import OrnsteinUhlenbeck, Random
from kagent.schedules.ramps import Cosine, Linear, Polynomial
from kagent.schedules.schedule import SCHEDULES, Schedule

__all__ = [
    "SCHEDULES",
    "UNITS",
    "Clock",
    "Constant",
    "Cosine",
    "Exponential",
    "Interval",
    "InverseTime",
    "Linear",
    "NaturalExponential",
    "OrnsteinUhlenbeck",
    "Piecewise",
    "Polynomial",
    "Random",
    "Schedule",
    "decay",
    "evaluate",
    "get",
    "is_schedule",
    "start_of",
]

__getattr__ = moved.attributes(__name__, {})
