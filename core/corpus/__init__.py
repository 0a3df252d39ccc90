"""Corpora as streams of passages and flaws."""
