"""Every state, action and mask has a name of its own."""

import pytest
from gymnasium import spaces

from kagent.acting.actor import MASK_KEY
from kagent.spaces import Structure
from kagent.specifications import check_names, mask_name, to_spec

STATE, INT, FLOAT = {"shape": 2}, {"type": "int", "num_values": 3}, {"type": "float"}


def test_masks_are_named_after_their_actions():
    assert mask_name("move") == "move_mask"
    assert mask_name("arm/grip") == "arm/grip_mask"
    assert mask_name() == mask_name("action") == "action_mask" == MASK_KEY
    assert mask_name(Structure(spaces.Discrete(2)).leaves[0].name) == "action_mask"


@pytest.mark.parametrize(
    "states, actions",
    [
        (STATE, INT),
        ({"state": STATE}, {"action": INT}),
        (STATE, {"states": INT}),
        ({"arm": {"x": STATE}, "leg": STATE}, {"arm": {"y": INT}}),
        ({"arm": {"reward": STATE, "terminal": STATE}}, {"arm": {"parallel": INT}}),
        ({"move_mask": STATE}, {"move": FLOAT}),
        ({"move_mask": STATE}, {"arm": {"move": INT}}),
        ({"arm": {"move_mask": STATE}}, {"move": INT}),
        ({"action_mask": STATE}, {"move": INT}),
        ({"mask": STATE, "_mask": STATE}, INT),
    ],
    ids=str,
)
def test_accepted_names(states, actions):
    assert check_names(states, actions) is None


@pytest.mark.parametrize(
    "states, actions, message",
    [
        ({"arm": STATE}, {"arm": INT}, r"`states\['arm'\]` and `actions\['arm'\]` are both named 'arm'"),
        ({"arm": {"x": STATE}}, {"arm": {"x": FLOAT}}, r"`states\['arm'\]\['x'\]` and `actions\['arm'\]\['x'\]` are both named 'arm/x'"),
        (STATE, {"state": INT}, r"`states` and `actions\['state'\]` are both named 'state'"),
        ({"action": STATE}, INT, r"`states\['action'\]` and `actions` are both named 'action'"),
        ({"terminal": STATE}, INT, r"`states\['terminal'\]` is named 'terminal', which is reserved for the end of an"),
        ({"reward": STATE}, INT, r"`states\['reward'\]` is named 'reward', which is reserved for the reward"),
        (STATE, {"parallel": INT}, r"`actions\['parallel'\]` is named 'parallel', which is reserved for the index"),
        (STATE, {"deterministic": INT}, r"`actions\['deterministic'\]` is named 'deterministic', which is reserved for"),
        ({"move_mask": STATE}, {"move": INT}, r"`states\['move_mask'\]` is named 'move_mask', and so is the mask of `actions\['move'\]`"),
        ({"move_mask": STATE}, {"move": {"type": "bool"}}, "is named 'move_mask'"),
        ({"arm": {"grip_mask": STATE}}, {"arm": {"grip": INT}}, r"\['grip_mask'\]` is .* mask of `actions\['arm'\]\['grip'\]`"),
        ({"action_mask": STATE}, INT, r"`states\['action_mask'\]` is named 'action_mask', and so is the mask of `actions`"),
        (STATE, {"move": INT, "move_mask": FLOAT}, r"`actions\['move_mask'\]` is named .* the mask of `actions\['move'\]`"),
        ({"a b": STATE}, INT, "Names in `states` must be identifiers. Received: 'a b'"),
        (STATE, {"arm": {"x/y": INT}}, r"Names in `actions\['arm'\]` must be identifiers. Received: 'x/y'"),
        ({}, INT, "`states` is empty"),
    ],
    ids=str,
)  # fmt: skip
def test_refused_names(states, actions, message):
    with pytest.raises(ValueError, match=message):
        check_names(states, actions)


@pytest.mark.parametrize("wrong", [None, 3, "state", [STATE], {"a": STATE, 3: STATE}])
def test_names_are_those_of_dicts(wrong):
    with pytest.raises(TypeError, match="`states`"):
        check_names(wrong, INT)
    with pytest.raises(TypeError, match="`actions`"):
        check_names(STATE, wrong)


def test_entries_of_two_tuples_share_their_names():
    space = spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)])
    with pytest.raises(ValueError, match=r"`states\['gymtpl0'\]` and `actions\['gymtpl0'\]` are both named"):
        check_names(to_spec(space), to_spec(space))
    check_names(to_spec(space), {"hand": to_spec(space)})
