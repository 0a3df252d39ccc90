"""Sentence encoders of the LSTM years, each a whole body: word vectors in, one vector out.

Made as ``Body(width)``, they map x [tokens, width] and a pack to [N, out_width] in float32; a
passage without tokens is 0. One a file, the class named for its paper or its idea.
"""
