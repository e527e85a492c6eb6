"""What the folder of a run says of it, as the record that the doctor's rules read. Needs no TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.folder import RunFolder
from kagent.diagnosis.experience import Experience
from kagent.diagnosis.record import Episodes, Record, from_json
from kagent.environments.masks import KEY, Masks
from kagent.spaces import Structure

PLAYED, LONGEST = 5, 5000  # episodes and timesteps of the finished agent
_KEPT = 100


def read(folder: RunFolder, config: dict[str, Any]) -> Record:
    """The record that `kagent train --doctor` left, or else what log, configuration and evaluation say.

    Args:
        folder: Of the run.
        config: Its `config.json`.

    Raises:
        CommandError: A file is damaged, or the run has no log.
    """
    if folder.doctor.is_file():
        try:
            return from_json(json.loads(folder.doctor.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            raise CommandError(f"cannot read {folder.doctor}: {error}") from error
    history = _history(folder.log)
    unit = "timesteps" if "timesteps" in history else "updates"  # of recorded episodes
    steps, asked = _last(history, unit), config["settings"].get("fit", {}).get("steps" if unit == "timesteps" else unit)
    done = 1.0 if folder.agent.is_file() or not isinstance(asked, int | float) else min(steps / asked, 0.999)
    return Record(
        timesteps=int(_last(history, "timesteps")),
        gradient_steps=int(_last(history, "updates")),
        progress=done,
        history=history,
        settings=_settings(config.get("agent")),
        episodes=_episodes(folder.path / "evaluation.json", history),
    )


def played(file: Path, source: Source, deterministic: bool = True) -> tuple[Experience, int]:
    """What a finished agent meets in a few episodes, and how many it has played; NumPy acts.

    Args:
        file: The agent's.
        source: Of the environment.
        deterministic: Greedy actions.

    Raises:
        ValueError: The agent does not act by NumPy alone.
    """
    from kagent import acting

    actor = acting.load(file, seed=0)
    env = source.make()
    try:
        return _play(actor, env, deterministic)
    finally:
        env.close()


def _play(actor: Any, env: Any, deterministic: bool) -> tuple[Experience, int]:
    spaces, choices = Structure(env.observation_space), Structure(env.action_space)
    masks, seen = Masks(spaces, choices), Experience(spaces, spaces, choices)
    observation, info = env.reset(seed=0)
    total, length, episodes = 0.0, 0, 0
    player = actor.player()
    for _ in range(LONGEST):
        given = info.get(KEY)
        action = player.act(observation, deterministic=deterministic, mask=given)
        before = [part[None].copy() for part in spaces.encode(observation)]
        taken = [np.asarray(part)[None] for part in choices.flatten(action)]
        allowed = None if given is None else [m if m is None else m[None] for m in masks.read(given)]
        observation, reward, terminated, truncated, info = env.step(action)
        number = np.array([float(reward)])
        seen.timestep(before, before, taken, number, number, allowed, np.ones(1, bool))
        total, length = total + float(reward), length + 1
        if terminated or truncated:
            seen.episode(total, length, bool(truncated) and not bool(terminated))
            total, length, episodes = 0.0, 0, episodes + 1
            if episodes == PLAYED:
                break
            observation, info = env.reset()
            player.reset()
    return seen, episodes


def _history(path: Path) -> dict[str, list[float]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error}") from error
    if not rows or not {"timesteps", "updates"} & set(rows[0]):
        raise CommandError(f"no epoch in {path}: nothing to judge")
    return {name: [_number(row.get(name)) for row in rows] for name in rows[0] if name}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _last(history: Mapping[str, list[float]], name: str) -> float:
    values = [value for value in history.get(name, ()) if math.isfinite(value)]
    return values[-1] if values else 0.0


def _settings(agent: Any) -> dict[str, float]:
    """The numbers of an agent's configuration that rules read; schedules are left out."""

    def part(name: str) -> dict[str, Any]:
        found = agent.get(name) if isinstance(agent, dict) else None
        return found if isinstance(found, dict) else {}

    found: dict[str, Any] = {"discount": part("reward_estimation").get("discount")}
    rule, memory, exploration = part("update"), part("memory"), part("exploration")
    if rule.get("unit") == "timesteps":
        found |= {
            "batch_size": rule.get("batch_size"),
            "start": max(rule.get("start") or 0, rule.get("batch_size") or 0),
        }
    if memory.get("type"):
        found["on_policy"] = float(memory["type"] in ("Rollout", "Recent"))
    if part("objective").get("type") == "NullObjective":
        found["learns"] = 0.0
    found |= {"huber": part("objective").get("huber"), "bonus": float(bool(part("temperature")))}
    if exploration.get("type") == "EpsilonGreedy":  # the run has come to its end, and epsilon with it
        found["epsilon"] = exploration.get("final")
        # A configuration does not say plainly whether layers are noisy: without certainty nothing is said of epsilon 0.
        found["noisy"] = float('"NoisyDense"' in json.dumps(agent, default=str) or part("policy").get("noisy") is True)
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _episodes(evaluation: Path, history: Mapping[str, list[float]]) -> Episodes:
    """Returns of the log's epochs, and in the place of the last ones those of the evaluation."""
    returns = [value for value in history.get("episode_return", ()) if math.isfinite(value)]
    lengths = [value for value in history.get("episode_length", ()) if math.isfinite(value)]
    half = len(returns) // 2
    last = returns[-max(half, 1) :] if returns else []
    try:
        found = json.loads(evaluation.read_text(encoding="utf-8"))
        last = [float(value) for value in found["returns"]]
        lengths += [float(value) for value in found["lengths"]]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"cannot read {evaluation}: {error}") from error
    return Episodes(
        tuple(returns[:half][:_KEPT]),
        tuple(last[-_KEPT:]),
        int(_last(history, "episodes")),
        None,
        int(max(lengths, default=0.0)),
        max(map(abs, [*returns, *last]), default=0.0),
    )


def with_experience(record: Record, seen: Experience, processed: bool) -> Record:
    """The record, with what the finished agent has met where it says nothing.

    Args:
        record: Of the folder.
        seen: As `played` gave it.
        processed: Whether the agent sees observations and rewards other than these.
    """
    return dataclasses.replace(
        record,
        rewards=record.rewards if record.rewards.raw or processed else seen.rewards(),
        observations=record.observations or seen.observations.entries(),
        inputs=record.inputs or (() if processed else seen.inputs.entries()),
        actions=record.actions or seen.actions.entries(),
        single_choice=seen.choices.share() if record.single_choice is None else record.single_choice,
    )
