"""What goes to a hub: the card, its metadata, the files; and what is refused before anything is sent."""

import json
import sys

import pytest
import yaml

import kagent
from kagent import hub
from kagent.hub.repository import collect

RUN = {
    "config.json": {
        "environment": "CartPole-v1", "command": "kagent train ppo CartPole-v1 --seed 7", "settings": {"seed": 7, "clip_range": 0.1},
        "agent": {"seed": 7},
    },
    "versions.json": {"python": "3.11.7", "kagent": "0.1.0"},
    "evaluation.json": {"mean": 487.25, "std": 12.5, "episodes": 20, "returns": [487.25] * 20},
}  # fmt: skip


@pytest.fixture(scope="module")
def agent():
    return kagent.PPO("CartPole-v1", network={"type": "mlp", "units": [8]}, seed=0)


@pytest.fixture
def run(agent, tmp_path):
    """A folder as `kagent train` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    agent.save(folder / "agent.keras")
    for name, content in RUN.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "log.csv").write_text("epoch,episode_return\n0,20.0\n")
    (folder / "checkpoints").mkdir()
    return folder


def metadata(card):
    """The YAML in front of a card, as the hub reads it."""
    _, text, _ = card.split("---\n", 2)
    return yaml.safe_load(text)


def test_the_card_of_a_run(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    collect(out, run, "me/ppo", None, None)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "agent.keras", "config.json", "evaluation.json", "log.csv", "versions.json",
    ]  # fmt: skip
    card = (out / "README.md").read_text()
    found = metadata(card)
    assert found["library_name"] == "kagent" and {"PPO", "CartPole-v1", "keras"} <= set(found["tags"])
    (result,) = found["model-index"][0]["results"]
    assert result["dataset"]["name"] == "CartPole-v1" and result["metrics"][0]["value"] == "487.25 +/- 12.50"
    for part in (
        "# PPO on CartPole-v1", "487.2 ± 12.5 over 20 episodes", "`Discrete(2)`", "`kagent train ppo CartPole-v1 --seed 7`",
        "Versions: python 3.11.7, kagent 0.1.0.", '"clip_range": 0.1', 'kagent.hub.from_hub("me/ppo", env="CartPole-v1")',
        "NumPy alone",
    ):  # fmt: skip
        assert part in card, part


def test_the_card_of_an_agent(agent, tmp_path):
    collect(tmp_path, agent, "me/ppo", "CartPole-v1", {"episode_return": 9.5, "episode_return_std": 0.5, "episodes": 2})
    card = (tmp_path / "README.md").read_text()
    assert "9.5 ± 0.5 over 2 episodes" in card and f"kagent {kagent.__version__}" in card
    assert metadata(card)["model-index"][0]["results"][0]["metrics"][0]["value"] == "9.50 +/- 0.50"
    assert kagent.inspect(tmp_path / "agent.keras").algorithm == "PPO"


def test_a_card_says_nothing_that_is_not_known(agent, run, tmp_path):
    collect(tmp_path, run / "agent.keras", "me/ppo", None, None)
    card = (tmp_path / "README.md").read_text()
    assert "model-index" not in card and "| environment |" not in card and "return" not in card.split("```")[0]
    assert 'from_hub("me/ppo")' in card and '"clip_range": 0.2' in card  # of the configuration in the file


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"repo_id": "ppo"}, ValueError, "`repo_id` must be 'owner/name'"),
        ({"repo_id": "../../x"}, ValueError, "`repo_id` must be 'owner/name'"),
        ({"source": 3}, TypeError, r"`source` must be an agent, a run's folder or a \.keras file\. Received: int"),
        ({"source": "none"}, FileNotFoundError, "There is no file"),
        ({"evaluation": [500.0]}, ValueError, r"`evaluation` must be what .* Received: \[500\.0\]"),
        ({"evaluation": {"mean": 3}}, ValueError, "`evaluation` must be what `agent.evaluate` returns"),
    ],
)
def test_mistakes_are_refused_before_anything_is_sent(agent, monkeypatch, change, error, message):
    class Hub:
        def __getattr__(self, name):
            raise AssertionError(name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub())
    arguments = {"source": agent, "repo_id": "me/ppo", **change}
    with pytest.raises(error, match=message):
        hub.push_to_hub(arguments.pop("source"), arguments.pop("repo_id"), **arguments)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.keras", "", 3])
def test_names_of_files_stay_in_the_repository(name):
    with pytest.raises(ValueError, match="`filename` must be the path of a file within the repository"):
        hub.from_hub("me/ppo", filename=name)


def test_without_the_library_the_message_installs_it(agent, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: hub.push_to_hub(agent, "me/ppo"), lambda: hub.from_hub("me/ppo")):
        with pytest.raises(ImportError, match=r"The hub needs huggingface_hub: pip install 'kagent\[hub\]'"):
            call()


class Stored:
    """A hub that has one file."""

    def __init__(self, path):
        self.path = path

    def hf_hub_download(self, repo_id, filename, **arguments):
        return str(self.path)


def test_a_file_for_other_spaces_is_refused_before_it_is_built(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", Stored(run / "agent.keras"))
    built = []
    monkeypatch.setattr("kagent.hub.repository.load", lambda path, **arguments: built.append(path))
    with pytest.raises(ValueError, match="observation_space"):
        hub.from_hub("me/ppo", env="Pendulum-v1")
    assert built == []
    hub.from_hub("me/ppo", env="CartPole-v1")
    assert built == [run / "agent.keras"]


def test_weights_alone_are_no_agent(agent, tmp_path, monkeypatch):
    agent.save_weights(tmp_path / "a.weights.h5")
    monkeypatch.setitem(sys.modules, "huggingface_hub", Stored(tmp_path / "a.weights.h5"))
    with pytest.raises(ValueError, match=r"must be an agent's \.keras file\. Received: weights"):
        hub.from_hub("me/ppo", filename="a.weights.h5")
