"""The README of an agent on a hub, made of what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kagent.inspection import Inspection

_NO_SETTINGS = ("agent", "images", "observation_space", "action_space", "name")


def model_card(
    inspection: Inspection,
    repo_id: str,
    *,
    environment: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    command: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """A model card in Markdown, with the metadata that the hub reads in front of it.

    Args:
        inspection: Of the agent's file.
        repo_id: Where it goes, `owner/name`.
        environment: Id of the environment that it was trained in.
        evaluation: What `agent.evaluate` returned, or the `evaluation.json` of a run.
        versions: Of the packages it was trained with; None: those that the file says.
        command: What trained it.
        settings: What it was made with; None: the configuration in the file.

    Returns:
        The text of a `README.md`.

    Example:

    >>> card = model_card(kagent.inspect("agent.keras"), "me/ppo-cartpole", environment="CartPole-v1")
    >>> "library_name: kagent" in card, "kagent.hub.from_hub" in card
    (True, True)
    """
    algorithm = inspection.algorithm or "Agent"
    result = _result(evaluation)
    title = f"{algorithm} on {environment}" if environment else algorithm
    facts = {
        "algorithm": algorithm,
        "environment": environment,
        "observations": f"`{inspection.observation_space}`",
        "actions": f"`{inspection.action_space}`",
        "trained": ", ".join(f"{value:,} {name}" for name, value in inspection.counters.items()) or None,
        "return": result
        and f"{result['mean']:.1f} ± {result['std']:.1f} over {result['episodes']} episodes, greedy actions",
        "serving": "NumPy alone (`kagent.acting.load`)" if inspection.served else "TensorFlow (`kagent.load`)",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items() if value is not None)
    used = ", ".join(f"{name} {value}" for name, value in (versions or inspection.versions).items())
    by = f"It was trained by `{command}`.\n\n" if command else ""
    given = settings if settings is not None else inspection.settings
    shown = {name: value for name, value in given.items() if name not in _NO_SETTINGS}
    env = f", env={json.dumps(environment)}" if environment else ""
    return (
        f"{_metadata(algorithm, environment, result)}\n# {title}\n\n"
        f"An agent of kagent, reinforcement learning for Keras 3.\n\n"
        f"| | |\n|---|---|\n{rows}\n\n"
        f"```python\nimport kagent\n\nagent = kagent.hub.from_hub({json.dumps(repo_id)}{env})\n```\n\n"
        f"## How it was made\n\n{by}Versions: {used}.\n\n"
        f"```json\n{json.dumps(shown, indent=2, default=str)}\n```\n"
    )


def _result(evaluation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    returns = "episode_return" in evaluation  # of `agent.evaluate`; else of a run's file
    names = ("episode_return", "episode_return_std", "episodes") if returns else ("mean", "std", "episodes")
    try:
        mean, std, episodes = (evaluation[name] for name in names)
        return {"mean": float(mean), "std": float(std), "episodes": int(episodes)}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`evaluation` must be what `agent.evaluate` returns, or a run's evaluation.json. Received: {evaluation!r}"
        ) from error


def _metadata(algorithm: str, environment: str | None, result: dict[str, Any] | None) -> str:
    # Texts as JSON, which YAML reads: an environment's id may hold a colon.
    tags = [
        "reinforcement-learning",
        "deep-reinforcement-learning",
        "keras",
        algorithm,
        *([environment] if environment else []),
    ]
    lines = ["---", "library_name: kagent", "tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    if result is not None and environment:
        value = f"{result['mean']:.2f} +/- {result['std']:.2f}"
        data = json.dumps({"name": environment, "type": environment})
        task = json.dumps({"type": "reinforcement-learning", "name": "reinforcement-learning"})
        metric = json.dumps({"type": "mean_reward", "name": "mean_reward", "value": value, "verified": False})
        lines += [
            "model-index:", f"- name: {json.dumps(algorithm)}", "  results:", f"  - task: {task}", f"    dataset: {data}",
            "    metrics:", f"    - {metric}",
        ]  # fmt: skip
    return "\n".join([*lines, "---", ""])
