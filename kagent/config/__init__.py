"""Configurations: plain data from which agents and their parts are made, bounded and checked before anything is."""
