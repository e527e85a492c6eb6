"""Arguments of Tensorforce's agents, translated into kagent's own."""
