/* h_t = a_t h_{t-1} + b_t over the segments [first, end) of a pack, row by row.
 *
 * Rows are [channels] floats that lie end to end; the state is the row written before. A segment
 * reads its own rows and nothing else, and a channel's sum has one order, whoever runs it. */

/* h = a * before + b; before may be null for zeros. */
INLINE void FN(scan_row)(const float *a, const float *b, const float *before, float *h,
                         int64_t channels) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES)
        store(h + c, load(a + c) * (before ? load(before + c) : spread(0)) + load(b + c));
    if (c < channels) {
        int64_t rest = channels - c;
        vf state = before ? load_part(before + c, rest) : spread(0);
        store_part(h + c, load_part(a + c, rest) * state + load_part(b + c, rest), rest);
    }
}

/* h0 [segments][channels] may be null for zeros; last [segments][channels]. */
void FN(linear_scan)(const float *a, const float *b, const float *h0, const int32_t *cu_seqlens,
                     int64_t first, int64_t end, int64_t channels, int64_t reverse, float *h,
                     float *last) {
    unsigned mode = flush_subnormals();
    size_t row_bytes = (size_t)channels * sizeof(float);
    for (int64_t segment = first; segment < end; segment++) {
        int64_t start = cu_seqlens[segment], length = cu_seqlens[segment + 1] - start;
        int64_t step = reverse ? -channels : channels;
        int64_t at = (reverse ? start + length - 1 : start) * channels;
        const float *before = h0 ? h0 + segment * channels : NULL;
        for (int64_t t = 0; t < length; t++, at += step) {
            FN(scan_row)(a + at, b + at, before, h + at, channels);
            before = h + at;
        }
        if (before)
            memcpy(last + segment * channels, before, row_bytes);
        else
            memset(last + segment * channels, 0, row_bytes);
    }
    restore_subnormals(mode);
}

/* One token backward: grad = dh + carry, db = grad, da = grad * before, carry = a * grad. */
INLINE void FN(scan_row_back)(const float *a, const float *before, const float *dh, float *carry,
                              float *da, float *db, int64_t channels) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES) {
        vf grad = load(carry + c);
        if (dh) grad += load(dh + c);
        store(db + c, grad);
        store(da + c, before ? grad * load(before + c) : spread(0));
        store(carry + c, load(a + c) * grad);
    }
    if (c < channels) {
        int64_t rest = channels - c;
        vf grad = load_part(carry + c, rest);
        if (dh) grad += load_part(dh + c, rest);
        store_part(db + c, grad, rest);
        store_part(da + c, before ? grad * load_part(before + c, rest) : spread(0), rest);
        store_part(carry + c, load_part(a + c, rest) * grad, rest);
    }
}

/* dh [tokens][channels] and dlast [segments][channels] may be null for zeros. */
void FN(linear_scan_back)(const float *a, const float *h, const float *h0, const float *dh,
                          const float *dlast, const int32_t *cu_seqlens, int64_t first, int64_t end,
                          int64_t channels, int64_t reverse, float *da, float *db, float *dh0) {
    unsigned mode = flush_subnormals();
    size_t row_bytes = (size_t)channels * sizeof(float);
    for (int64_t segment = first; segment < end; segment++) {
        int64_t start = cu_seqlens[segment], length = cu_seqlens[segment + 1] - start;
        int64_t step = reverse ? channels : -channels; /* against the forward pass */
        int64_t at = (reverse ? start : start + length - 1) * channels;
        const float *initial = h0 ? h0 + segment * channels : NULL;
        float *carry = dh0 + segment * channels;
        if (dlast)
            memcpy(carry, dlast + segment * channels, row_bytes);
        else
            memset(carry, 0, row_bytes);
        for (int64_t t = length - 1; t >= 0; t--, at += step)
            FN(scan_row_back)(a + at, t ? h + at + step : initial, dh ? dh + at : NULL, carry,
                              da + at, db + at, channels);
    }
    restore_subnormals(mode);
}
