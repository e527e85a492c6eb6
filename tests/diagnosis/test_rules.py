"""Each rule with a record that has the illness and one that is healthy; bounds are worked out by hand."""

import dataclasses
import json

import gymnasium
import numpy as np
import pytest

from kagent.diagnosis import (
    RULES,
    Entries,
    Episodes,
    Finding,
    Record,
    Recorded,
    Rewards,
    compare_seeds,
    diagnose,
    from_json,
    joined,
    report,
    to_json,
)
from kagent.diagnosis.experience import Ranges
from kagent.diagnosis.record import is_better
from kagent.spaces import Structure

RANDOM = (18.0, 22.0, 20.0, 21.0, 19.0)  # mean 20, variance 2.5
POOR = Episodes(
    first=(20.0,) * 5, last=(19.0, 21.0, 20.0, 20.0, 20.0), count=40, truncated=0, longest=30, magnitude=30.0
)
GOOD = Episodes(first=(20.0,) * 5, last=(200.0,) * 5, count=40, truncated=0, longest=300, magnitude=300.0)
HEALTHY = Record(
    timesteps=20_000,
    gradient_steps=5_000,
    history={
        "loss": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5], "q_mean": [1.0, 5.0, 10.0, 20.0, 30.0, 40.0],
        "entropy": [0.69, 0.68, 0.66, 0.6, 0.5, 0.4], "approx_kl": [0.01] * 6, "clip_fraction": [0.1] * 6,
        "explained_variance": [0.0, 0.2, 0.4, 0.5, 0.6, 0.7], "gradient_norm": [0.3, 20.0, 5.0, 2.0, 3.0, 4.0],
    },
    settings={
        "discount": 0.99, "batch_size": 64.0, "start": 100.0, "huber": 1.0, "epsilon": 0.05, "on_policy": 0.0,
        "most_entropy": float(np.log(2)), "box_components": 0.0, "max_grad_norm": 0.5,
    },
    movement={"policy": [1e-3, 1e-3, 1e-4]},
    growth={"policy": 2.0},
    gradients={"policy": [0.4, 0.5, 0.45]},
    baseline=RANDOM,
    episodes=GOOD,
    rewards=Rewards((1.0,) * 400, (1.0,) * 400),
    observations=(Entries("", (-1.0, -2.0), (1.0, 2.0), (-4.8, -np.inf), (4.8, np.inf), 400),),
    inputs=(Entries("", (-1.0, -2.0), (1.0, 2.0), (-4.8, -np.inf), (4.8, np.inf), 400),),
    actions=(Entries("", (-1.0,), (1.0,), (-1.0,), (1.0,), 400, at_low=(0.4,), at_high=(0.4,)),),
    single_choice=0.3,
)  # fmt: skip


def ill(**changes):
    return dataclasses.replace(HEALTHY, **changes)


def logged(**columns):
    return ill(history={**HEALTHY.history, **columns}, episodes=POOR)


def with_settings(**changes):
    return {**HEALTHY.settings, **changes}


def seen(**changes):
    return (dataclasses.replace(HEALTHY.observations[0], **changes),)


def image(**changes):
    return (dataclasses.replace(Entries("", (0.0,), (255.0,), (0.0,), (255.0,), 400, image=True), **changes),)


def test_a_healthy_record_has_no_finding():
    assert diagnose(HEALTHY) == []
    assert diagnose(ill(observations=image())) == []
    assert diagnose(OFFLINE) == []


def test_what_is_not_known_is_not_found():
    assert diagnose(Record()) == []
    for field in dataclasses.fields(Record):
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        if field.name not in ("timesteps", "gradient_steps", "episodes"):
            assert diagnose(dataclasses.replace(HEALTHY, **{field.name: default})) == [], field.name


OFFLINE = ill(
    timesteps=0, baseline=(), episodes=Episodes(), history={"q_mean": [1.0, 20.0, 28.0], "val_episode_return": [10.0, 190.0, 210.0]},
    recorded=Recorded(
        400, (200.0,) * 5, 200, (0.0, 30.0),
        (dataclasses.replace(HEALTHY.actions[0], at_low=(0.2,), at_high=(0.2,)),),
        (Entries("", (0.0,), (2.0,), (0.0,), (2.0,), 400),),
    ),
)  # fmt: skip


def offline(**columns):
    return dataclasses.replace(OFFLINE, history={**OFFLINE.history, **columns})


CASES = {
    "no_better_than_random": ill(episodes=POOR),
    "no_updates": ill(gradient_steps=0),
    # ln 2 is 0.693; a fiftieth of it 0.0139
    "exploration_dead": logged(entropy=[0.6, 0.3, 0.1, 0.01, 0.001, 0.001]),
    "exploration_endless": ill(settings=with_settings(epsilon=0.6)),
    "updates_vanishing": ill(movement={"critic": [1e-3, 1e-10, 0.0, 1e-12]}, episodes=POOR),
    "updates_exploding": ill(movement={"policy": [1e-3, 0.4, 0.5, 0.6]}),
    "gradients_cut_short": dataclasses.replace(
        logged(gradient_norm=[3.0, 40.0, 60.0, 60.0, 70.0, 80.0]), settings={"max_grad_norm": 0.5}
    ),
    # Rewards of 1 and a discount of 0.99 allow 100; ten times that is too much.
    "values_diverging": ill(history={**HEALTHY.history, "q_mean": [1.0, 100.0, 5_000.0]}),
    "critic_useless": logged(explained_variance=[0.3, 0.1, -0.1, -0.5, -0.2, 0.0]),
    "clipping_unusual": logged(clip_fraction=[0.6] * 6),
    "divergence_unusual": logged(approx_kl=[0.01, 0.02, 0.2, 0.2, 0.2, 0.2]),
    # 100 gradient steps of 64 samples in 19,900 timesteps use a timestep 0.32 times.
    "replay_stale": ill(gradient_steps=100),
    "observations_out_of_bounds": ill(observations=seen(high=(4.9, 2.0))),
    "observations_unscaled": ill(inputs=seen(low=(-1e-3, -2.0), high=(1e-3, 1e4))),
    "observations_constant": ill(observations=seen(low=(-1.0, 0.0), high=(1.0, 0.0))),
    "actions_saturated": ill(
        episodes=POOR, actions=(dataclasses.replace(HEALTHY.actions[0], at_low=(0.0,), at_high=(0.99,)),)
    ),
    "rewards_absent": ill(
        rewards=Rewards((0.0,) * 400, (0.0,) * 400), episodes=dataclasses.replace(GOOD, magnitude=0.0)
    ),
    "rewards_hidden": ill(rewards=Rewards((1.0, 100.0) * 200, (1.0,) * 400)),
    "episodes_always_truncate": ill(episodes=dataclasses.replace(POOR, truncated=40)),
    "episodes_never_end": ill(episodes=Episodes(), baseline=()),
    "masks_leave_one_action": ill(single_choice=0.95),
    # A validation of 150 where 200 were recorded, all alike. Values of 40 where 30 were, from 0 on, and half of the range allowed.
    "worse_than_recorded": offline(val_episode_return=[10.0, 100.0, 150.0, 150.0]),
    "values_overestimated": offline(q_mean=[1.0, 30.0, 46.0]),
    "policy_leaves_data": dataclasses.replace(
        OFFLINE, actions=(dataclasses.replace(HEALTHY.actions[0], at_low=(0.5,), at_high=(0.49,)),)
    ),
    "recorded_actions_constant": dataclasses.replace(
        OFFLINE,
        recorded=dataclasses.replace(OFFLINE.recorded, choices=(Entries("", (1.0,), (1.0,), (0.0,), (2.0,), 400),)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_illness_is_found(name):
    found = {finding.name: finding for finding in diagnose(CASES[name])}
    assert name in found
    finding = found[name]
    assert any(character.isdigit() for character in finding.evidence) and finding.advice
    # Of an agent that has not learned, that is found as well; nothing else is.
    assert set(found) <= {name, "no_better_than_random"}


def test_every_rule_has_a_case_and_an_own_name():
    assert sorted(CASES) == sorted(rule.__name__ for rule in RULES)


# A deterministic policy at its bound: half of the noise on it leads back inside.
HALF = ill(episodes=POOR, actions=(dataclasses.replace(HEALTHY.actions[0], at_low=(0.0,), at_high=(0.5,)),))
OTHERS = [
    ("exploration_dead", logged(), {"epsilon": 0.0}, "severe"),  # nothing explores
    ("exploration_dead", logged(), {"noise": 0.0}, "severe"),  # of a deterministic policy
    ("clipping_unusual", logged(clip_fraction=[0.0] * 6), {}, "advice"),
    ("divergence_unusual", logged(approx_kl=[0.9] * 6), {}, "severe"),
    ("divergence_unusual", logged(approx_kl=[1e-9] * 6), {}, "advice"),
    ("divergence_unusual", logged(approx_kl=[7.0, 0.0, 0.0, 0.0, 0.0, 0.0]), {}, "severe"),  # the first updates
    ("updates_exploding", ill(growth={"policy": 30.0}, episodes=POOR), {}, "severe"),
    ("updates_exploding", ill(growth={"critic": 110.0}), {}, "severe"),
    # Norms of gradients: in the log before clipping, else as the optimizer took them.
    ("updates_exploding", logged(critic_gradient_norm=[0.1, 0.2, 0.3, 5.0, 3e3, 4e3, 5e3]), {}, "severe"),
    ("updates_exploding", ill(history={}, gradients={"policy": [0.1] * 3 + [2e3] * 2 + [3e3]}, episodes=POOR), {}, "severe"),
    ("updates_vanishing", ill(history={}, gradients={"policy": [0.1, 1e-10, 0.0, 1e-12]}, episodes=POOR), {}, "severe"),
    ("updates_vanishing", logged(gradient_norm=[0.1, 1e-10, 0.0, 1e-12]), {}, "severe"),
    ("gradients_cut_short", logged(critic_gradient_norm=[200.0] * 6), {"critic_max_grad_norm": 1.0}, "warning"),
    # A return of 300 was seen: squared errors above (10 * 300) ** 2.
    ("values_diverging", ill(history={"critic_loss": [1.0, 1e3, 9.1e6]}), {}, "severe"),
    # 40 gradient steps of 640 samples for each of 19,900 timesteps.
    ("replay_stale", ill(gradient_steps=796_000), {"batch_size": 640.0}, "warning"),
    ("observations_unscaled", ill(inputs=seen(high=(1.0, 2e4))), {}, "advice"),
    ("observations_constant", ill(observations=seen(low=(0.0, 0.0), high=(0.0, 0.0))), {}, "severe"),
    ("observations_constant", ill(observations=image(high=(0.0,), still=True)), {}, "severe"),  # black
    ("observations_constant", ill(observations=image(still=True)), {}, "severe"),  # always the same picture
    ("actions_saturated", HALF, {"noise": 0.1}, "warning"),
    ("rewards_hidden", ill(rewards=Rewards((50.0,) * 400, (50.0,) * 400)), {}, "warning"),
    ("rewards_hidden", ill(rewards=Rewards((1e-4,) * 400, (1e-4,) * 400)), {}, "advice"),
    ("masks_leave_one_action", ill(single_choice=1.0), {}, "severe"),
]  # fmt: skip


@pytest.mark.parametrize("case", OTHERS, ids=[f"{name}-{severity}" for name, _, _, severity in OTHERS])
def test_other_forms_of_an_illness(case):
    name, record, settings, severity = case
    record = dataclasses.replace(record, settings=with_settings(**settings))
    assert [finding.severity for finding in diagnose(record) if finding.name == name] == [severity]


def test_without_noise_half_of_the_actions_may_be_at_a_bound():
    assert [finding.name for finding in diagnose(HALF)] == ["no_better_than_random"]


def test_masks_that_decide_leave_no_entropy():
    record = CASES["exploration_dead"]
    for share, expected in ((0.5, {"exploration_dead"}), (1.0, {"masks_leave_one_action"})):
        found = {finding.name for finding in diagnose(dataclasses.replace(record, single_choice=share))}
        assert found - {"no_better_than_random"} == expected


def test_learning_excuses_what_settles():
    """An agent that is better than random play may act greedily, at its bounds, and in tiny steps."""
    for name in (
        "exploration_dead",
        "updates_vanishing",
        "gradients_cut_short",
        "actions_saturated",
        "critic_useless",
        "episodes_always_truncate",
    ):
        record = dataclasses.replace(CASES[name], episodes=dataclasses.replace(GOOD, truncated=40))
        assert diagnose(record) == [], name
    for clipped, expected in ((0.6, []), (0.8, ["clipping_unusual"])):
        record = dataclasses.replace(logged(clip_fraction=[clipped] * 6), episodes=GOOD)
        assert [finding.name for finding in diagnose(record)] == expected
    narrow = with_settings(epsilon=0.0, noisy=1.0)
    assert "exploration_dead" not in [f.name for f in diagnose(ill(episodes=POOR, settings=narrow))]


def test_a_policy_that_has_settled_has_no_gradient():
    """Its updates are small for that reason: larger steps are no advice."""
    still = logged(entropy=[0.5] + [1e-9] * 5, approx_kl=[0.01] + [0.0] * 5, clip_fraction=[0.1] + [0.0] * 5)
    names = [f.name for f in diagnose(dataclasses.replace(still, movement={"policy": [0.0] * 3}))]
    assert names == ["no_better_than_random", "exploration_dead"]


def test_behaviour_cloning_may_come_to_an_end():
    done = ill(
        history={},
        gradients={"policy": [0.1, 0.0, 0.0, 0.0]},
        movement={"policy": [0.0] * 3},
        episodes=Episodes(),
        baseline=(),
    )
    assert [f.name for f in diagnose(done)] == ["updates_vanishing", "episodes_never_end"]
    cloned = with_settings(reads_rewards=0.0)
    assert [f.name for f in diagnose(dataclasses.replace(done, settings=cloned))] == ["episodes_never_end"]


def test_nothing_is_judged_too_early():
    early = dataclasses.replace(CASES["no_better_than_random"], progress=0.2)
    assert diagnose(early) == []
    assert diagnose(ill(gradient_steps=0, progress=0.5)) == []
    short = dataclasses.replace(CASES["no_better_than_random"], timesteps=4_000)
    assert [finding.severity for finding in diagnose(short)] == ["advice"]
    few = dataclasses.replace(CASES["critic_useless"], gradient_steps=90, timesteps=900)
    assert "critic_useless" not in [finding.name for finding in diagnose(few)]


def test_continuous_policies_collapse_far_below_the_range():
    """Two components from -1 to 1 have 2 ln 2, 1.386 nats; collapsed is below 1.386 - 10."""
    settings = with_settings(most_entropy=2 * np.log(2), box_components=2.0, noisy=1.0)
    names = lambda entropy: [  # noqa: E731
        f.name for f in diagnose(dataclasses.replace(logged(entropy=[entropy] * 6), settings=settings))
    ]
    assert "exploration_dead" in names(-8.7) and "exploration_dead" not in names(-8.5)


def test_values_are_bounded_by_what_rewards_allow():
    """Without a discount the longest episode, of 300 timesteps, takes its place; with a bonus for entropy nothing is known."""
    undiscounted = with_settings(discount=1.0)
    record = ill(history={"q_mean": [2_900.0] * 4}, settings=undiscounted)
    assert diagnose(record) == []
    record = ill(history={"q_mean": [3_100.0] * 4}, settings=undiscounted)
    assert [f.name for f in diagnose(record)] == ["values_diverging"]
    assert diagnose(dataclasses.replace(record, settings={**undiscounted, "bonus": 1.0})) == []
    growing = {"q_mean": [1.0] * 8, "loss": [1e-3, 1e-3, 1e-3, 1e-3, 1.0, 20.0, 30.0, 40.0]}
    record = dataclasses.replace(logged(**growing), settings={**undiscounted, "bonus": 1.0}, rewards=Rewards())
    assert "values_diverging" in [f.name for f in diagnose(record)]


def test_values_of_recorded_actions_may_hold_entropy():
    """A temperature of 0.1 and 2 nats a timestep are worth 0.2 / 0.01 = 20: 30 + 20 and half of the range of 50 are 75."""
    soft = with_settings(bonus=1.0, most_entropy=2.0)
    for value, names in ((74.0, []), (76.0, ["values_overestimated"])):
        record = dataclasses.replace(offline(q_mean=[value] * 3, temperature=[0.1] * 3), settings=soft)
        assert [f.name for f in diagnose(record)] == names
    assert diagnose(dataclasses.replace(offline(q_mean=[1e4] * 3), settings=soft)) == []  # the temperature is not known


def test_learned_by_two_standard_errors():
    """Means 4 and 2, variances 2 of two values each: the error is sqrt(2 / 2 + 2 / 2), and twice that 2.83."""
    assert not is_better([3.0, 5.0], [1.0, 3.0])
    assert is_better([4.0, 6.0], [1.0, 3.0])
    assert not is_better([-200.0, -200.0], [-200.0, -200.0])
    assert dataclasses.replace(HEALTHY, baseline=()).learned is True  # better than at first
    assert Record().learned is None


def test_findings_say_their_numbers_in_eighty_columns():
    found = [finding for record in CASES.values() for finding in diagnose(record)]
    text = report(found, "A run.")
    assert max(map(len, text.splitlines())) <= 80
    severities = [line.rsplit("(", 1)[1] for line in text.splitlines() if line[:1].isdigit()]
    assert severities == sorted(severities, key=["severe)", "warning)", "advice)"].index)
    with pytest.raises(ValueError, match="`severity` must be one of"):
        Finding("name", "bad", "evidence")
    assert json.loads(json.dumps(found[0].to_json()))["numbers"] == found[0].numbers


def test_a_record_survives_json():
    again = from_json(json.loads(json.dumps(to_json(HEALTHY))))
    assert again.observations == HEALTHY.observations and again.episodes == GOOD and again.learned is True
    assert diagnose(from_json(json.loads(json.dumps(to_json(CASES["values_diverging"]))))) == diagnose(
        CASES["values_diverging"]
    )
    for damaged in ({}, {"episodes": 3}, {**to_json(HEALTHY), "unknown": 1}):
        with pytest.raises(ValueError, match="no record of a run"):
            from_json(damaged)


def test_an_image_that_stands_still():
    box = gymnasium.spaces.Box
    space = gymnasium.spaces.Dict({"camera": box(0, 255, (36, 36, 3), np.uint8), "speed": box(-1.0, 1.0, (2,))})
    ranges, picture = Ranges(Structure(space)), np.arange(36 * 36 * 3).astype(np.uint8).reshape(36, 36, 3)
    for _ in range(200):
        ranges.add([np.stack([picture] * 2), np.random.default_rng(0).random((2, 2))])
    still = ill(observations=ranges.entries())
    assert [leaf.still for leaf in still.observations] == [True, False]
    (finding,) = diagnose(still)
    assert (finding.name, finding.severity) == ("observations_constant", "advice") and "camera" in finding.evidence
    assert joined(still, still).observations[0].still
    ranges.add([np.stack([picture, picture[::-1]]), np.zeros((2, 2))])
    assert not ranges.entries()[0].still and diagnose(ill(observations=ranges.entries())) == []


def test_records_of_the_parts_of_a_run_are_one():
    """Of 3 and 4 episodes, the first and the last three are apart. The first part has 300 of 1,000 latest actions, 30 % of
    them at the bound; the second 100, none of them: 90 of 400 together. Masks left one choice in 20 % of 100 and 60 % of 300."""
    first = Record(
        timesteps=100, gradient_steps=10, progress=0.25, history={"a": [1.0], "timesteps": [100.0]},
        movement={"policy": [0.1]}, growth={"policy": 2.0, "critic": 3.0}, gradients={"critic": [7.0]}, baseline=(5.0,),
        episodes=Episodes((1.0,), (3.0,), 3, 1, 40, 3.0), rewards=Rewards((1.0,) * 900, (2.0,) * 900),
        observations=(Entries("", (-1.0, 0.0), (1.0, 0.0), (-9.0,) * 2, (9.0,) * 2, 50),),
        actions=(Entries("", (-1.0,), (0.5,), (-1.0,), (1.0,), 300, (0.3,), (0.0,)),), single_choice=0.2,
    )  # fmt: skip
    second = Record(
        timesteps=400, gradient_steps=40, history={"b": [7.0, 8.0], "timesteps": [250.0, 400.0]},
        settings={"discount": 0.9}, movement={"policy": [0.2]}, growth={"policy": 1.5}, gradients={"critic": [8.0]},
        episodes=Episodes((4.0, 5.0), (6.0, 7.0), 4, 0, 30, 7.0), rewards=Rewards((3.0,) * 200, (4.0,) * 200),
        observations=(Entries("", (0.0, 0.0), (2.0, 3.0), (-9.0,) * 2, (9.0,) * 2, 20),),
        actions=(Entries("", (-0.5,), (0.9,), (-1.0,), (1.0,), 100, (0.0,), (0.0,)),), single_choice=0.6,
    )  # fmt: skip
    whole = joined(first, second)
    assert (whole.timesteps, whole.gradient_steps, whole.progress, whole.baseline) == (400, 40, 1.0, (5.0,))
    assert whole.history["timesteps"] == [100.0, 250.0, 400.0] and whole.history["b"][1:] == [7.0, 8.0]
    assert whole.logged("a") == [1.0] and len(whole.history["a"]) == 3 and np.isnan(whole.history["b"][0])
    assert whole.gradients == {"critic": [7.0, 8.0]}
    assert whole.movement == {"policy": [0.1, 0.2]} and whole.growth == {"policy": 3.0, "critic": 3.0}
    assert whole.episodes == Episodes((1.0, 3.0, 4.0), (5.0, 6.0, 7.0), 7, 1, 40, 7.0)
    assert whole.rewards.raw == (1.0,) * 800 + (3.0,) * 200 and whole.rewards.seen[-200:] == (4.0,) * 200
    assert (whole.observations[0].low, whole.observations[0].high) == ((-1.0, 0.0), (2.0, 3.0))
    assert whole.observations[0].samples == 70 and whole.actions[0].samples == 400
    assert whole.actions[0].at_low == pytest.approx((0.225,)) and whole.single_choice == pytest.approx(0.5)
    assert (
        joined(Record(), second) == second and joined(first, Record(timesteps=100)).observations == first.observations
    )


def test_seeds_are_compared():
    """Gains over 20 are 4, 5 and 480: one run has 99 % of them. Of 300, 280, 320 none has more than 0.67."""
    assert [f.name for f in compare_seeds({"a": 24.0, "b": 25.0, "c": 500.0}, RANDOM)] == ["seed_dominates"]
    assert compare_seeds({"a": 300.0, "b": 280.0, "c": 320.0}, RANDOM) == []
    failing = compare_seeds({"a": 300.0, "b": 280.0, "c": 20.0}, RANDOM)
    assert [f.name for f in failing] == ["seed_fails"] and failing[0].numbers == {"failed": 1.0, "runs": 3.0}
    assert compare_seeds({"a": 20.0, "b": 500.0}, RANDOM) == []
    assert [f.name for f in compare_seeds({"a": 20.0, "b": 25.0, "c": 500.0})] == ["seed_dominates"]
    assert compare_seeds({"a": 100.0, "b": 200.0, "c": 300.0}) == []
    # The worst counts 0: "c" has 99 % of the gains, which are 41 of returns of 226, as nearly equal seeds have.
    assert compare_seeds({"a": -226.2, "b": -225.8, "c": -184.9}) == []
    assert [f.name for f in compare_seeds({"a": -1226.2, "b": -1225.8, "c": -184.9})] == ["seed_dominates"]
