"""`normalize` of presets: observations and rewards standardized by running statistics.

    normalize="observation":  x' = clip((x - mean) / sqrt(variance + 1e-8), -10, 10)   of every component of a Box
    normalize="reward":       r' = clip(r / sqrt(variance of G + 1e-8), -10, 10),      G = discount * G + r in an episode
    normalize=True:           both

They are the layers `running_normalization` and `return_normalization` of `kagent.preprocessing`, and so the agent's
`preprocessing`: statistics are of all environments, move in training alone, are saved with the agent, and are frozen in
`evaluate`, `agent.export` and `kagent.acting.load`. Returns of episodes are of the environment's own rewards everywhere. A replay
memory holds observations and rewards as they were standardized when they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kagent import reward_estimation
from kagent.agents.arguments import FromPart
from kagent.preprocessing import ReturnNormalization, RunningNormalization

OBSERVATION, REWARD = "observation", "reward"


def normalized(normalize: bool | str | None, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a preset, with the preprocessing that `normalize` stands for.

    Args:
        normalize: True, "observation", "reward", False or None.
        parts: By name, those of the user among them; the discount of rewards is that of `reward_estimation`.

    Returns:
        `parts`, with "preprocessing" where something is to be normalized and there is none.

    Raises:
        ValueError: Another `normalize`.
    """
    if not (normalize is None or isinstance(normalize, bool) or normalize in (OBSERVATION, REWARD)):
        raise ValueError(
            f"`normalize` must be True (observations and rewards), {OBSERVATION!r}, {REWARD!r}, False or None. "
            f"Received: {normalize!r}"
        )
    if not normalize or "preprocessing" in parts:
        return dict(parts)
    made: dict[str, Any] = {}
    if normalize in (True, OBSERVATION):
        made["float"] = [RunningNormalization()]
    if normalize in (True, REWARD):
        made["reward"] = [ReturnNormalization(reward_estimation.get(parts["reward_estimation"]).discount)]
    return {**parts, "preprocessing": made}


class Normalize(FromPart):
    """The argument `normalize` of a preset as an attribute: True, "observation", "reward" or False, by the agent's layers.

    Other layers of `preprocessing`, or these with other arguments, are no `normalize`.
    """

    def __init__(self) -> None:
        super().__init__("preprocessing", argument="normalize")

    def _read(self, agent: Any, path: str) -> bool | str:
        made = (
            {}
            if agent.preprocessing is None
            else {key: part for key, part in agent.preprocessing.parts.items() if part}
        )
        discount = agent.reward_estimation.discount
        known = {"float": [RunningNormalization()], "reward": [ReturnNormalization(discount)]}
        if not made or any(parts != known.get(key) for key, parts in made.items()):
            return False
        return True if len(made) == 2 else {"float": OBSERVATION, "reward": REWARD}[next(iter(made))]
