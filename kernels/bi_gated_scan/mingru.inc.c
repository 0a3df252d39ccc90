/* minGRU over packed pre-activations u [tokens][directions][2][channels] (gate, value): one
 * direction d of the segments [first, end), gates and scan in one pass. States are
 * [tokens][directions][channels]; the state is the row written before. */

/* h = before + s(gate) (value - before); before may be null for zeros. */
INLINE void FN(mingru_row)(const float *u, const float *before, float *h, int64_t channels) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES) {
        vf state = before ? load(before + c) : spread(0);
        store(h + c, state + vsigmoid(load(u + c)) * (load(u + channels + c) - state));
    }
    if (c < channels) {
        int64_t rest = channels - c;
        vf state = before ? load_part(before + c, rest) : spread(0);
        vf z = vsigmoid(load_part(u + c, rest));
        store_part(h + c, state + z * (load_part(u + channels + c, rest) - state), rest);
    }
}

void FN(mingru)(const float *u, const int32_t *cu_seqlens, int64_t first, int64_t end,
                int64_t directions, int64_t d, int64_t channels, float *h) {
    unsigned mode = flush_subnormals();
    int64_t wide = directions * channels;
    for (int64_t segment = first; segment < end; segment++) {
        int64_t start = cu_seqlens[segment], stop = cu_seqlens[segment + 1];
        const float *before = NULL;
        for (int64_t i = 0; i < stop - start; i++) {
            int64_t t = d ? stop - 1 - i : start + i;
            float *row = h + t * wide + d * channels;
            FN(mingru_row)(u + 2 * (t * wide + d * channels), before, row, channels);
            before = row;
        }
    }
    restore_subnormals(mode);
}

/* One block of one token backward: carry is the gradient that the next step sends. */
INLINE vf FN(mingru_adjoint)(vf gate, vf value, vf before, vf grad, vf *dgate, vf *dvalue) {
    vf z = vsigmoid(gate), keep = vsigmoid(-gate);
    *dgate = grad * (value - before) * z * keep;
    *dvalue = grad * z;
    return grad * keep;
}

INLINE void FN(mingru_row_back)(const float *u, const float *before, const float *dh, float *carry,
                                float *du, int64_t channels) {
    vf dgate, dvalue;
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES) {
        vf state = before ? load(before + c) : spread(0);
        store(carry + c, FN(mingru_adjoint)(load(u + c), load(u + channels + c), state,
                                            load(carry + c) + load(dh + c), &dgate, &dvalue));
        store(du + c, dgate);
        store(du + channels + c, dvalue);
    }
    if (c < channels) {
        int64_t n = channels - c;
        vf state = before ? load_part(before + c, n) : spread(0);
        vf grad = load_part(carry + c, n) + load_part(dh + c, n);
        vf sent = FN(mingru_adjoint)(load_part(u + c, n), load_part(u + channels + c, n), state,
                                     grad, &dgate, &dvalue);
        store_part(carry + c, sent, n);
        store_part(du + c, dgate, n);
        store_part(du + channels + c, dvalue, n);
    }
}

/* du from dh [tokens][directions][channels] and the states h of the forward pass; carry [channels]
 * is room to work in. */
void FN(mingru_back)(const float *u, const float *h, const float *dh, const int32_t *cu_seqlens,
                     int64_t first, int64_t end, int64_t directions, int64_t d, int64_t channels,
                     float *carry, float *du) {
    unsigned mode = flush_subnormals();
    int64_t wide = directions * channels;
    for (int64_t segment = first; segment < end; segment++) {
        int64_t start = cu_seqlens[segment], stop = cu_seqlens[segment + 1];
        memset(carry, 0, (size_t)channels * sizeof(float));
        for (int64_t i = stop - start - 1; i >= 0; i--) {
            int64_t t = d ? stop - 1 - i : start + i, at = t * wide + d * channels;
            const float *before = i ? h + at + (d ? wide : -wide) : NULL;
            FN(mingru_row_back)(u + 2 * at, before, dh + at, carry, du + 2 * at, channels);
        }
    }
    restore_subnormals(mode);
}
