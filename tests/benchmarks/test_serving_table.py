"""benchmarks.serving: what is measured, and how it is written."""

import itertools

import numpy as np
import pytest

from benchmarks import serving


def test_the_least_mean_counts(monkeypatch):
    """A first call, one of 1 s, then chunks: with 4 s of room four calls each, which last 8, 4 and 12 s."""
    clock = itertools.chain([0.0, 1.0], [0.0, 8.0, 8.0, 12.0, 12.0, 24.0])
    monkeypatch.setattr(serving.time, "process_time", lambda: next(clock))
    calls = []
    assert serving.fastest(lambda: calls.append(1), repeats=3, chunk=4.0) == 1.0
    assert len(calls) == 2 + 3 * 4


@pytest.mark.eager
def test_a_small_agent_in_every_form_that_is_here(monkeypatch):
    monkeypatch.setattr(serving, "_onnx", lambda agent, folder: None)
    monkeypatch.setattr(serving, "_litert", lambda agent, folder: None)  # their exports have tests of their own
    rows = serving.measure("CartPole, PPO 64-64", repeats=1, batches=(1, 3))
    assert [row.form for row in rows] == ["Keras call", "kagent.acting"]
    assert all(0 < seconds < 5 for row in rows for seconds in row.seconds.values())
    assert 4 * 4600 < rows[1].bytes < rows[0].bytes  # 4*64+64 + 64*64+64 + 64*2+2 = 4610 numbers of 4 bytes


def test_other_actions_are_an_error():
    with pytest.raises(AssertionError, match="ONNX gives other actions"):
        serving._check(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), "ONNX")
    serving._check(np.array([[0.5], [1.0]]), np.array([[0.5], [1.0]]), "ONNX")


def test_the_tables():
    rows = [serving.Row("CartPole", "kagent.acting", {1: 2e-5, 1024: 0.0031}, 20480)]
    assert serving.markdown(rows, {"kagent.acting": 0.123, "ONNX": None}) == (
        "| agent | form | batch 1 | batch 1,024 | file |\n|---|---|---|---|---|\n"
        "| CartPole | kagent.acting | 20 µs | 3.1 ms | 20 KiB |\n\n| form | import |\n|---|---|\n| kagent.acting | 0.12 s |\n"
    )


def test_imports_are_measured_in_a_process_of_their_own():
    assert 0 <= serving.import_seconds("import json", runs=1) < 30
    assert serving.import_seconds("import nothing_of_this_name", runs=1) is None
