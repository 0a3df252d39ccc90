"""The pruned passages as a tier of their own: built, asked when in doubt, tuned."""
