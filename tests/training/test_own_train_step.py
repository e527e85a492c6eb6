"""The step of an update, and what of a user's own is wrong with it."""

import pytest

import kagent

pytestmark = pytest.mark.eager


def test_mistakes_in_a_train_step_of_ones_own_are_named():
    class Silent(kagent.DQN):
        def train_step(self, batch):
            super().train_step(batch)

    class Misspelt(kagent.DQN):
        def train_step(self, batch):
            return {"loss": batch["rewards"]}

    made = {"memory": 50, "batch_size": 4, "start": 4, "network": {"units": [4]}, "seed": 0}
    with pytest.raises(
        TypeError, match=r"`train_step` must return a dict of scalars to log. Received: None \(NoneType\)"
    ):
        Silent("CartPole-v1", **made).fit("CartPole-v1", steps=20, verbose=0)
    with pytest.raises(KeyError, match="rewards") as found:
        Misspelt("CartPole-v1", **made).fit("CartPole-v1", steps=20, verbose=0)
    (note,) = found.value.__notes__
    assert note.startswith(
        "The batch of `train_step` has no 'rewards'. Did you mean 'reward'? It has: action, discount"
    )
