"""Configs of agents as earlier versions of kagent wrote them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent import objectives, spaces
from kagent.distributions.selection import Selection
from kagent.networks import legacy
from kagent.preprocessing import preprocessing
from kagent.schedules import Clock

# Of configs: how their networks take images. Before there was more than one way, nothing was said; 2 has no pools, and up to 3
# images that are not of uint8 are taken as they are.
IMAGES, UNBOUNDED, UNPOOLED = 4, 3, 2
# What only a whole config has, as `get_config` gives it; in settings by hand, something of it is left to defaults.
_WHOLE = {
    "observation_space", "action_space", "policy", "objective", "memory", "update", "reward_estimation", "exploration",
    "critic", "target", "optimizer", "critic_optimizer", "temperature", "seed", "name",
}  # fmt: skip


def modernized(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose networks, distributions and preprocessing mean what they did when it was written.

    Raises:
        ValueError: It says of images what this kagent does not do.
    """
    config = dict(config)
    form = config.pop("images", None)
    if form not in (None, UNPOOLED, UNBOUNDED, IMAGES):
        raise ValueError(f"The config was written by a newer kagent: `images` is {form!r}, this one's are {IMAGES}")
    whole = set(config) >= _WHOLE
    if whole:
        config |= _without_effect(config["objective"])
        config["objective"] = _with_entropy(config["objective"])
        config["policy"] = _without_deviations(config["policy"], config["action_space"])
        config["exploration"] = _without_samples(config["exploration"], config["policy"])
    if (
        whole
        and form == UNPOOLED
        and config["observation_space"] is not None
        and _has_images(config["observation_space"])
    ):
        for role in ("policy", "critic"):
            config[role] = _without_pools(config[role])
    if whole and form in (UNPOOLED, UNBOUNDED) and _has_scales(config):
        for role in ("policy", "critic"):
            config[role] = _former(config[role], legacy.UNBOUNDED)
    if form is not None or not whole:
        return config
    config["policy"] = _with_distributions(config["policy"], config["action_space"])
    space, preprocessing = config["observation_space"], config.get("preprocessing")
    if space is None:  # the constructor says what is missing
        return config
    if preprocessing is None and not _has_images(space):
        return config
    for role in ("policy", "critic"):
        config[role] = _former(config[role], legacy.UNNAMED)
    if isinstance(preprocessing, dict):
        config["preprocessing"] = {
            key: [_last(part) for part in parts] if isinstance(parts, list) else parts
            for key, parts in preprocessing.items()
        }
    return config


def _without_effect(objective: Any) -> dict[str, None]:
    # Parts that were taken beside such an objective, and are refused now where the user gives them.
    try:
        made = objectives.get(objective)
    except (TypeError, ValueError):  # the constructor says it
        return {}
    targets = {} if made.targets else {"target": None}
    fixed = getattr(made, "learn_temperature", None) is False
    return targets | ({"temperature_optimizer": None} if fixed else {})


def _with_entropy(objective: Any) -> Any:
    # Of conservative Q-learning: targets always had the entropy.
    if not isinstance(objective, dict) or objective.get("type") != "ConservativeSoftActorCriticObjective":
        return objective
    return {"backup_entropy": True, **objective}


def _without_samples(exploration: Any, policy: Any) -> Any:
    # Samples of a policy that has one action for each observation were this action.
    kinds = [part.get("type") if isinstance(part, dict) else None for part in (exploration, policy)]
    if kinds[0] != "Sampling" or kinds[1] not in ("DeterministicPolicy", "NormalizedAdvantagePolicy"):
        return exploration
    return {**exploration, "type": "ActionNoise", "amount": 0.0, "sample": False}


def _without_deviations(policy: Any, space: Any) -> Any:
    # The same of arguments of the policy: standard deviations that no action has, or that nothing predicts.
    given = {"log_std", "log_std_range"} & set(policy) if isinstance(policy, dict) else set()
    if not given or "distribution" not in policy or space is None:
        return policy
    selection = Selection(policy["distribution"], policy.get("use_beta_distribution") is True)
    modes = {selection.of(leaf).stddev_mode for leaf in _structure(space).leaves}
    predicted = "predicted" in modes and policy.get("state_dependent_noise") is None
    unused = ({"log_std"} if modes == {None} else set()) | (set() if predicted else {"log_std_range"})
    return {name: value for name, value in policy.items() if name not in unused}


def _type_of(network: Any) -> str | None:
    return str(network.get("type")).lower() if isinstance(network, dict) else None


def _without_pools(role: Any) -> Any:
    # An automatic network led all places that its convolutions left to a dense layer.
    network: Any = role.get("network") if isinstance(role, dict) else None
    if _type_of(network) != "auto":
        return role
    return {**role, "network": {"pool": False, **network}}


def _former(role: Any, images: int) -> Any:
    # A network that takes images as all did then.
    if not isinstance(role, dict) or "network" not in role:
        return role
    network = role["network"]
    is_keras = isinstance(network, dict) and "class_name" in network
    if images != legacy.UNNAMED and (is_keras or _type_of(network) == "legacy"):
        return role  # its images are as the space declares them, or as in the first files
    way = {} if images == legacy.UNNAMED else {"images": images}
    return {**role, "network": {"type": "Legacy", "network": network, **way}}


def _has_scales(config: dict[str, Any]) -> bool:
    # Whether networks divide an image otherwise than they did then.
    if config["observation_space"] is None:  # the constructor says what is missing
        return False
    observation = _structure(config["observation_space"])
    try:
        made = preprocessing.get(config.get("preprocessing"), observation, Clock)
    except (TypeError, ValueError):  # the constructor says it
        return False
    leaves = observation.leaves if made is None else made.processed.leaves
    return any(np.any(leaf.divisor != legacy.as_of_old(leaf, legacy.UNBOUNDED).divisor) for leaf in leaves)


def _has_images(space: Any) -> bool:
    return any(leaf.is_image for leaf in _structure(space).leaves)


def _with_distributions(policy: Any, space: Any) -> Any:
    # Of bool actions of which nothing was said, the distribution was categorical.
    if not isinstance(policy, dict) or "distribution" not in policy or space is None:
        return policy
    action = _structure(space)
    if not any(leaf.type == "bool" for leaf in action.leaves):
        return policy
    return {**policy, "distribution": Selection(policy["distribution"]).spelled_out(action, "auto")}


def _structure(space: Any) -> spaces.Structure:
    return spaces.Structure(spaces.from_config(space) if isinstance(space, dict) else space)


def _last(part: Any) -> Any:
    is_image = isinstance(part, dict) and part.get("type") == "Image"
    return {"data_format": "channels_last", **part} if is_image else part
