"""Recipes that train rerankers: rankings and judgments to a model file."""
