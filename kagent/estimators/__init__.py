"""A door for Polyaxon's users: agents made of a model function. See `Agent`."""
