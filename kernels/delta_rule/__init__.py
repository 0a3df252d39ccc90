"""The delta rule: a matrix per head that forgets what a key held before it stores the new value."""

from .op import delta_rule as delta_rule
