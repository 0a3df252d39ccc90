"""Recipes that make encoders, and the data they learn from."""
