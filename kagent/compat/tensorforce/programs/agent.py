"""Tensorforce's agent, around one of kagent's."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kagent.compat.tensorforce.programs import files
from kagent.compat.tensorforce.programs.episodes import joined, plain, stacked, taken, trace_of, without_masks
from kagent.compat.tensorforce.programs.making import model_of, of_environment, with_type_names
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
            agent: A name ("ppo", "dqn" ...), a dict `{"agent": name, **arguments}`, the path of a `.json` file that holds one, or an
                agent, which is returned.
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
        name = agent.__name__ if isinstance(agent, type) else agent
        if not isinstance(name, str) or name.lower() not in presets.NAMES:
            raise ValueError(f"`agent` must be one of {', '.join(sorted(presets.NAMES))}. Received: {agent!r}")
        for given in ("internals", "initial_internals"):
            spec.pop(given, None)
        spec |= of_environment(environment, spec)
        for required in ("states", "actions"):
            if spec.get(required) is None:
                raise ValueError(f"`{required}` is required without an `environment`. Received: None")
            spec[required] = with_type_names(spec[required])
        spec["agent"] = name.lower()
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
        agent = Agent.create(spec, environment, **kwargs)
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
            states: Of one stream, nested as their specification, with `<action>_mask` beside them; or of several: a list, or a
                dict of arrays.
            internals: Of an independent act the internal state, `initial_internals()` at an episode's beginning.
            parallel: Index of the stream, or a list of indices, one for each of the states in a batch.
            independent: Whether nothing is remembered, and no `observe` follows.
            deterministic: Of independent acts whether the best action is taken; None: it is, but with the words of 0.5.
            evaluation: The word of 0.5 for `independent` and `deterministic`.
            **kwargs: Refused: `query`, and parameters for a single call.

        Returns:
            The actions; with `internals` the actions and the next internals. Of a batch a list of each.

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
        batched = isinstance(parallel, list | tuple | np.ndarray) or (
            independent and isinstance(states, list | tuple) and len(states) > 0 and not np.isscalar(states[0])
        )
        if independent:
            best = not self._older if deterministic is None else deterministic
            if not batched:
                return self._judge(states, internals, best)
            given = [None] * len(states) if internals is None else internals
            found = [self._judge(one, state, best) for one, state in zip(states, given)]
            return found if internals is None else ([one[0] for one in found], [one[1] for one in found])
        if internals is not None:
            raise ValueError("`internals` are for independent acts: give independent=True")
        if not batched:
            return self._explore(states, int(parallel))
        return [self._explore(taken(states, i), int(index)) for i, index in enumerate(parallel)]

    def _judge(self, states: Any, internals: Any, deterministic: bool) -> Any:
        found = self.model.act(states, deterministic, independent=True, internals=internals)
        if internals is None:
            return plain(found, self.model._action)
        return plain(found[0], self.model._action), found[1]

    def _explore(self, states: Any, parallel: int) -> Any:
        action = self.model.act(states, parallel=parallel)
        self._acted[parallel] = states
        return plain(action, self.model._action)

    def observe(self, reward: Any = 0.0, terminal: Any = False, parallel: Any = 0, states: Any = None) -> int:
        """Takes the outcome of the last action of a stream, or of several.

        Args:
            reward: A number, or a list of them.
            terminal: 0 or False, 1 or True (the episode ended), 2 (it was cut off); or a list of these.
            parallel: Index of the stream, or a list of indices.
            states: Where the action led to; not Tensorforce's. None: the next `act` shows it, and an update that is due is made
                there. Of an episode that was cut off the states of its last action then stand for its last ones.

        Returns:
            Updates since the last call.

        Raises:
            ValueError, RuntimeError: As `kagent.Agent.observe`.
        """
        if isinstance(parallel, list | tuple | np.ndarray):
            for i, index in enumerate(parallel):
                self._outcome(reward[i], terminal[i], int(index), None if states is None else taken(states, i))
        else:
            self._outcome(reward, terminal, int(parallel), states)
        before, self._noticed = self._noticed, self.updates
        return self.updates - before

    def _outcome(self, reward: Any, terminal: Any, parallel: int, states: Any) -> None:
        end = int(terminal)
        needed = end == 2 or (end == 1 and self._estimates_terminal)
        last = self._acted.get(parallel) if states is None and needed else states
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
        seen, masks = without_masks(stacked(states), self.model._raw_observation, self.model._action)
        ends = np.asarray(terminal).astype(np.int64)
        last, final_masks = None, None
        if final_states is not None:
            last, final_masks = without_masks(stacked(final_states), self.model._raw_observation, self.model._action)
        elif (ends == 2).any() or self._estimates_terminal:
            last = _at(seen, np.flatnonzero(ends))
        self.model.experience(
            seen, stacked(actions), ends, np.asarray(reward, np.float64), final_states=last, masks=masks,
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
        found = sorted(path for path in Path(directory).glob(f"*{extension}") if path.is_file())
        count = len(found) if num_traces is None else num_traces
        if not 0 < count <= len(found):
            raise ValueError(
                f"`num_traces` must be from 1 to {len(found)}, the files in {directory}. Received: {num_traces}"
            )
        with np.load(found[0], allow_pickle=False) as first:
            own = "terminated" in first.files
        if own:
            self.model.pretrain(directory, num_iterations, count, num_updates)
            return
        draw = np.random.default_rng(self.model.next_seed())
        for _ in range(num_iterations):
            chosen = draw.permutation(len(found))[:count]
            self.experience(**joined([trace_of(found[i]) for i in chosen]))
            for _ in range(num_updates):
                self.update()

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
                variables and counters, as `.npz` or `.hdf5`; "saved-model": the policy alone, by `kagent.Agent.export`.
            append: "timesteps", "episodes" or "updates": their number is appended to the name.

        Returns:
            The file's path.

        Raises:
            ValueError: An unknown format or word in `append`.
        """
        return files.save(self, Path(directory), filename or "agent", format, append)

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


def _at(states: Any, indices: np.ndarray) -> Any:
    if isinstance(states, Mapping):
        return {name: _at(part, indices) for name, part in states.items()}
    return np.asarray(states)[indices]
