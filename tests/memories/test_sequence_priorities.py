"""Sequences drawn by their errors."""

import numpy as np
import pytest
from test_replay_sequences import drawn, filled

from kagent.memories import ReplaySequences
from kagent.memories.sequence_priorities import PrioritizedStarts, SequencePriorities

LENGTH, STEPS, ENVS = 3, 6, 2


def test_a_slow_book_of_priorities_has_the_same():
    """Starts are known from their sequence's last timestep on, until they are overwritten; new ones have the largest so far."""
    rng, book, written, largest = np.random.default_rng(0), {}, np.zeros(ENVS, np.int64), 1.0
    starts = PrioritizedStarts(SequencePriorities(alpha=1.0, eta=1.0, epsilon=1e-6), STEPS, ENVS, LENGTH)
    for _ in range(60):
        before = written.copy()
        written = written + rng.integers(0, 4, size=ENVS)
        for env in range(ENVS):
            for t in range(max(0, before[env] - LENGTH + 1), max(0, written[env] - LENGTH + 1)):
                book[env, t] = largest
        book = {(env, t): p for (env, t), p in book.items() if t >= written[env] - STEPS}
        starts.settle(written)
        expected = np.zeros(STEPS * ENVS)
        for (env, t), priority in book.items():
            expected[t % STEPS * ENVS + env] = priority
        np.testing.assert_allclose(starts.state(STEPS * ENVS)["priorities"], expected)
        if not book:
            continue
        rows, weights = starts.draw(2, 1, rng, None)
        ratio = (expected[rows] / expected[expected > 0].min()) ** -0.6
        np.testing.assert_allclose(weights, ratio / ratio.max(), rtol=1e-5)
        errors = rng.random(2).astype(np.float32) * 5
        starts.prioritize(errors, 1)
        for row, error in zip(rows.ravel(), errors.astype(float)):
            (key,) = [k for k in book if k[1] % STEPS * ENVS + k[0] == row]
            book[key] = error + 1e-6
            largest = max(largest, error + 1e-6)


def with_errors():
    """A memory whose sequence from 18 on has an error of 100, and all others none."""
    memory = filled(25, prioritized={"alpha": 1.0, "eta": 0.5})
    for number in range(60):
        rewards = drawn(memory, number)[0]["reward"]
        error = np.where(rewards[:1] == 18, 100.0, 0.0) * np.ones((3, 1), np.float32)
        memory.prioritize(error.reshape(3, 2, 2).transpose(1, 0, 2).ravel().astype(np.float32))
    return memory


def test_large_errors_are_drawn_often_and_count_less():
    memory = with_errors()
    columns, indices, experience = drawn(memory, 1000)
    assert (columns["reward"][0] == 18).mean() >= 0.75 and (np.diff(columns["reward"], axis=0) == 1).all()
    weight = np.asarray(experience["weight"])
    assert weight.shape == columns["reward"].shape and indices.shape == (2, 5, 2)
    assert (weight == weight[:1]).all() and (weight[0][columns["reward"][0] == 18] <= 1.0).all()
    example = next(iter(memory.dataset(6)))
    assert example["weight"].shape == example["reward"].shape


def test_what_is_restored_draws_alike():
    one, other = with_errors(), filled(0, prioritized={"alpha": 1.0, "eta": 0.5})
    state = {name: np.array(part) for name, part in one.state().items()}
    other.restore(state)
    assert all(np.array_equal(drawn(one, n)[0]["reward"], drawn(other, n)[0]["reward"]) for n in range(5))
    for bad in (state["priorities"] * np.nan, np.ones_like(state["priorities"]), state["priorities"][:-1]):
        with pytest.raises(ValueError, match="Saved memory"):
            filled(0, prioritized=True).restore({**state, "priorities": bad})


def test_diverged_errors_leave_priorities_as_they_are():
    memory = filled(25, prioritized=True)
    drawn(memory)
    before = memory.state()["priorities"]
    memory.prioritize(np.full(2 * 3 * 2, np.nan, np.float32))
    assert np.array_equal(memory.state()["priorities"], before)


@pytest.mark.parametrize(
    "prioritized, error, words",
    [
        ("yes", TypeError, "True, False, or a dict"),
        ({"alpha": 0.5, "size": 3}, TypeError, "alpha, beta, epsilon, eta"),
        ({"alpha": -1}, ValueError, "prioritized.alpha"),
        ({"epsilon": 0}, ValueError, "prioritized.epsilon"),
        ({"eta": 1.5}, ValueError, "prioritized.eta"),
        ({"beta": 2.0}, ValueError, "prioritized.beta"),
    ],
)
def test_what_does_not_fit_is_refused(prioritized, error, words):
    with pytest.raises(error, match=words):
        ReplaySequences(100, prioritized=prioritized)


def test_the_configuration_says_how_they_are_drawn():
    part = ReplaySequences(100, prioritized={"eta": 0.5}).get_part()
    assert part["prioritized"] == {"alpha": 0.9, "beta": 0.6, "epsilon": 1e-6, "eta": 0.5}
    again = ReplaySequences(**{name: value for name, value in part.items() if name != "type"})
    assert again.get_part() == part and again.prioritized is True
    assert ReplaySequences(100).get_part()["prioritized"] is False
