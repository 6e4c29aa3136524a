"""Engines: what runs a network, without gradients, over views."""
