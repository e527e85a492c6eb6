"""The trainer of a compiled environment: each of its updates is one call of a program."""

from __future__ import annotations

from typing import Any, NamedTuple

from kagent.callbacks.callback import hooks_of
from kagent.memories import RecentEpisodes, Replay
from kagent.memories.compatibility import is_made_for
from kagent.training.compiled.checks import check_hooks
from kagent.training.compiled.collector import CompiledCollector
from kagent.training.compiled.learner import CompiledLearner, Elements
from kagent.training.compiled.replay import ReplayCollector
from kagent.training.compiled.rollout import EpisodeCollector, RolloutCollector
from kagent.training.trainer import Trainer

_PLAIN = (bool, int, float, str)


class Program(NamedTuple):
    """A collector with its learner, and what they were made of: they serve a later `fit` of the same, without a new compilation."""

    collector: CompiledCollector
    learner: CompiledLearner
    made_of: tuple[Any, ...]
    attributes: dict[str, Any]

    def serves(self, made_of: tuple[Any, ...], attributes: dict[str, Any]) -> bool:
        """Whether it is that of such an agent, environment and update rule, and of the environment's attributes as they are now."""
        mine = self.attributes
        return (
            all(mine is other or mine == other for mine, other in zip(self.made_of, made_of))
            and mine.keys() == attributes.keys()
            and all(_same(value, attributes[name]) for name, value in mine.items())
        )


class CompiledTrainer(Trainer):
    """As `Trainer`: collects, learns and calls callbacks. A batch, for Keras, and an update are one call of the program, which
    collects and learns `steps_per_execution` times. The last call is finished where a bound lies inside it.

    Args: as of `Trainer`, with a `CompiledEnv` as `environments`.
    """

    def _make_collector(self, environments: Any) -> Any:
        agent = self.agent
        check_hooks(hooks_of(self.callbacks))
        agent.make_train_function()
        # Another train function means that the agent was compiled anew, or that something in it is frozen or set free.
        made_of = agent.train_function, environments, agent.update_rule
        # A program has the numbers that it read of the environment when it was compiled.
        attributes = {"max_episode_steps": environments.max_episode_steps, **vars(environments)}
        if agent._run.program is None or not agent._run.program.serves(made_of, attributes):
            collector = _collector_of(agent.memory)(agent, environments)
            jit, eager = bool(agent.jit_compile), bool(agent.run_eagerly)
            learner = CompiledLearner(agent, collector, jit, eager)
            agent._run.program = Program(collector, learner, made_of, attributes)
        return agent._run.program.collector

    @property
    def learner(self) -> Any:
        return self.agent._run.program.learner

    def _walk(self, epoch: int) -> Any:
        try:
            return super()._walk(epoch)
        finally:
            self.collector.give_back()

    def _open_memory(self, state: dict[str, Any] | None, lost: Any) -> None:
        agent, collector = self.agent, self.collector
        memory, masked = agent.memory, any(collector.masked())
        # Of what is in it, open windows alone go on: those of the episodes that the program has again.
        goes_on = state is not None and not lost and isinstance(memory, Replay) and memory.num_envs == collector.count
        if memory.built and not goes_on:
            memory.cut_episodes(range(memory.num_envs))
        if isinstance(memory, Replay):
            if not is_made_for(memory, collector.count, masked):
                memory.build(agent._observation, agent._action, masked=masked, num_envs=collector.count)
            memory.set_num_envs(collector.count)
        collector.load()

    def _make_ready(self) -> None:
        self._elements = Elements(self.agent)
        if self.learner.traces == 0:
            self.learner.bind(self._elements)

    def _advance(self, end: float, end_episodes: float, begin: int, clock: float) -> None:
        plan = self._elements.plan = self.collector.plan(end, self.bounds.updates - self.agent.updates)
        if plan.iterations:
            self._update(begin, clock)
        else:
            self._learn()

    def _learn(self) -> dict[str, float]:
        agent, collector, plan = self.agent, self.collector, self._elements.plan
        counters = agent.counters
        logs: dict[str, float] = self.learner(self._elements)
        counters.timesteps += collector.taken(plan)
        counters.targets_moved = collector.targets_moved
        collector.after_call(plan)
        ended = collector.ended()
        counters.episodes += len(ended)
        agent._update_cycle.after_program(agent, plan.iterations)
        self._finished += [episode for _, episode in ended]
        if ended:
            self._events.episodes_ended(counters.episodes - len(ended), ended)
        return logs


def _same(one: Any, other: Any) -> bool:
    # Objects by identity: what is equal of an array or a tensor is not one value.
    return one is other or (isinstance(one, _PLAIN) and type(one) is type(other) and one == other)


def _collector_of(memory: Any) -> type[CompiledCollector]:
    if isinstance(memory, Replay):
        return ReplayCollector
    return EpisodeCollector if isinstance(memory, RecentEpisodes) else RolloutCollector
