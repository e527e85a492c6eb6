"""Preprocessed environments of every kind give the truth, episode by episode."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import counters, record
from toy_envs import Counter, NativeCounter, Stateful

from kagent import environments, preprocessing
from kagent.files.json_arrays import dump, load
from kagent.preprocessing.environments import Preprocessed

MODES = list(AutoresetMode)
STACK = {"type": "sequence", "length": 4}


def single(arguments):
    return environments.SingleEnvs([Counter(**each) for each in arguments])


def sync(arguments, mode):
    made = [lambda each=each: Counter(**each) for each in arguments]
    return environments.VectorEnvs(SyncVectorEnv(made, autoreset_mode=mode))


def wrapped(envs, spec, learn=True):
    return Preprocessed(envs, preprocessing.get(spec, envs.observation_structure), learn)


def check(envs, num_envs, steps=40, seed=0):
    """Of `Counter`s, whose observation is [number, episode, time]: the true last four, and the true deltas of rewards."""
    stream = record(wrapped(envs, {"float": STACK, "reward": "deltafier"}), steps, seed)
    for number, rows in enumerate(stream):
        rows = [row for row in rows if row["valid"]]
        assert len(rows) >= steps / 2
        time, before, episode = 0, None, 0
        for row in rows:
            for name, last in (("observation", time), ("next_observation", time + 1)):
                found = np.reshape(row[name][0], (4, 3))
                times = [max(0, last - back) for back in (3, 2, 1, 0)]
                assert found.tolist() == [[number, episode, when] for when in times]
            earned = time + row["action"] / 8
            assert row["reward"] == (0.0 if before is None else earned - before)
            before, time = earned, time + 1
            if row["terminated"] or row["truncated"]:
                time, before, episode = 0, None, episode + 1


cases = st.fixed_dictionaries(
    {
        "num_envs": st.integers(1, 4),
        "lengths": st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=3),
        "ends": st.lists(st.sampled_from(["terminated", "truncated", "both"]), min_size=1, max_size=3),
        "seed": st.integers(0, 100),
    }
)


@pytest.mark.parametrize("mode", [None, *MODES])
@settings(max_examples=25, deadline=None)
@given(case=cases)
def test_sequence_holds_the_last_four_of_the_episode(mode, case):
    arguments = counters(case["num_envs"], case["lengths"], case["ends"])
    envs = single(arguments) if mode is None else sync(arguments, mode)
    check(envs, case["num_envs"], seed=case["seed"])


@pytest.mark.parametrize("mode", MODES)
def test_of_an_environment_that_reuses_its_arrays(mode):
    native = NativeCounter(mode, counters(3, [[2], [1, 5], [7]], ["terminated", "truncated"]))
    check(environments.VectorEnvs(native, owned=True), 3)


@pytest.mark.parametrize("mode", [None, *MODES])
def test_deltas_are_zero_where_an_episode_begins(mode):
    arguments = counters(2, [[3], [5, 1]], ["truncated", "terminated"])
    envs = single(arguments) if mode is None else sync(arguments, mode)
    for rows in record(wrapped(envs, "deltafier"), 30):
        begins = True
        for row in rows:
            if not row["valid"]:
                continue
            assert row["observation"] == [[0, 0, 0] if begins else [0, 0, 1]] and row["next_observation"] == [[0, 0, 1]]
            begins = row["terminated"] or row["truncated"]


@pytest.mark.parametrize("mode", [None, *MODES])
def test_statistics_take_in_every_observation_once(mode):
    arguments = counters(3, [[3], [5, 1], [2]], ["truncated", "terminated"])
    plain = single(arguments) if mode is None else sync(arguments, mode)
    seen = [row["observation"][0] for rows in record(plain, 20) for row in rows if row["valid"]]
    # Of the stream, each episode's last observation is a successor alone; the rows' last one is not acted on yet.
    plain = single(arguments) if mode is None else sync(arguments, mode)
    ends = [
        row["next_observation"][0] for rows in record(plain, 20) for number, row in enumerate(rows)
        if row["valid"] and (row["terminated"] or row["truncated"] or number == 19)
    ]  # fmt: skip
    envs = wrapped(single(arguments) if mode is None else sync(arguments, mode), {"float": "running_normalization"})
    final = record(envs, 20)
    found = envs.preprocessing.statistics()[0][0]
    firsts = (
        sum(rows[-1]["terminated"] or rows[-1]["truncated"] for rows in final)
        if mode is not AutoresetMode.NEXT_STEP
        else 0
    )
    # Where an episode has just ended, the next one's first observation has come already.
    pending = sum(not rows[-1]["valid"] for rows in final)
    assert found["weight"] == len(seen) + len(ends) + firsts + pending


def test_statistics_stay_where_nothing_is_learned_and_rewards_are_raw():
    arguments = counters(2, [[3]], ["terminated"])
    envs = wrapped(
        single(arguments), {"float": "running_normalization", "reward": "running_normalization"}, learn=False
    )
    before = dump({"statistics": envs.preprocessing.statistics()})
    envs.reset()
    for _ in range(5):
        step = envs.step([np.zeros(2, np.int64)])
    assert dump({"statistics": envs.preprocessing.statistics()}) == before
    assert step.reward.tolist() == [101.0, 101.0]


def test_transitions_know_what_the_environment_gave():
    envs = wrapped(
        single(counters(2, [[3]], ["terminated"])), {"float": "deltafier", "reward": {"type": "scale", "scale": 2}}
    )
    envs.reset()
    assert envs.raw_observation[0].tolist() == [[0, 0, 0], [1, 0, 0]]
    step = envs.step([np.array([0, 2])])
    assert (step.reward.tolist(), step.raw_reward.tolist()) == ([0.0, 0.5], [0.0, 0.25])
    assert step.next_observation[0].tolist() == [[0, 0, 1]] * 2
    assert step.raw_next_observation[0].tolist() == [[0, 0, 1], [1, 0, 1]]
    plain = single(counters(1, [[3]], ["terminated"]))
    plain.reset()
    step = plain.step([np.zeros(1, np.int64)])
    assert step.raw_reward is step.reward and step.raw_next_observation is step.next_observation
    assert plain.raw_observation is plain.observation


def test_masks_pass_as_they_are():
    envs = wrapped(single(counters(2, [[3], [4]], ["terminated"], masked=True)), "running_normalization")
    plain = single(counters(2, [[3], [4]], ["terminated"], masked=True))
    ours, theirs = record(envs, 12), record(plain, 12)
    for name in ("mask", "next_mask", "action"):
        assert [[row[name] for row in rows] for rows in ours] == [[row[name] for row in rows] for rows in theirs]


# Resume ----------------------------------------------------------------------------------------------------

SPEC = {"float": ["running_normalization", STACK, "deltafier"], "reward": ["deltafier", "running_normalization"]}


class Alike(Counter):
    """A Counter whose episodes are alike, so that an open one can be brought back."""

    def reset(self, **arguments):
        self.episode = -1
        return super().reset(**arguments)


@pytest.mark.parametrize("kind", [Alike, Stateful])
def test_open_episodes_go_on_as_they_would_have(kind):
    def make():
        made = [kind() if kind is Stateful else kind(lengths=(length,)) for length in (3, 7)]
        return environments.SingleEnvs(made, next_seed=lambda: 5)

    envs = wrapped(make(), SPEC)
    envs.reset()
    for _ in range(8):
        envs.step([np.zeros(2, np.int64)])
    state = load(dump({"envs": envs.state(), "statistics": envs.preprocessing.statistics()}))
    twin = wrapped(make(), SPEC)
    twin.preprocessing.set_statistics(state["statistics"])
    assert twin.restore(state["envs"]) == []
    assert [x.tobytes() for x in twin.observation] == [x.tobytes() for x in envs.observation]
    if kind is Stateful:
        return  # its random state is of the instance
    for _ in range(9):
        one, other = (e.step([np.ones(2, np.int64)]) for e in (envs, twin))
        assert one.reward.tobytes() == other.reward.tobytes()
        assert one.next_observation[0].tobytes() == other.next_observation[0].tobytes()
        assert envs.observation[0].tobytes() == twin.observation[0].tobytes()


def test_what_cannot_be_brought_back_begins_anew():
    envs = wrapped(environments.SingleEnvs([Alike(lengths=(9,)), Alike(lengths=(9,))]), STACK)
    envs.reset()
    for _ in range(4):
        envs.step([np.zeros(2, np.int64)])
    state = envs.state()
    twin = wrapped(environments.SingleEnvs([Alike(lengths=(9,)), Alike(lengths=(2,))]), STACK)
    assert twin.restore(state) == [1]
    times = twin.observation[0].reshape(2, 4, 3)[:, :, 2]
    assert times.tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "change",
    [lambda own: None, lambda own: {}, lambda own: {**own, "past": []},
     lambda own: {**own, "observation": [own["observation"][0][:1]]},
     lambda own: {**own, "observation": [own["observation"][0] * np.float32(np.nan)]},
     lambda own: {**own, "reward_begins": np.zeros(2)}],
    ids=["none", "empty", "past", "shape", "nan", "dtype"],
)  # fmt: skip
def test_a_damaged_state_is_refused(change):
    envs = wrapped(environments.SingleEnvs([Alike(lengths=(9,)), Alike(lengths=(9,))]), STACK)
    envs.reset()
    envs.step([np.zeros(2, np.int64)])
    state = envs.state()
    with pytest.raises(ValueError, match="The state of preprocessed environments"):
        envs.restore({**state, "preprocessing": change(state["preprocessing"])})


def test_infinite_results_are_said_with_their_place():
    envs = wrapped(single(counters(1, [[3]], ["terminated"])), {"type": "scale", "scale": 1e39})
    envs.reset()
    with pytest.raises(ValueError, match=r"not finite. Received: inf.*after preprocessing, env 0, episode step 1"):
        envs.step([np.zeros(1, np.int64)])
