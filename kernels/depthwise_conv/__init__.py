"""A short convolution along each passage, every channel with its own filter."""

from .op import depthwise_conv as depthwise_conv
