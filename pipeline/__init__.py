"""Recipes, plans, the engine, run folders and the command line."""
