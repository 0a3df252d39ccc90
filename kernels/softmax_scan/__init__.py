"""Attention of one learned query as a recurrence: a running softmax average, and its last value."""

from .pool import attention_pool as attention_pool
from .scan import softmax_scan as softmax_scan
