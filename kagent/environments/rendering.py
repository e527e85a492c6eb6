"""An agent at work as a GIF or MP4. Needs the extra `kagent[render]`; imports no TensorFlow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np

from kagent import spaces
from kagent.files.atomic_files import replacing

SUFFIXES = (".gif", ".mp4")
INSTALL = "pip install 'kagent[render]'"
_GAP = 4  # black pixels between two films


class Acting(Protocol):
    """What is recorded: an `Agent`, what `kagent.acting.load` returns, or anything else that acts."""

    def act(self, observation: Any, deterministic: bool = ..., mask: Any = ...) -> Any: ...


def record(
    agent: Acting,
    env: str | gymnasium.Env | Sequence[str | gymnasium.Env],
    path: str | Path,
    *,
    episodes: int = 1,
    fps: float | None = None,
    max_steps: int | None = None,
    deterministic: bool = True,
    seed: int | None = None,
) -> dict[str, Any]:
    """Let `agent` play and write what it looks like.

    Args:
        agent: Has `act(observation, deterministic, mask)`, which returns one action of the environment.
        env: A gymnasium id, or an environment made with `render_mode="rgb_array"` (not closed). Or a list of these: they are
            played at the same time and shown side by side, in a grid of the order of the list. What has ended stays in its
            last image, darker, until all have.
        path: The file to write, `.gif` or `.mp4`; replaced only when the recording is complete.
        episodes: Number of episodes of each environment, one after the other in the same file.
        fps: Frames per second; None: what the first environment says in its metadata, or 30.
        max_steps: Steps after which an episode is left; None: when it ends.
        deterministic: Greedy actions instead of sampled ones.
        seed: Seed of the first reset; later ones go on from it. Of a list the n-th environment, counted from 0, has `seed + n`.

    Returns:
        Dict with `"frames"` (their number), `"fps"`, `"episode_returns"` and `"episode_lengths"` (lists, environment by
        environment).

    Raises:
        TypeError: Something else than environments, such as a vector environment.
        ValueError: Another suffix; numbers below 1; no environment, the same one twice, one with spaces unlike the agent's, or
            one that does not render RGB images.
        ImportError: imageio or pygame is missing; the message is the line that installs them.

    Example:

    ```python
    agent = kagent.load("agent.keras")
    kagent.rendering.record(agent, "CartPole-v1", "cartpole.gif", seed=0)
    kagent.rendering.record(agent, ["CartPole-v1"] * 4, "four.gif", seed=0)
    ```
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"`path` must end in {' or '.join(SUFFIXES)}. Received: {str(path)!r}")
    for name, value in (("episodes", episodes), ("fps", fps), ("max_steps", max_steps)):
        if value is not None and not value >= 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {value!r}")
    given = check_filmed(env)
    check_installed()  # before anything is played
    returns: list[list[float]] = [[] for _ in given]
    lengths: list[list[int]] = [[] for _ in given]
    films: list[Iterator[np.ndarray]] = []
    try:
        with contextlib.ExitStack() as opened:
            made = [opened.enter_context(_opened(each)) for each in given]
            rate = float(fps or made[0].metadata.get("render_fps") or 30)
            for number, each in enumerate(made):
                _check_spaces(agent, each)
                own = None if seed is None else seed + number
                films.append(
                    _play(
                        agent, each, episodes, max_steps, deterministic, own, returns[number], lengths[number], _image
                    )
                )
            frames = write(films[0] if len(films) == 1 else side_by_side(films), path, rate)
    except gymnasium.error.DependencyNotInstalled as error:
        if "pygame" not in str(error):
            raise
        raise ImportError(f"Rendering needs pygame: {INSTALL}") from error
    joined = [[value for own in each for value in own] for each in (returns, lengths)]
    return {"frames": frames, "fps": rate, "episode_returns": joined[0], "episode_lengths": joined[1]}


def check_filmed(env: Any) -> list[str | gymnasium.Env]:
    """The environments that are to be filmed.

    Args:
        env: As `record` takes it.

    Raises:
        TypeError: Something else than environments, such as a vector environment.
        ValueError: None, or the same one twice.
    """
    given = list(env) if isinstance(env, list | tuple) else [env]
    if wrong := [each for each in given if not isinstance(each, str | gymnasium.Env)]:
        hint = ""
        if isinstance(wrong[0], gymnasium.vector.VectorEnv):
            hint = ". The environments of a vector environment are filmed side by side as a list of single ones"
        raise TypeError(
            "What is filmed must be an environment id, a gymnasium.Env, or a list of these. Received: "
            f"{type(wrong[0]).__name__}{hint}"
        )
    objects = [each for each in given if not isinstance(each, str)]
    if not given or len({id(each) for each in objects}) < len(objects):
        raise ValueError(f"What is filmed must be different environments, one at least. Received: {env!r}")
    return given


@contextlib.contextmanager
def _opened(env: str | gymnasium.Env) -> Iterator[gymnasium.Env]:
    """The environment; one that was made here is closed."""
    if not isinstance(env, str):
        yield env
        return
    try:
        made = gymnasium.make(env, render_mode="rgb_array")
    except TypeError as error:
        if "'render_mode'" not in str(error):
            raise
        raise ValueError(f"{env} cannot be filmed: its constructor takes no `render_mode`") from error
    try:
        yield made
    finally:
        made.close()


def side_by_side(films: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Several films at once, in a grid; one that has ended stays in its last image, darker.

    Args:
        films: Of uint8 images `(height, width, 3)`, one at least each. Smaller ones have black around them.

    Yields:
        Images of the size of the grid.

    Example:

    >>> images = side_by_side([iter([np.full((2, 2, 3), 9, np.uint8)] * count) for count in (1, 3)])
    >>> [image[0, 0, 0].item() for image in images]
    [9, 4, 4]
    """
    latest = [next(film) for film in films]
    columns = math.ceil(math.sqrt(len(films)))
    rows = math.ceil(len(films) / columns)
    height, width = (max(image.shape[axis] for image in latest) for axis in (0, 1))
    runs = [True] * len(films)
    while any(runs):
        grid = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), np.uint8)
        for number, image in enumerate(latest):
            top, left = (height + _GAP) * (number // columns), (width + _GAP) * (number % columns)
            part = image[:height, :width] if runs[number] else image[:height, :width] // 2
            grid[top : top + part.shape[0], left : left + part.shape[1]] = part
        yield grid
        for number, film in enumerate(films):
            if runs[number]:
                following = next(film, None)
                runs[number] = following is not None
                latest[number] = latest[number] if following is None else following


def check_installed() -> None:
    """Checks that GIFs can be written.

    Raises:
        ImportError: imageio is missing; the message is the line that installs it.
    """
    _imageio()


def show(
    agent: Acting, env: gymnasium.Env, *, episodes: int = 1, deterministic: bool = True, seed: int | None = None
) -> Iterator[float]:
    """Let `agent` play in an environment that draws itself, and give the return of each episode when it has ended.

    Args:
        agent: Has `act(observation, deterministic, mask)`, which returns one action of the environment.
        env: An environment made with `render_mode="human"` (not closed).
        episodes: Number of episodes.
        deterministic: Greedy actions instead of sampled ones.
        seed: Seed of the first reset; later ones go on from it.

    Raises:
        ValueError: An environment with spaces unlike the agent's.

    Example:

    ```python
    agent = kagent.load("agent.keras")
    env = gymnasium.make("CartPole-v1", render_mode="human")
    for episode_return in kagent.rendering.show(agent, env, episodes=3):
        print(episode_return)
    ```
    """
    _check_spaces(agent, env)
    returns: list[float] = []
    for episode in range(episodes):
        own = seed if episode == 0 else None
        for _ in _play(agent, env, 1, None, deterministic, own, returns, [], lambda env: None):
            pass
        yield returns[-1]


def write(frames: Iterator[np.ndarray], path: str | Path, fps: float) -> int:
    """Write uint8 images of shape `(height, width, 3)` to `path` (`.gif` or `.mp4`) and return their number.

    A GIF shows an image for a whole number of hundredths of a second, so its speed is the nearest to `fps`.
    """
    imageio = _imageio()
    path = Path(path)
    if path.suffix.lower() == ".gif":
        options: dict[str, Any] = {
            "duration": 10 * max(2, round(100 / fps)),
            "loop": 0,
        }  # below 20 ms viewers slow down
    else:
        options = {"fps": fps, "macro_block_size": 2}  # the codec's own need; 16 would rescale the image
    count = 0
    with replacing(path) as beside:
        with imageio.get_writer(beside, **options) as writer:
            for frame in frames:
                writer.append_data(frame)
                count += 1
    return count


def _check_spaces(agent: Acting, env: gymnasium.Env) -> None:
    for role in ("observation_space", "action_space"):
        own = getattr(agent, role, None)
        if own is not None and (difference := spaces.difference(own, getattr(env, role))):
            raise ValueError(f"The environment's {role} is not the agent's. Received:\n{difference}")


def _play(
    agent: Acting,
    env: gymnasium.Env,
    episodes: int,
    max_steps: int | None,
    deterministic: bool,
    seed: int | None,
    returns: list[float],
    lengths: list[int],
    look: Callable[[gymnasium.Env], Any],
) -> Iterator[Any]:
    # Preprocessing and recurrent networks have to know where an episode begins, and nothing is learned from what is only watched.
    player: Any = agent.player() if hasattr(agent, "player") else None
    for episode in range(episodes):
        if player is not None:
            player.reset()
        observation, info = env.reset(seed=seed if episode == 0 else None)
        total, length, ended = 0.0, 0, False
        yield look(env)
        while not ended and (max_steps is None or length < max_steps):
            action = (player or agent).act(observation, deterministic=deterministic, mask=info.get("action_mask"))
            observation, reward, terminated, truncated, info = env.step(action)
            total, length, ended = total + float(reward), length + 1, bool(terminated or truncated)
            yield look(env)
        returns.append(total)
        lengths.append(length)


def _image(env: gymnasium.Env) -> np.ndarray:
    try:
        image = env.render()
    except NotImplementedError as error:
        name = type(env.unwrapped).__name__
        raise ValueError(f"The environment must render RGB images. {name} has no `render` of its own") from error
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            "The environment must render RGB images: make it with render_mode='rgb_array'. "
            f"Received: {got} from render() with render_mode={env.render_mode!r}"
        )
    return image


def _imageio() -> Any:
    try:
        import imageio.v2
        import imageio_ffmpeg  # noqa: F401  (imageio finds it by itself, but fails late without it)
    except ImportError as error:
        raise ImportError(f"Recording needs imageio: {INSTALL}") from error
    return imageio.v2
