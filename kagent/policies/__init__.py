"""Policies decide, critics judge: Keras layers around one functional model each."""
