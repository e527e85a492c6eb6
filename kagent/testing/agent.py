"""What every agent keeps."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import keras
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from kagent import acting
from kagent.agent import Agent
from kagent.agents.load import load
from kagent.spaces import Structure
from kagent.testing.contract import Contract, name_of
from kagent.testing.toy import ACTIONS, LONGEST, OBSERVATIONS, Toy

_CLOSE = 1e-5  # between NumPy and Keras
_MODES = {"a graph": {"jit_compile": False}, "XLA": {"jit_compile": True}}


def check_agent(
    make: Callable[..., Agent], *, steps: int = 40, supports: tuple[str, ...] | None = None, compiled: bool = True
) -> None:
    """Checks an agent on environments of episodes of 3 to 7 timesteps.

    Args:
        make: `make(env, seed=..., n_envs=...)` returns a new agent for a `gymnasium.Env`: its class, or that with further
            arguments, such as `functools.partial(MyAgent, network={"units": [8]}, memory=200, batch_size=8, start=8)`.
            Small networks make it fast. It is called about twenty times.
        steps: Timesteps in which it makes at least one update.
        supports: Names of the action spaces that it is for, of `kagent.testing.ACTIONS`: it must refuse the others. None:
            those that it does not refuse.
        compiled: Whether the compiled learner is compared with the eager one too. This takes most of the time.

    Raises:
        AssertionError: It breaks a rule. Spaces: its actions are in the action space and allowed by the mask; a space that
            it is not for is refused by a `ValueError`. Training: it counts timesteps, learns, and its weights stay finite,
            with one environment, with several, with vector environments of every autoreset mode, and with
            `compile(steps_per_execution=2)` unless it refuses that; epochs all log the same names. Seeds: equal ones give
            equal weights. Files: from a `.keras` file it acts as before; training that is resumed from a `.weights.h5` file
            goes on to the bit as if never stopped; `get_config` goes through JSON. Acting: NumPy computes what Keras
            computes, to 1e-5. Compiled: the first update is that of the eager agent. The message has the rule, what was
            expected and what was received.

    Example:

    >>> check_agent(kagent.Random, compiled=False)
    """
    check = _AgentCheck(make, steps, supports)
    check.spaces()
    agent = check.trained()
    check.acting(agent)
    check.config(agent)
    with tempfile.TemporaryDirectory() as folder:
        check.files(agent, Path(folder))
        check.resume(Path(folder))
    check.vectors()
    check.executions()
    check.masks()
    if compiled:
        check.columns()
        check.modes()


class _StopAt(keras.callbacks.Callback):
    """Ends training at a timestep, or with the first update; keeps the update's logs and the names that epochs log."""

    def __init__(self, timestep: int | None = None, update: bool = False):
        super().__init__()
        self.timestep, self.update = timestep, update
        self.logs: dict[str, float] = {}
        self.columns: list[list[str]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.columns.append(sorted(logs))
        if self.timestep is not None and self.model.timesteps >= self.timestep:
            self.model.stop_training = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.logs = dict(logs)
        if self.update:
            self.model.stop_training = True


class _AgentCheck:
    def __init__(self, make: Callable[..., Agent], steps: int, supports: tuple[str, ...] | None):
        self.make, self.steps, self.supports = make, steps, supports
        self.contract = Contract(name_of(make))
        self.suited: list[str] = []

    def env(self, masked: bool = False, action: str | None = None) -> Toy:
        return Toy(action_space=ACTIONS[action or self.suited[0]], masked=masked)

    def new(self, env: Any = None, seed: int = 3, eager: bool = True, n_envs: int = 1, **compiled: Any) -> Agent:
        agent = self.make(self.env() if env is None else env, seed=seed, n_envs=n_envs)
        agent.compile(**(compiled or {"run_eagerly": eager}))
        return agent

    def fit(self, agent: Agent, env: Any = None, callback: Any = None, **bounds: Any) -> Any:
        # One epoch by default: of an eager agent, an epoch without an update costs a trace.
        bounds = {"steps_per_epoch": 2 * self.steps, **bounds}
        with_ = [] if callback is None else [callback]
        return agent.fit(self.env() if env is None else env, callbacks=with_, verbose=0, **bounds)

    def spaces(self) -> None:
        contract, refusals = self.contract, []
        for name, space in ACTIONS.items():
            wanted = None if self.supports is None else name in self.supports
            with contract.rule("A space is supported, or refused by a ValueError", f"action space {name}"):
                try:
                    agent = self.new(self.env(action=name))
                except ValueError as error:
                    contract.expect(wanted is not True, f"an agent for {space}", f"ValueError: {error}")
                    contract.expect(str(error), "an error that says why", "a ValueError without a message")
                    refusals.append(str(error))
                    continue
                contract.expect(wanted is not False, "ValueError", agent)
            self.suited.append(name)
            self.in_space(agent, Toy(action_space=space), f"action space {name}")
        with contract.rule("A space is supported, or refused by a ValueError", "action space Text"):
            unknown = gymnasium.spaces.Text(3)
            contract.refused(lambda: self.new(Toy(action_space=unknown)), f"for the action space {unknown}")
            contract.expect(self.suited, f"an agent for one of {list(ACTIONS)}", "; ".join(dict.fromkeys(refusals)))
        for name, space in OBSERVATIONS.items():
            env = Toy(space, ACTIONS[self.suited[0]])
            with contract.rule("Every observation space is supported", name):
                agent = self.new(env)
            self.in_space(agent, env, f"observation space {name}")

    def in_space(self, agent: Agent, env: Toy, case: str) -> None:
        with self.contract.rule("Actions are in the action space", case):
            agent.begin(steps=self.steps)
            observation, _ = env.reset(seed=0)
            for deterministic in (True, False):
                action = agent.act(observation, deterministic=deterministic, independent=True)
                self.contract.expect(env.action_space.contains(action), str(env.action_space), action)

    def trained(self) -> Agent:
        agent, contract = self.new(), self.contract
        before = agent.get_weights()
        with contract.rule("`fit` trains it"):
            self.fit(agent, steps=self.steps)
        with contract.rule("It counts the timesteps of all environments"):
            contract.equal(agent.timesteps, self.steps, "timesteps")
        if agent.objective.learns:
            with contract.rule(
                f"It makes an update within steps={self.steps} timesteps (else give `check_agent` more)"
            ):
                contract.expect(agent.updates > 0, "updates > 0", f"updates = {agent.updates}")
            with contract.rule("Updates change its weights"):
                moved = any((one != other).any() for one, other in zip(before, agent.get_weights()))
                contract.expect(moved, "other weights than before", "equal ones")
        self.finite(agent, "one environment")
        with contract.rule("Equal seeds give equal weights"):
            other = self.new()
            contract.equal(other.get_weights(), before, "first weights")
            self.fit(other, steps=self.steps)
            contract.equal(other.get_weights(), agent.get_weights(), f"weights after {self.steps} timesteps")
        with contract.rule("Epochs all log the same names"):
            columns = _StopAt()
            self.fit(agent, callback=columns, steps=self.steps, steps_per_epoch=max(1, self.steps // 4))
            contract.equal(columns.columns[1:], columns.columns[:1] * (len(columns.columns) - 1), "names")
        return agent

    def finite(self, agent: Agent, case: str) -> None:
        with self.contract.rule("Weights stay finite", case):
            for variable in agent.weights:
                self.contract.expect(np.isfinite(variable.numpy()).all(), f"finite {variable.path}", variable.numpy())

    def acting(self, agent: Agent) -> None:
        actor: Any = agent.actor
        if not actor.is_numpy or not hasattr(agent.policy, "acting_heads"):
            return
        leaves = [np.stack(parts) for parts in zip(*map(self.encoded, self.observations(16)))]
        with self.contract.rule("NumPy computes what Keras computes, to 1e-5"):
            keras_heads = [head.numpy() for head in agent.policy.acting_heads(leaves)]
            numpy_heads = [np.array(head) for head in actor.forward(leaves)]
            self.contract.equal(numpy_heads, keras_heads, "outputs of the policy", _CLOSE)

    def observations(self, count: int) -> list[Any]:
        space = copy.deepcopy(OBSERVATIONS["Box"])
        space.seed(7)
        return [space.sample() for _ in range(count)]

    def encoded(self, observation: Any) -> list[np.ndarray]:
        return Structure(OBSERVATIONS["Box"], "observation_space").encode(observation)

    def config(self, agent: Agent) -> None:
        with self.contract.rule("`get_config` goes through JSON, and makes the same agent"):
            config = json.loads(json.dumps(agent.get_config()))
            again = Agent.create(copy.deepcopy(config))
            self.contract.equal(type(again).__name__, type(agent).__name__, "class")
            self.contract.equal(json.loads(json.dumps(again.get_config())), config, "config")
            self.contract.equal(again.get_weights(), self.new().get_weights(), "first weights")

    def files(self, agent: Agent, folder: Path) -> None:
        contract, path = self.contract, folder / "agent.keras"
        observations = self.observations(8)

        def actions(one: Any) -> list[Any]:
            return [one.act(observation, deterministic=True) for observation in observations]

        with contract.rule("From a `.keras` file it is as before"):
            agent.save(path)
            loaded = load(path)
            contract.equal(type(loaded).__name__, type(agent).__name__, "class")
            contract.equal(loaded.get_weights(), agent.get_weights(), "weights")
            contract.equal([loaded.timesteps, loaded.updates], [agent.timesteps, agent.updates], "counters")
        if agent.objective.learns:  # else acting may be random
            with contract.rule("From a `.keras` file it acts as before"):
                contract.equal(actions(loaded), actions(agent), "actions")
            if agent.actor.is_servable:
                with contract.rule("`kagent.acting.load` acts from its `.keras` file as it does"):
                    served, player = acting.load(path), agent.player()
                    if served.best_is_stateless:
                        contract.equal(actions(served), actions(agent), "actions")
                    else:
                        played = [player.act(observation) for observation in observations]
                        contract.equal(_played(served, observations), played, "actions of an episode")

    def resume(self, folder: Path) -> None:
        contract, path, bounds = self.contract, folder / "half.weights.h5", {"max_steps": 2 * self.steps}
        with contract.rule("Training that is resumed from a `.weights.h5` file goes on to the bit as if never stopped"):
            whole, half, resumed = self.new(), self.new(), self.new(seed=4)
            self.fit(whole, steps_per_epoch=self.steps, **bounds)
            self.fit(half, callback=_StopAt(self.steps), steps_per_epoch=self.steps, **bounds)
            contract.equal(half.timesteps, self.steps, "timesteps until it stopped")
            half.save_weights(path)
            resumed.load_weights(path)
            self.fit(resumed, steps_per_epoch=self.steps, **bounds)
            found = []
            for name, each in (("whole", whole), ("resumed", resumed)):
                each.save_weights(folder / f"{name}.weights.h5")
                found.append(_entries(folder / f"{name}.weights.h5"))
            contract.equal(found[1], found[0], "in the file")

    def vectors(self) -> None:
        contract, count, steps = self.contract, 2, self.steps
        with contract.rule("It is made for several environments"):
            agent = self.new(n_envs=count)
        for mode in AutoresetMode:
            case = f"a SyncVectorEnv of {count}, autoreset mode {mode.name}"
            with contract.rule("It trains in vector environments of every autoreset mode", case):
                before = agent.timesteps
                self.fit(agent, SyncVectorEnv([self.env] * count, autoreset_mode=mode), steps=steps)
                taken = agent.timesteps - before
                contract.expect(steps <= taken < steps + count, f"{steps} timesteps", taken)
            self.finite(agent, case)
        if agent.objective.learns:
            with contract.rule("It learns from several environments"):
                contract.expect(agent.updates > 0, "updates > 0", f"updates = {agent.updates}")

    def executions(self) -> None:
        with self.contract.rule("It trains with `compile(steps_per_execution=2)`, or refuses it by its name"):
            try:
                agent = self.new(run_eagerly=True, steps_per_execution=2)
                self.fit(agent, steps=2 * self.steps)
            except ValueError as error:
                named = "steps_per_execution" in str(error)
                self.contract.expect(named, "an error that says `steps_per_execution`", f"ValueError: {error}")
                return
            self.contract.equal(agent.timesteps, 2 * self.steps, "timesteps")
            self.contract.expect(agent.updates % 2 == 0, "updates in pairs", agent.updates)
            if agent.objective.learns:
                self.contract.expect(agent.updates > 0, "updates > 0", f"updates = {agent.updates}")
        self.finite(agent, "steps_per_execution=2")

    def masks(self) -> None:
        masked = [name for name in self.suited if Structure(ACTIONS[name], "action_space").leaves[0].is_discrete]
        for name in masked:
            with self.contract.rule("Actions are allowed by the mask", f"action space {name}"):
                env = self.env(masked=True, action=name)  # which refuses the others
                agent = self.new(env)
                self.fit(agent, env, steps=self.steps if name == masked[0] else LONGEST)
                agent.evaluate(self.env(masked=True, action=name), episodes=2, verbose=0)

    def columns(self) -> None:
        with self.contract.rule("Epochs all log the same names from the first one on"):
            columns, agent = _StopAt(), self.new(eager=False, jit_compile=False)
            history = self.fit(agent, callback=columns, steps=self.steps, steps_per_epoch=2).history
            self.contract.equal(columns.columns[1:], columns.columns[:1] * (len(columns.columns) - 1), "names")
            lengths = {name: len(values) for name, values in history.items()}
            wanted = dict.fromkeys(lengths, len(columns.columns))
            self.contract.equal(lengths, wanted, "entries in the history")

    def modes(self) -> None:
        eager, logs = self.first_update(run_eagerly=True)
        if not eager.objective.learns:
            return
        for mode, options in _MODES.items():
            with self.contract.rule("The compiled agent's first update is that of the eager one", f"as {mode}"):
                agent, found = self.first_update(**options)
                self.contract.equal(agent.timesteps, eager.timesteps, "timesteps until then")
                losses = [name for name in logs if name in found and "loss" in name]
                self.contract.equal({n: found[n] for n in losses}, {n: logs[n] for n in losses}, "logs", 1e-3)
                self.contract.expect(losses, "a log of the loss", sorted(found))

    def first_update(self, **options: Any) -> tuple[Agent, dict[str, float]]:
        agent, stop = self.new(**options), _StopAt(update=True)
        self.fit(agent, callback=stop, steps=self.steps)
        return agent, {name: float(value) for name, value in stop.logs.items()}


def _entries(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            value = np.asarray(item[()])
            found[name] = np.frombuffer(value.tobytes(), np.uint8) if value.dtype.kind in "OSV" else value

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def _played(actor: acting.Actor, observations: list[Any]) -> list[Any]:
    """The best actions of an actor with a state, in an episode."""
    states, found = acting.EpisodeStates(actor, 1), []
    for observation in observations:
        found.append(actor.release(states.decide(*actor.read(observation), deterministic=True)))
        states.advance()
    return found
