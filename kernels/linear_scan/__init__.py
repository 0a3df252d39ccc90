"""h_t = a_t h_{t-1} + b_t, real, channel by channel: the recurrence under every gated cell."""

from .op import linear_scan as linear_scan
