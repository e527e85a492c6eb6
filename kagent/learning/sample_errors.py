"""Whether an objective's terms give the errors of samples that a prioritized memory draws by."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent.learning.learner import Minibatches

if TYPE_CHECKING:
    from kagent.agent import Agent


class _Task:
    # The part of the learner's task that `Minibatches` uses, with room for one element.
    def __init__(self, agent: Agent):
        self.memory, self.prepare = _empty(agent), agent.prepare


def check_terms(agent: Agent) -> None:
    """Looks at the terms of an objective that does not declare `gives_errors`, where the memory draws by errors.

    The terms are made in a graph that is thrown away, from placeholders of a minibatch: nothing is computed or changed. Terms
    that cannot be made of these are left to the first update, which says what is wrong.

    Args:
        agent: The agent, which has its networks. One with a `train_step` of its own, or an objective with an `update` of its
            own, reports errors there.

    Raises:
        ValueError: No term gives errors.
    """
    objective = agent.objective
    own = not all(part.__module__.startswith("kagent.") for part in (agent.train_step, objective.update))
    if not agent.memory.prioritized or objective.gives_errors is not None or own:
        return
    found: list[Any] = []

    def terms(element: Any) -> tf.Tensor:
        complete = agent.reward_estimation.completed
        task: Any = _Task(agent)
        batch = Minibatches(task, element, lambda batch: complete(batch, agent.clock))[0]
        found.extend(objective.terms(agent.learning_context, batch))
        return tf.constant(0)

    try:
        element = _empty(agent).elements(agent.update_rule, 1, 0, 0).element_spec
        tf.function(terms, autograph=False).get_concrete_function(element)
    except Exception:  # the first update will say what is wrong, if anything is
        return
    if all(term.errors is None for term in found):
        raise ValueError(
            f"`memory` {type(agent.memory).__name__} draws by the errors of the samples, and no term of `objective` "
            f"{type(objective).__name__} gives them: Term(role, loss, batch, errors=...). Received: terms of the roles "
            f"{[term.role for term in found]} with errors=None. Allowed: terms with errors, or memory='replay'"
        )


def _empty(agent: Agent) -> Any:
    """A memory like the agent's, without content, that holds one minibatch."""
    memory: Any = copy.copy(agent.memory)  # building allocates anew whatever is written into
    memory.capacity = max(agent.update_rule.batch_size, getattr(memory, "length", 0))
    memory.build(agent._observation, agent._action)
    return memory
