"""pretrain: learning from recorded episodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kagent import memories, traces
from kagent.config.checks import check_count
from kagent.config.run_length import Bounds
from kagent.config.signatures import answering
from kagent.learning.learner import Learner
from kagent.memories.compatibility import is_made_for
from kagent.memories.sequences import RecentSequences
from kagent.memories.transition import Transition
from kagent.objectives.behavior_cloning import BehaviorCloningObjective
from kagent.policies.unrolled import carried_sizes
from kagent.training import experience
from kagent.training.metrics import UpdateMetrics
from kagent.training.update_cycle import UpdateTask

OBJECTIVES = (None, "behavior_cloning")


@answering()
def pretrain(
    agent: Any,
    directory: str | os.PathLike[str],
    num_iterations: int,
    num_traces: int = 1,
    num_updates: int = 1,
    objective: str | None = None,
) -> dict[str, list[float]]:
    """Learns from the traces in a directory: files as `kagent.callbacks.Recorder` writes them.

    In every iteration so many traces are read and then so many updates made. The files are shuffled by a random
    stream of the agent's own; all are read before any is read again (but for the rest that fills no iteration).

    `updates` goes on counting gradient steps, and schedules by progress go from their beginning to their end over those
    of a new agent, and back to the beginning after it; `timesteps` and `episodes`, which are those of training, and what `fit`
    has due, stay. Targets that follow by timesteps move as often per gradient step as they would in training. The
    files are left as they are.

    Args:
        directory: Where the files `trace-*.npz` are.
        num_iterations: How many iterations.
        num_traces: Files read in an iteration.
        num_updates: Updates in an iteration. One is what it is in training: `update.steps` minibatches of
            `update.batch_size` transitions (times `steps_per_execution`), or, of an agent that learns from rollouts
            or recent experience, `update.epochs` passes over the timesteps of the iteration's files, with room for the
            `num_traces` longest.
        objective: None: the agent's own. What is read is added to its replay memory, and the updates are those of
            training, drawn from all of that memory. Of an agent that learns from rollouts or recent experience, the
            traces of the iteration take the place of these, and its memory is not touched: it learns as if the policy of
            now had acted like that, without any correction of another one that did.
            `"behavior_cloning"`: the policy learns to do what was done, from the traces of the iteration alone; the
            memory is not touched. See `BehaviorCloningObjective`.

    Returns:
        What the updates logged, by name: a list with the mean of every iteration.

    Raises:
        ValueError: A recurrent network; no such directory, no traces in it, or fewer than `num_traces`; a file that is not a trace of the
            agent's spaces; an objective that estimates terminal states, and a trace that lacks one; a policy that cannot
            be cloned. Headers of all files are checked before anything changes, contents when they are read.

    Example:

    >>> history = agent.fit("CartPole-v1", steps=50_000, callbacks=[kagent.callbacks.Recorder("traces")])
    >>> other = kagent.DQN("CartPole-v1", seed=1)
    >>> history = other.pretrain("traces", num_iterations=30, num_traces=10, num_updates=100)
    >>> losses = history["loss"]  # one mean per iteration
    """
    num_iterations = check_count(num_iterations, "num_iterations")
    num_traces = check_count(num_traces, "num_traces")
    num_updates = check_count(num_updates, "num_updates")
    if objective not in OBJECTIVES:
        raise ValueError(f"`objective` must be one of {OBJECTIVES}. Received: {objective!r}")
    cloned = BehaviorCloningObjective.policies
    if objective is not None and not {cls.__name__ for cls in type(agent.policy).__mro__} & set(cloned):
        raise ValueError(
            f"`objective` {objective!r} needs a {' or a '.join(cloned)}. "
            f"Received: an agent with a {type(agent.policy).__name__}"
        )
    if carried_sizes(agent.policy, agent.critic):
        raise ValueError(
            "`pretrain` learns from traces, which have no states of recurrent networks. Received: an agent with a recurrent "
            "network. Allowed: `fit`, or `act` and `observe`"
        )
    files = traces.trace_files(directory)
    if num_traces > len(files):
        raise ValueError(f"`num_traces` must be at most {len(files)}, the files there. Received: {num_traces}")
    headers = {path: traces.trace_headers(path, agent._raw_observation, agent._action) for path in files}
    masked = _masked(headers)
    lengths = sorted(header["reward"].shape[0] for header in headers.values())
    with agent._occupation.of("pretrain"):
        return _pretrain(agent, files, masked, lengths, num_iterations, num_traces, num_updates, objective)


def _pretrain(
    agent: Any, files: list[Path], masked: bool, lengths: list[int], num_iterations: int, num_traces: int,
    num_updates: int, objective: str | None,
) -> dict[str, list[float]]:  # fmt: skip
    source = _source(agent, masked, sum(lengths[-num_traces:]), objective)
    # Schedules by progress go over the pretraining, as they will over the training that may follow.
    before, agent._clock.bounds = (
        agent._clock.bounds,
        Bounds(updates=agent.updates + num_iterations * num_updates * source.steps),
    )
    try:
        return _iterate(agent, source, _shuffled(agent, files, num_iterations, num_traces), masked, num_updates)
    finally:
        agent._clock.bounds = before


def _source(agent: Any, masked: bool, capacity: int, objective: str | None) -> _Own:
    if objective is not None:
        return _Cloning(agent, masked, capacity)
    on_policy = agent.memory.on_policy or isinstance(agent.memory, RecentSequences)
    return _Rollouts(agent, masked, capacity) if on_policy else _Own(agent, masked)


def _iterate(
    agent: Any, source: _Own, shuffled: Iterator[list[Path]], masked: bool, num_updates: int
) -> dict[str, list[float]]:
    history: dict[str, list[float]] = {}
    for chosen in shuffled:
        source.take([_transitions(agent, path, masked, source.values_ends) for path in chosen])
        losses = UpdateMetrics()
        agent.reset_metrics()
        for _ in range(num_updates):
            for logs in source.update():
                losses.update(logs)
        for name, value in losses.epoch(source.learner).items():
            history.setdefault(name, []).append(value)
    return history


def _shuffled(agent: Any, files: list[Path], num_iterations: int, num_traces: int) -> Iterator[list[Path]]:
    generator = agent._random["pretrain"]
    order: list[int] = []
    for _ in range(num_iterations):
        if len(order) < num_traces:
            order = generator.permutation(len(files)).tolist()
        chosen, order = order[:num_traces], order[num_traces:]
        yield [files[index] for index in chosen]


def _transitions(agent: Any, path: Path, masked: bool, estimated: bool) -> Transition:
    trace = traces.load_trace(path, agent._raw_observation, agent._action)
    if estimated and agent.reward_estimation.estimate_terminal and not trace.get("end_observed", np.True_).all():
        raise ValueError(
            f"Trace {str(path)!r}: 'end_observed' must be True for every episode, because "
            "reward_estimation.estimate_terminal=True estimates what the end is worth. Received: an episode that was "
            "recorded without the observation of its end"
        )
    return experience.transitions_of(agent, trace, masked)


class _Own:
    """The agent's own objective, on its own memory."""

    calls = 1  # of the learner, per update
    values_ends = True  # whether it may estimate what the end of an episode is worth

    def __init__(self, agent: Any, masked: bool):
        self.agent, self.memory = agent, agent.memory
        if not is_made_for(agent.memory, 1, masked, "the traces have", acted=False):
            self.memory.build(agent._observation, agent._action, masked=masked)
        self.memory.check(agent.update_rule.batch_size)
        self.steps = (agent.update_rule.steps or 1) * agent.steps_per_execution  # of gradient, per update
        self.learner = agent.make_train_function()

    def take(self, transitions: list[Transition]) -> None:
        for given in transitions:
            self.memory.append_sequence(given)

    def update(self) -> Iterator[dict[str, float]]:
        agent, iterator = self.agent, self.iterator()
        for _ in range(self.calls):
            agent._update_cycle.early_estimates.write(agent)
            before = agent.gradient_steps
            logs = self.learner(iterator)
            self.drew()
            agent._update_cycle.after_offline(agent, agent.gradient_steps - before)
            yield logs

    def iterator(self) -> Any:
        return self.agent._update_cycle.iterator(self.agent)

    def drew(self) -> None:
        self.agent.counters.batches_drawn += 1


class _OfIteration(_Own):
    """A memory of its own, which holds the traces of the iteration alone. The learner's task."""

    _drawing: tuple[int, int]  # the size of a minibatch, and how many of them or passes an update has

    def __init__(self, agent: Any, masked: bool, memory: Any):
        self.agent, self.memory, self._training = agent, memory, UpdateTask(agent)
        self.memory.build(agent._observation, agent._action, masked=masked)
        self._seed, self._drawn = int(agent._random["pretrain"].integers(2**62)), 0
        self.learner = Learner(agent, self, jit=bool(agent.jit_compile), eager=bool(agent.run_eagerly))
        self._iterator: Any = None

    def take(self, transitions: list[Transition]) -> None:
        self.memory.clear()
        super().take(transitions)

    def iterator(self) -> Any:
        if self._iterator is None:
            self._iterator = self.fresh_iterator()
        return self._iterator

    def fresh_iterator(self) -> Any:
        iterator = iter(self.memory.packed_dataset(*self._drawing, self._seed, self._drawn))
        self.learner.bind(iterator)
        return iterator

    def drew(self) -> None:
        self._drawn += 1

    def after_offline(self, steps: int) -> None:
        self._training.after_offline(steps)

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        return self._training.prepare(experience)

    def step(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._training.step(batch)


class _Cloning(_OfIteration):
    """Behaviour cloning."""

    values_ends = False

    def __init__(self, agent: Any, masked: bool, capacity: int):
        super().__init__(agent, masked, memories.Replay(capacity))
        rule = agent.update_rule
        self.calls = rule.epochs or 1
        # A fixed number of minibatches: the program is compiled for it.
        count = rule.steps * agent.steps_per_execution if rule.steps else -(-capacity // rule.batch_size)
        self._drawing, self.steps = (rule.batch_size, count), self.calls * count
        self._objective = BehaviorCloningObjective()

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        return experience

    def step(self, batch: dict[str, Any]) -> dict[str, Any]:
        logs: dict[str, Any] = self._objective.update(self.agent, batch)
        return logs


class _Rollouts(_OfIteration):
    """The agent's own objective, where that learns from consecutive timesteps: the traces are one rollout."""

    values_ends = True

    def __init__(self, agent: Any, masked: bool, capacity: int):
        super().__init__(agent, masked, memories.Rollout(capacity))
        rule, cut = agent.update_rule, agent.memory.on_policy
        # Other memories than rollouts are learned from in whole, whatever the unit of the batch size is.
        self._drawing = (min(rule.batch_size, capacity) if cut else capacity), rule.epochs or 1
        self.steps = self._drawing[1] * self.memory.minibatches(self._drawing[0])

    def take(self, transitions: list[Transition]) -> None:
        super().take(transitions)
        self.memory.pad()  # where these files are not the longest: the program is compiled for one size


def _masked(headers: dict[Path, dict[str, traces.Header]]) -> bool:
    first, *others = headers
    for path in others:
        if headers[path].keys() != headers[first].keys():
            wrong = sorted(headers[path].keys() ^ headers[first].keys())
            raise ValueError(
                f"Traces must have masks always or never. Received: {wrong} in only one of {str(first)!r} and {str(path)!r}"
            )
    return any(name.partition("/")[0] == "action_mask" for name in headers[first])
