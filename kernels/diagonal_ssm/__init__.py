"""S4D: N complex states per channel that decay and turn the same way at every token."""

from .op import diagonal_ssm as diagonal_ssm
