"""What goes wrong in training, in words and numbers: rules over the statistics of a run, and over an environment.

Everything here needs NumPy and gymnasium alone. `kagent.callbacks.Doctor` collects a `Record` while an agent trains, and
`kagent doctor` reads one from a run's folder.

>>> record = Record(timesteps=20_000, gradient_steps=0, settings={"start": 50_000}, episodes=Episodes(count=90))
>>> print(report(diagnose(record), "A run of 20,000 timesteps."))
Doctor: 1 finding. A run of 20,000 timesteps.
<BLANKLINE>
1. no_updates (severe)
  No gradient step in 20,000 timesteps. The first one is due at 50,000.
  Try: Lower `start`, `frequency`, `batch_size` or `n_steps`, or train longer.
"""

from kagent.diagnosis.environment import check_environment
from kagent.diagnosis.finding import SEVERITIES, Finding, report
from kagent.diagnosis.joined import joined
from kagent.diagnosis.random_play import random_returns
from kagent.diagnosis.record import Entries, Episodes, Record, Recorded, Rewards, from_json, to_json
from kagent.diagnosis.rules import RULES, compare_seeds, diagnose

__all__ = [
    "RULES", "SEVERITIES", "Entries", "Episodes", "Finding", "Record", "Recorded", "Rewards", "check_environment",
    "compare_seeds", "diagnose", "from_json", "joined", "random_returns", "report", "to_json",
]  # fmt: skip
