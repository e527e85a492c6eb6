"""Agents to and from a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kagent import environments
from kagent.agents.load import load
from kagent.hub.model_card import model_card
from kagent.inspection import Inspection, inspect

AGENT = "agent.keras"
_OF_A_RUN = ("config.json", "versions.json", "evaluation.json", "log.csv")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_INSTALL = "pip install 'kagent[hub]'"


def push_to_hub(
    source: Any,
    repo_id: str,
    *,
    environment: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    private: bool = False,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Uploads an agent with a model card. The repository is made if it is not there.

    Args:
        source: An agent; or the folder of a run of `kagent train`, which knows its environment, its evaluation, its versions and
            its command, and whose log goes along; or a `.keras` file.
        repo_id: `owner/name`.
        environment: Id of the environment, for the card. None: that of the run.
        evaluation: What `agent.evaluate` returned, for the card. None: that of the run.
        private: Whether a repository that is made is private.
        token: Of the hub. None: that of `hf auth login`.
        message: Of the commit.

    Returns:
        The address of the commit.

    Raises:
        ImportError: huggingface_hub is not installed; the message is the line that installs it.
        ValueError, TypeError, FileNotFoundError: A bad argument; a source that holds no agent. Before anything is sent.
        OSError: The hub refuses, or is not reached.
    """
    _check_id(repo_id)
    hub = _library()
    with tempfile.TemporaryDirectory() as folder:
        collect(Path(folder), source, repo_id, environment, evaluation)
        api = hub.HfApi(token=token, library_name="kagent")
        api.create_repo(repo_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo_id, folder_path=folder, commit_message=message or f"An agent of kagent: {repo_id}"
        )
    return str(done.commit_url)


def from_hub(
    repo_id: str,
    *,
    filename: str = AGENT,
    revision: str | None = None,
    token: str | None = None,
    env: Any = None,
    **kwargs: Any,
) -> Any:
    """Loads an agent from the hub. Its file is inspected first: what is no agent, is damaged, or is for other spaces is refused
    before a layer of it is made.

    Args:
        repo_id: `owner/name`.
        filename: The `.keras` file in the repository.
        revision: A branch, a tag or a commit. Give a commit's hash for a file that nobody can change.
        token: Of the hub, for private repositories. None: that of `hf auth login`.
        env: Where given, its spaces must be the agent's.
        **kwargs: As for `kagent.load`.

    Returns:
        The agent.

    Raises:
        ImportError: huggingface_hub is not installed; the message is the line that installs it.
        ValueError: As for `kagent.inspect` and `kagent.load`; a file of weights alone.
        OSError: The hub does not have it, or is not reached.
    """
    path = download(repo_id, filename=filename, revision=revision, token=token)
    found = inspect(path)
    if found.kind != "agent":
        raise ValueError(f"{filename!r} of {repo_id!r} must be an agent's .keras file. Received: {found.kind}")
    if env is not None:
        _check_spaces(found, env)
    return load(path, **kwargs)


def download(repo_id: str, *, filename: str = AGENT, revision: str | None = None, token: str | None = None) -> Path:
    """Brings a file from the hub into its cache on this machine, to look at it by `kagent.inspect`. Nothing of it is read.

    Args:
        repo_id, filename, revision, token: As for `from_hub`.

    Returns:
        The path of the file.

    Raises:
        ImportError, ValueError, OSError: As for `from_hub`.
    """
    _check_id(repo_id)
    if not isinstance(filename, str) or not filename or filename.startswith("/") or ".." in filename.split("/"):
        raise ValueError(f"`filename` must be the path of a file within the repository. Received: {filename!r}")
    hub = _library()
    return Path(hub.hf_hub_download(repo_id, filename, revision=revision, token=token, library_name="kagent"))


def collect(
    folder: Path, source: Any, repo_id: str, environment: str | None, evaluation: Mapping[str, Any] | None
) -> None:
    """Fills a folder with what goes to the hub.

    Raises:
        ValueError, TypeError, FileNotFoundError: As for `push_to_hub`.
    """
    record: dict[str, Any] = {}
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        found = inspect(path)
        if found.kind != "agent" or not found.path.is_file():
            raise ValueError(
                f"`source` must be an agent, a run's folder or a .keras file. Received: {str(path)!r}, {found.kind}"
            )
        shutil.copyfile(found.path, folder / AGENT)
        if path.is_dir():
            record = {name: _copied(path, folder, name) for name in _OF_A_RUN}
    elif callable(getattr(source, "save", None)) and hasattr(source, "observation_space"):
        source.save(folder / AGENT)
        found = inspect(folder / AGENT)
    else:
        raise TypeError(
            f"`source` must be an agent, a run's folder or a .keras file. Received: {type(source).__name__}"
        )
    config = record.get("config.json") or {}
    card = model_card(
        found,
        repo_id,
        environment=environment or config.get("environment"),
        evaluation=evaluation or record.get("evaluation.json"),
        versions=record.get("versions.json"),
        command=config.get("command"),
        settings=config.get("settings"),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _copied(run: Path, folder: Path, name: str) -> Any:
    """Copies a file of a run, if it is there; the content of JSON."""
    if not (run / name).is_file():
        return None
    shutil.copyfile(run / name, folder / name)
    if not name.endswith(".json"):
        return None
    try:
        found = json.loads((run / name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(run / name)!r} is no record of a run: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{str(run / name)!r} is no record of a run. Received: {type(found).__name__}")
    return found


def _check_spaces(found: Inspection, env: Any) -> None:
    made = environments.make(env)
    try:
        environments.check_spaces(found.observation_space, found.action_space, made)
    finally:
        if made.owned:
            made.close()


def _check_id(repo_id: Any) -> None:
    if not isinstance(repo_id, str) or not _REPO.fullmatch(repo_id):
        raise ValueError(f"`repo_id` must be 'owner/name'. Received: {repo_id!r}")


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(f"The hub needs huggingface_hub: {_INSTALL}") from error
    return huggingface_hub
