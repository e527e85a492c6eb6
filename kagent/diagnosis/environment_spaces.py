"""What the spaces of an environment say before it is stepped: advice on bounds, scales and images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kagent.diagnosis.finding import Finding
from kagent.spaces import Leaf, Structure, images

_WIDE = (0.2, 5.0)  # half widths of action ranges that noise of deviation 1 suits
_UNIT = 1.5  # highest value of an image of floats that is scaled already


def spaces_advice(observation: Structure, action: Structure) -> list[Finding]:
    """Findings on both spaces of an environment.

    Args:
        observation, action: Their structures.
    """
    found = [*_unbounded_observations(observation), *_images(observation)]
    for rule in (_without_choice, _unbounded_actions, _unsuitable_actions):
        found += rule(action)
    return found


def _unbounded_observations(structure: Structure) -> Iterator[Finding]:
    counts = [(leaf, _infinite(leaf)) for leaf in structure.leaves if leaf.kind == "box"]
    infinite = sum(count for _, count in counts)
    if infinite:
        entries = sum(leaf.size for leaf, _ in counts)
        yield Finding(
            "observations_unbounded",
            "advice",
            f"{infinite} of {entries} entries of the observation have no finite bounds: their scale is not declared.",
            ("Standardize them by running statistics: normalize='observation'.", "Or declare the true bounds."),
            {"infinite": float(infinite), "entries": float(entries)},
        )


def _images(structure: Structure) -> Iterator[Finding]:
    for leaf in structure.leaves:
        if not leaf.is_image:
            continue
        try:
            images.read(leaf.shape)
        except ValueError:
            yield Finding(
                "image_layout",
                "advice",
                f"The shape {leaf.shape}{_at(leaf)} does not say which axis of the image has the channels.",
                ("Say it to the network: network={'type': 'cnn', 'data_format': 'channels_last'}.",),
            )
        high = float(np.max(leaf.high)) if leaf.high is not None else 1.0
        if leaf.dtype != np.uint8 and high > _UNIT:
            as_declared = bool(np.all(leaf.divisor == 1.0))
            way = "take it as it is: its bounds are no scale" if as_declared else "divide it by its bounds"
            yield Finding(
                "image_not_uint8",
                "advice",
                f"An image{_at(leaf)} of {leaf.dtype} reaches up to {high:.4g}. Automatic networks {way}.",
                (
                    "Give pixels as uint8 from 0 to 255, where they are whole numbers: a quarter of the memory.",
                    "Or scale them to 0 to 1." if as_declared else "Or leave it: the memory is larger.",
                ),
                {"high": high},
            )


def _without_choice(structure: Structure) -> Iterator[Finding]:
    for leaf in structure.leaves:
        if leaf.nvec is not None:
            fixed = int((leaf.nvec == 1).sum())
        else:
            assert leaf.low is not None and leaf.high is not None
            fixed = int((leaf.low == leaf.high).sum())
        if fixed:
            yield Finding(
                "action_without_choice",
                "warning" if fixed == leaf.size else "advice",
                f"{fixed} of {leaf.size} components of the action{_at(leaf)} have one value: there is nothing to decide.",
                ("Leave them out of the action space.",),
                {"fixed": float(fixed), "components": float(leaf.size)},
            )


def _unbounded_actions(structure: Structure) -> Iterator[Finding]:
    for leaf in structure.leaves:
        if leaf.kind == "box" and (infinite := _infinite(leaf)):
            yield Finding(
                "actions_unbounded",
                "warning",
                f"{infinite} of {leaf.size} components of the action{_at(leaf)} have no finite bounds. SAC, TD3, DDPG and their kin "
                "need them.",
                ("Declare finite bounds; -1 to 1 suits every algorithm, and the environment scales them.",),
                {"infinite": float(infinite), "components": float(leaf.size)},
            )


def _unsuitable_actions(structure: Structure) -> Iterator[Finding]:
    for leaf in structure.leaves:
        if not leaf.is_bounded or leaf.low is None or leaf.high is None:
            continue
        low, high = leaf.low.astype(np.float64).ravel(), leaf.high.astype(np.float64).ravel()
        half, middle = (high - low) / 2.0, (high + low) / 2.0
        unsuitable = (half > 0) & ((np.abs(middle) > 1e-3 * half) | (half < _WIDE[0]) | (half > _WIDE[1]))
        if unsuitable.any():
            place = int(np.argmax(unsuitable))
            yield Finding(
                "actions_not_symmetric",
                "advice",
                f"{int(unsuitable.sum())} of {leaf.size} components of the action{_at(leaf)} are not from about -1 to 1 (the first: "
                f"{low[place]:.4g} to {high[place]:.4g}). Gaussian policies (PPO, A2C, TRPO, VPG) begin with a mean of 0 and a "
                "deviation of 1 in these units; SAC, TD3 and their kin scale by themselves.",
                ("Declare -1 to 1 and scale in the environment: gymnasium.wrappers.RescaleAction(env, -1.0, 1.0).",),
                {"unsuitable": float(unsuitable.sum()), "low": low[place], "high": high[place]},
            )


def _infinite(leaf: Leaf) -> int:
    assert leaf.low is not None and leaf.high is not None
    if not np.issubdtype(leaf.dtype, np.floating):
        return 0
    return int((~np.isfinite(leaf.low) | ~np.isfinite(leaf.high)).sum())


def _at(leaf: Leaf) -> str:
    return f" of leaf {leaf.name!r}" if leaf.name else ""
