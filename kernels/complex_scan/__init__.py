"""h_t = exp(l_t + i p_t) h_{t-1} + b_t: a state that decays and turns, channel by channel."""

from .op import complex_scan as complex_scan
