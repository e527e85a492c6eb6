"""Signals, raised in this process at an agent that is not one."""

import signal
import threading
import types

import pytest

from kagent.cli.interruption import Interruption


@pytest.fixture
def agent():
    return types.SimpleNamespace(stop_training=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_insists(agent, number, capfd, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        with Interruption(agent) as interruption:
            signal.raise_signal(number)
            assert agent.stop_training and interruption.received == number
            assert "Once more to stop at once" in capfd.readouterr().err
            for moment in (100.0, 100.005, 100.49):  # a supervisor forwards what the terminal has sent already
                now[0] = moment
                for again in (signal.SIGINT, signal.SIGTERM):
                    signal.raise_signal(again)
            assert interruption.received == number and capfd.readouterr().err == ""
            now[0] = 100.5
            signal.raise_signal(number)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_before_fit_begins_is_not_forgotten(agent):
    with Interruption(agent) as interruption:
        signal.raise_signal(signal.SIGINT)
        for moment in (
            interruption.on_train_begin,
            lambda: interruption.on_epoch_begin(0),
            lambda: interruption.on_train_batch_end(0),
        ):
            agent.stop_training = False  # as fit does
            moment()
            assert agent.stop_training


def test_without_a_signal_nothing_happens(agent):
    with Interruption(agent) as interruption:
        interruption.on_train_begin()
        interruption.on_train_batch_end(0)
    assert not agent.stop_training and interruption.received is None


def test_outside_of_the_main_thread_it_stays_away_from_signals(agent):
    failures = []

    def enter():
        try:
            with Interruption(agent):
                pass
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failures
