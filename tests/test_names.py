"""Every name that the docs name is where they name it, as an attribute after `import kagent` alone."""

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gymnasium import spaces

import kagent
from kagent.exploration import EXPLORATIONS, Exploration

ROOT = Path(__file__).parents[1]
DOCS = [
    *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/guides/**/*.md"), *ROOT.glob("docs/notes/*.md"),
    *ROOT.glob("callbacks/*.md"), *ROOT.glob("examples/*"), *ROOT.glob("kagent/**/*.py"),
]  # fmt: skip
NAME = r"kagent((?:\.[A-Za-z_]\w*)+)"
PARTS = {
    "callbacks": ["Callback", "Checkpoint", "ProgressBar", "Recorder", "Summarizer", "TensorBoard"],
    "estimators": ["Agent", "BatchMemory", "EstimatorSpec", "Memory", "PGAgent", "RunConfig", "explorations", "models"],
    "exploration": ["ActionNoise", "EpsilonGreedy", "Exploration", "OrnsteinUhlenbeckNoise", "Sampling"],
    "memories": ["Hindsight", "Memory", "Prioritized", "Recent", "Replay", "Rollout"],
    "objectives": ["Objective", "PlusObjective", "RolloutObjective", "Term", "TransitionObjective"],
    "optimizers": ["Modifier", "Target"],
    "plotting": ["plot"],
    "policies": [
        "ActionValue", "ConstantPolicy", "DeterministicPolicy", "RandomPolicy", "Role", "SharedStateValue", "StateValue",
        "StochasticPolicy", "Temperature", "ValuePolicy", "distributions",
    ],
    "preprocessing": ["Layer", "Preprocessing"],
    "rendering": ["record"],
    "schedules": ["Clock", "Linear", "Schedule"],
    "tuned": ["environments", "load"],
}  # fmt: skip

# Where names were before, and where they are.
MOVED = {
    "callbacks.EpisodeSummaries": "estimators.episode_summaries.EpisodeSummaries",
    "compat.tensorforce.arguments.Words": "arguments.Words",
    "compat.tensorforce.baselines.translate": "arguments.baselines.translate",
    "compat.tensorforce.specifications.to_space": "specifications.to_space",
    "exploration.named.greedy": "exploration.names.greedy",
    "memories.ReplayRecords": "estimators.records.ReplayRecords",
    "objectives.ModelObjective": "estimators.function_objective.ModelObjective",
    "policies.LogProb": "estimators.log_prob.LogProb",
    "policies.ModelPolicy": "estimators.function_policy.ModelPolicy",
    "policies.distributions.Beta": "distributions.Beta",
    "policies.heads.Values": "estimators.heads.Values",
    "plotting.plot": "cli.plotting.plot",
    "rendering.record": "environments.rendering.record",
    "saving.load": "agents.load.load",
}


def named():
    """Dotted names in the docs: between backticks, or anywhere in texts."""
    found = set()
    for path in DOCS:
        if path.is_file():
            pattern = rf"`{NAME}" if path.suffix == ".py" else rf"(?<![\w./]){NAME}"
            found |= {match[1].lstrip(".") for match in re.finditer(pattern, path.read_text(encoding="utf-8"))}
    return found - {"cli"}  # a command, not a name


def test_all_of_them():
    names = named()
    assert {"policies", "estimators", "callbacks.Checkpoint", "policies.heads", "acting.load"} <= names
    program = (
        "import functools, pydoc, sys, kagent\n"
        "attributes, documented = (text.split() for text in sys.argv[1:])\n"
        "for name in attributes:\n"
        "    try: functools.reduce(getattr, name.split('.'), kagent)\n"
        "    except AttributeError as error: print(name, error)\n"
        "print(*[name for name in documented if pydoc.locate(f'kagent.{name}') is None], sep='\\n', end='')"
    )
    parts = " ".join(f"{home}.{name}" for home, parts in PARTS.items() for name in parts)
    command = [sys.executable, "-c", program, parts, " ".join(sorted(names))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("home", PARTS)
def test_exported_names_can_be_imported(home):
    module = importlib.import_module(f"kagent.{home}")
    exported = getattr(module, "__all__", PARTS[home])
    assert [name for name in exported if not hasattr(module, name)] == []
    if hasattr(module, "__all__"):
        assert set(PARTS[home]) <= set(module.__all__)


@pytest.mark.parametrize("old", MOVED)
def test_names_are_found_where_they_were(old):
    objects = []
    for place in (old, MOVED[old]):
        home, _, name = place.rpartition(".")
        objects.append(getattr(importlib.import_module(f"kagent.{home}".rstrip(".")), name))
    assert objects[0] is objects[1]


def test_an_exploration_of_ones_own():
    @EXPLORATIONS.register()
    @dataclasses.dataclass(frozen=True)
    class RandomBeginning(Exploration):
        timesteps: int = 10

        def decide(self, actor, leaves, mask, clock, rng):
            if clock.timesteps < self.timesteps:
                return actor.random(len(leaves[0]), rng, mask)
            return actor.decide(leaves, mask, True, rng)

    space = {"observation_space": spaces.Box(-1, 1, (2,)), "action_space": spaces.Discrete(50)}
    agent = kagent.DQN(**space, memory=100, exploration=RandomBeginning(timesteps=20), seed=0)
    acts = []
    for _ in range(40):
        acts.append(int(agent.act([0.5, 0.5])))
        agent.observe(0.0, False, False, [0.5, 0.5])
    assert len(set(acts[:20])) > 5 and len(set(acts[20:])) == 1
    assert agent.get_config()["exploration"] == {"type": "RandomBeginning", "timesteps": 20}


def test_a_close_name_is_suggested():
    done = subprocess.run(
        [sys.executable, "-c", "import kagent; kagent.DQNN"], capture_output=True, text=True, cwd=ROOT
    )
    assert "module 'kagent' has no attribute 'DQNN'. Did you mean: 'DQN'?" in done.stderr
