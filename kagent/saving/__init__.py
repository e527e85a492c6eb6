"""Everything an agent is, in one file, and nothing in it that runs.

`.keras` ships an agent, `.weights.h5` resumes one; see `kagent.saving.agent_files`.
"""

from kagent.config import moved
from kagent.files.stored_state import FORMAT as FORMAT
from kagent.saving.headers import is_of_another as is_of_another
from kagent.saving.headers import spaces_of as spaces_of
from kagent.saving.state import AgentState as AgentState

__getattr__ = moved.attributes(
    __name__,
    {
        "load": "kagent.agents.load:load",
    },
)
