"""Tensorforce's agent, around one of kagent's."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kagent.compat.tensorforce.programs import episodes, files, pretraining
from kagent.compat.tensorforce.programs.making import described, model_of, of_environment
from kagent.compat.tensorforce.translation import presets
from kagent.compat.tensorforce.translation.context import from_file

_SPACES = ("states", "actions", "max_episode_timesteps")


class Agent:
    """An agent with the methods that Tensorforce's has, made by `Agent.create` or `Agent.load`.

    Attributes:
        model: The `kagent.Agent` that acts and learns, a `keras.Model`. All of kagent works with it: `agent.model.fit(env)`,
            `agent.model.save("agent.keras")`.
        spec: The specification, with `states`, `actions` and `max_episode_timesteps`.
        timesteps, episodes, updates: How many of them it has behind it.
    """

    def __init__(self, model: Any, spec: dict[str, Any], older: bool = False):
        self.model, self.spec, self._older = model, spec, older
        self._acted: dict[int, Any] = {}
        self._noticed = self.updates

    @staticmethod
    def create(agent: Any = "tensorforce", environment: Any = None, **kwargs: Any) -> Agent:
        """Makes an agent from a specification of Tensorforce 0.5 or 0.6.

        Args:
            agent: A name ("ppo", "dqn" ...), a dict `{"agent": name, **arguments}`, the path of a `.json` file that holds one, a
                function of states that gives actions (for a `recorder`), or an agent, which is returned.
            environment: An `Environment` or a specification of one, for `states`, `actions` and `max_episode_timesteps`.
            **kwargs: Arguments; they take the place of those in `agent`.

        Words that have no meaning in kagent are taken, and one warning says which they are.

        Raises:
            ValueError, TypeError: Words that are unknown, or that do not go together, with the way to say it now.

        Example:

        >>> from kagent.compat import tensorforce
        >>> environment = tensorforce.Environment.create("gym", level="CartPole", max_episode_timesteps=500)
        >>> agent = tensorforce.Agent.create("ppo", environment, batch_size=10, learning_rate=1e-3)
        >>> states = environment.reset()
        >>> actions = agent.act(states=states)
        >>> states, terminal, reward = environment.execute(actions=actions)
        >>> updates = agent.observe(terminal=terminal, reward=reward)
        """
        if isinstance(agent, Agent):
            if kwargs:
                raise TypeError(f"An agent that is made already takes no arguments. Received: {sorted(kwargs)}")
            agent.reset()
            return agent
        spec = dict(kwargs)
        agent = from_file(agent, "agent")
        while isinstance(agent, Mapping):  # a specification may be within another
            spec = {**agent, **spec}
            agent = from_file(spec.pop("agent", spec.pop("type", "tensorforce")), "agent")
        function = agent if callable(agent) and not isinstance(agent, type) else None
        name = agent.__name__ if isinstance(agent, type) else agent
        if function is None and (not isinstance(name, str) or name.lower() not in presets.NAMES):
            known = ", ".join(sorted(presets.NAMES))
            raise ValueError(f"`agent` must be a function of states, or one of {known}. Received: {agent!r}")
        for given in ("internals", "initial_internals"):
            spec.pop(given, None)
        spec |= of_environment(environment, spec)
        for required in ("states", "actions"):
            if spec.get(required) is None:
                raise ValueError(f"`{required}` is required without an `environment`. Received: None")
            spec[required] = described(spec[required])
        spec["agent"] = function or name.lower()
        model, older = model_of(spec)
        if isinstance(saver := spec.get("saver"), Mapping) and saver.get("directory") is not None:
            files.write_spec(spec, Path(saver["directory"]), saver.get("filename") or model.name)
        return Agent(model, spec, older)

    @staticmethod
    def load(
        directory: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        format: str | None = None,
        environment: Any = None,
        **kwargs: Any,
    ) -> Agent:
        """Makes an agent again from what `save`, or its `saver`, wrote.

        Args:
            directory: Where the files are.
            filename: Their name, with or without what was appended; by default "agent".
            format: "checkpoint", "numpy" or "hdf5"; None: that of the only file of this name, or of the newest.
            environment: As of `create`.
            **kwargs: Arguments in place of those that were saved; and those that were not saved, such as functions.

        Raises:
            ValueError: No such file, an unknown format, or an argument that was not saved and is not given.

        Example:

        >>> from kagent.compat import tensorforce
        >>> agent = tensorforce.Agent.create("vpg", "CartPole-v1", batch_size=2)
        >>> path = agent.save("runs", filename="vpg", format="numpy")
        >>> again = tensorforce.Agent.load("runs", filename="vpg", environment="CartPole-v1")
        >>> again.timesteps
        0
        """
        if directory is None:
            raise ValueError("`directory` is required. Received: None")
        found = files.find(Path(directory), filename, format)
        spec = files.read_spec(found)
        missing = [name for name in spec.pop(files.LEFT_OUT, []) if name not in kwargs]
        if missing:
            raise ValueError(f"The file's agent was made with {missing}, which no file holds: give them to `load`")
        if environment is not None:
            spec = {name: value for name, value in spec.items() if name not in _SPACES}
        if isinstance(spec.get("saver"), Mapping):
            spec["saver"] = {**spec["saver"], "load": True}  # it goes on with what it has saved
        agent = Agent.create({**spec, **kwargs}, environment)
        files.restore(agent.model, found)
        agent._noticed = agent.updates
        return agent

    # Acting and observing --------------------------------------------------------------------------------------

    def act(
        self,
        states: Any,
        internals: Any = None,
        parallel: Any = 0,
        independent: bool = False,
        deterministic: bool | None = None,
        evaluation: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """The actions for states.

        Args:
            states: One, nested as their specification, with `<action>_mask` beside it; or a batch: a list, or arrays with one
                axis more.
            internals: Of an independent act the internal state, `initial_internals()` at an episode's beginning; of a batch a list.
            parallel: Index of the stream; of a batch one for each of its states, by default those of all streams.
            independent: Whether nothing is remembered, and no `observe` follows.
            deterministic: Of independent acts whether the best action is taken; None: it is, but with the words of 0.5.
            evaluation: The word of 0.5 for `independent` and `deterministic`.
            **kwargs: Refused: `query`, and parameters for a single call.

        Returns:
            The actions; with `internals` the actions and the next internals. Of a list a list of each, of arrays arrays.

        Raises:
            ValueError, TypeError: As `kagent.Agent.act`.
        """
        if kwargs:
            raise TypeError(
                f"`act` takes no {sorted(kwargs)}: tensors within a program are not there to be fetched. `agent.model.policy` "
                "computes values and probabilities"
            )
        if evaluation is not None:
            independent, deterministic = independent or evaluation, evaluation
        if deterministic is not None and not independent:
            raise ValueError(
                f"`deterministic` is for independent acts: give independent=True. Received: {deterministic}"
            )
        count = episodes.batch_size(states, self.model._raw_observation)
        if independent:
            best = not self._older if deterministic is None else deterministic
            if count is None:
                return self._judge(states, internals, best)
            given = [None if internals is None else episodes.taken(internals, i) for i in range(count)]
            found = [self._judge(episodes.taken(states, i), given[i], best) for i in range(count)]
            if internals is None:
                return episodes.in_form_of(states, found)
            return episodes.in_form_of(states, [one[0] for one in found]), episodes.in_form_of(
                internals, [one[1] for one in found]
            )
        if internals is not None:
            raise ValueError("`internals` are for independent acts: give independent=True")
        if count is None and np.ndim(parallel):
            raise ValueError(f"`parallel` as a list is for a batch of states. Received: {parallel} and one of them")
        if count is None:
            return self._explore(states, int(parallel))
        indices = self._streams(parallel, count, "states")
        return episodes.in_form_of(
            states, [self._explore(episodes.taken(states, i), index) for i, index in enumerate(indices)]
        )

    def _streams(self, parallel: Any, count: int, argument: str) -> list[int]:
        """Indices of streams, of a batch of which `parallel` says nothing all of them."""
        given = range(self.parallel_interactions) if np.ndim(parallel) == 0 and parallel == 0 else np.ravel(parallel)
        if len(given) != count:
            raise ValueError(
                f"`parallel` must have an index for each of `{argument}`. Received: {parallel} and {count} of them"
            )
        return [int(index) for index in given]

    def _judge(self, states: Any, internals: Any, deterministic: bool) -> Any:
        states = episodes.unnamed(states, self.model._raw_observation)
        found = self.model.act(states, deterministic, independent=True, internals=internals)
        if internals is None:
            return episodes.plain(found, self.model._action)
        return episodes.plain(found[0], self.model._action), found[1]

    def _explore(self, states: Any, parallel: int) -> Any:
        states = episodes.unnamed(states, self.model._raw_observation)
        action = self.model.act(states, parallel=parallel)
        self._acted[parallel] = states
        return episodes.plain(action, self.model._action)

    def observe(self, reward: Any = 0.0, terminal: Any = False, parallel: Any = 0, states: Any = None) -> int:
        """Takes the outcome of the last action of a stream, or of several.

        Args:
            reward: A number, or a list or an array of them.
            terminal: 0 or False, 1 or True (the episode ended), 2 (it was cut off); or a list or an array of these.
            parallel: Index of the stream, or a list of indices, by default those of all streams.
            states: Where the action led to; not Tensorforce's. None: the next `act` shows it, and an update that is due is made
                there. Of an episode that was cut off the states of its last action then stand for its last ones.

        Returns:
            Updates since the last call.

        Raises:
            ValueError, RuntimeError: As `kagent.Agent.observe`.
        """
        given = {"reward": reward, "terminal": terminal, "parallel": parallel}
        counts = {name: len(value) for name, value in given.items() if np.ndim(value)}
        if not counts:
            self._outcome(reward, terminal, int(parallel), states)
        else:
            argument, count = next(iter(counts.items()))
            indices = self._streams(parallel, count, argument)
            rewards, ends = (episodes.repeated(given[name], count, name) for name in ("reward", "terminal"))
            for i, index in enumerate(indices):
                self._outcome(rewards[i], ends[i], index, None if states is None else episodes.taken(states, i))
        before, self._noticed = self._noticed, self.updates
        return self.updates - before

    def _outcome(self, reward: Any, terminal: Any, parallel: int, states: Any) -> None:
        end = int(terminal)
        needed = end == 2 or (end == 1 and self._estimates_terminal)
        last = self._acted.get(parallel) if states is None and needed else states
        last = episodes.unnamed(last, self.model._raw_observation)
        self.model.observe(float(reward), terminal=end, next_observation=last, parallel=parallel)

    @property
    def _estimates_terminal(self) -> bool:
        return bool(self.model.reward_estimation.estimate_terminal)

    def initial_internals(self) -> dict[str, Any]:
        """The internal state at an episode's beginning, for independent acts."""
        return {}

    def reset(self) -> None:
        """Gives up the open episodes of all streams."""
        self.model._interaction.leave()
        self._acted = {}

    # Learning from what was played elsewhere --------------------------------------------------------------------

    def experience(
        self, states: Any, actions: Any, terminal: Any, reward: Any, internals: Any = None, final_states: Any = None
    ) -> None:
        """Remembers whole episodes, without learning from them: `update()` does.

        Args:
            states: A list of the states of each timestep, or arrays `(T, ...)` nested as their specification, with masks.
            actions: What was done, in the same form.
            terminal: 0, 1 or 2 of each timestep; the last one is not 0.
            reward: Of each timestep.
            internals: Taken without effect: sequences begin with the states that memories keep.
            final_states: Where each episode ended, in the form of `states`; not Tensorforce's. None: the states of its last
                timestep, where they are needed.

        Raises:
            ValueError, TypeError, RuntimeError: As `kagent.Agent.experience`.
        """
        seen, masks = episodes.without_masks(episodes.stacked(states), self.model._raw_observation, self.model._action)
        ends = np.asarray(terminal).astype(np.int64)
        last, final_masks = None, None
        if final_states is not None:
            last, final_masks = episodes.without_masks(
                episodes.stacked(final_states), self.model._raw_observation, self.model._action
            )
        elif (ends == 2).any() or self._estimates_terminal:
            last = episodes.rows_of(seen, np.flatnonzero(ends))
        self.model.experience(
            seen, episodes.stacked(actions), ends, np.asarray(reward, np.float64), final_states=last, masks=masks,
            final_masks=final_masks,
        )  # fmt: skip

    def update(self, query: None = None) -> int:
        """Makes one update now. Returns how many were made since the last call of `observe` or `update`."""
        self.model.update()
        before, self._noticed = self._noticed, self.updates
        return self.updates - before

    def pretrain(
        self,
        directory: str | os.PathLike[str],
        num_iterations: int,
        num_traces: int | None = 1,
        num_updates: int = 1,
        extension: str = ".npz",
    ) -> None:
        """Learns from trace files: in every iteration some of them go into the memory, and updates are made.

        Args:
            directory: Where the files are: Tensorforce's, with arrays `states`, `actions`, `terminal` and `reward`, or those of
                `kagent.callbacks.Recorder`.
            num_iterations: How many iterations.
            num_traces: Files read in one; None: all.
            num_updates: Updates in one.
            extension: Of the files.

        Raises:
            ValueError: No such directory, no files in it, or fewer than `num_traces`.
        """
        pretraining.pretrain(self, Path(directory), num_iterations, num_traces, num_updates, extension)

    # Files and texts --------------------------------------------------------------------------------------------

    def save(
        self,
        directory: str | os.PathLike[str],
        filename: str | None = None,
        format: str = "checkpoint",
        append: str | None = None,
    ) -> str:
        """Writes the agent, and its specification beside it as `<filename>.json`.

        Args:
            directory: Where to; it is made if need be.
            filename: By default "agent".
            format: "checkpoint": all of its state, with optimizers and memory, as `.weights.h5`; "numpy" or "hdf5": its
                variables and counters, as `.npz` or `.hdf5`; "saved-model": the policy alone, in the directory itself where there
                is no filename; `tf.saved_model.load(...)` then has `act(states, auxiliaries, deterministic)`.
            append: "timesteps", "episodes" or "updates": their number is appended to the name.

        Returns:
            The file's path.

        Raises:
            ValueError: An unknown format or word in `append`.
        """
        return files.save(self, Path(directory), filename or files.DEFAULT_NAME, format, append)

    def get_specification(self) -> dict[str, Any]:
        """The specification that makes such an agent, with its spaces."""
        return dict(self.spec)

    def get_architecture(self) -> str:
        """The networks' layers as text."""
        text = io.StringIO()
        self.model.summary(print_fn=lambda line: print(line, file=text), expand_nested=True)
        return text.getvalue()

    def close(self) -> None:
        """Ends what `saver`, `summarizer` and `recorder` hold."""
        self.model.close()

    @property
    def timesteps(self) -> int:
        """Timesteps taken in training."""
        return int(self.model.timesteps)

    @property
    def episodes(self) -> int:
        """Episodes finished in training."""
        return int(self.model.episodes)

    @property
    def updates(self) -> int:
        """Updates made."""
        return int(self.model.gradient_steps)

    @property
    def parallel_interactions(self) -> int:
        """How many streams there are."""
        return int(self.model.parallel_interactions)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.spec['agent']})"
