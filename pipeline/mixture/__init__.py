"""Mixtures: which sources a model is trained on, and how many tokens each of them gives."""
