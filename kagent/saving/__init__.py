"""Everything an agent is, in one file, and nothing in it that runs.

`.keras` ships an agent, `.weights.h5` resumes one; see `Saving`.
"""

from kagent.config import moved
from kagent.saving.headers import is_of_another as is_of_another
from kagent.saving.headers import spaces_of as spaces_of
from kagent.saving.state import FORMAT as FORMAT
from kagent.saving.state import Saving as Saving

__getattr__ = moved.attributes(
    __name__,
    {
        "load": "kagent.agents.load:load",
    },
)
