"""Mamba's recurrence: decay, input and output of N states per channel chosen by each token."""

from .op import selective_scan as selective_scan
