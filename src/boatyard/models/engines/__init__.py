"""Engines run a network over views, without gradients."""
