"""Boatyard turns a folder of labelled photos into a tested image classifier, reproducibly."""
