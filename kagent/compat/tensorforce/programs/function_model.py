"""A Python function in the place of an agent's policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from kagent.acting.spaces import encode
from kagent.agents import Random


class FunctionModel(Random):
    """Acts by a function. It counts and records episodes like any agent, and learns nothing.

    Args:
        function: Of states, as `act` is given them, to actions.
        **parts: As for `kagent.Random`.

    Raises:
        ValueError: Later, actions that are not in the action space.
    """

    def __init__(self, function: Callable[[Any], Any], **parts: Any):
        super().__init__(**parts)
        self._function = function

    def act(
        self,
        observation: Any,
        deterministic: bool = False,
        mask: Any = None,
        *,
        independent: bool | None = None,
        internals: Any = None,
        parallel: Any = 0,
    ) -> Any:
        """The function's actions for one observation. Arguments and errors: `kagent.Agent.act`."""
        action = self._function(observation)
        leaves, parts = self._action.leaves, self._action.flatten(action)
        taken = [encode(leaf, part, "action")[None] for leaf, part in zip(leaves, parts)]
        if deterministic or independent:
            return action if internals is None else (action, {})
        super().act(observation, mask=mask, internals=internals, parallel=parallel)
        stream = self._interaction.streams.streams[parallel]
        assert stream.acted is not None
        stream.acted = dataclasses.replace(stream.acted, action=self.actor.from_env(taken))
        return action
