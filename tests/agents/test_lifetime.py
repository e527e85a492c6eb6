"""Agents go when they are no longer used, with all their networks."""

import gc
import weakref

import pytest

import kagent


@pytest.mark.parametrize("critic", [None, "shared"])
def test_nothing_keeps_an_agent(critic):
    agent = kagent.A2C("CartPole-v1", critic=critic, batch_size=8)
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    kept = [weakref.ref(one) for one in (agent, agent.policy.model, agent.critic.model, agent.memory)]
    del agent
    gc.collect()
    assert [one() for one in kept] == [None] * 4
