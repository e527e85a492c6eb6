"""What a new part must keep, as functions that run all of it: an `AssertionError` says which rule a part breaks, what was
expected and what was received.

>>> check_exploration(kagent.EpsilonGreedy(final=0.1))
"""

from kagent.testing.agent import check_agent
from kagent.testing.checked_environment import check_env
from kagent.testing.contract import BrokenRuleError, Contract
from kagent.testing.environment import check_environments
from kagent.testing.exploration import check_exploration
from kagent.testing.memory import check_memory
from kagent.testing.objective import check_objective
from kagent.testing.toy import ACTIONS, OBSERVATIONS, Toy

__all__ = [
    "ACTIONS", "OBSERVATIONS", "BrokenRuleError", "Contract", "Toy", "check_agent", "check_env", "check_environments",
    "check_exploration", "check_memory", "check_objective",
]  # fmt: skip
