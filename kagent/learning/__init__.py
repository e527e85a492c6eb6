"""From a batch to new weights: losses, gradients, optimizers, target networks, in one compiled program."""
