/* The folded student: L bidirectional minGRU layers whose input side is a table of rows by token.
 *
 * A panel holds 16 channels of one direction: 16 gate pre-activations and 16 values side by side,
 * 32 floats; panels of the forward direction come first. Tables are [token][panel][32]: a token's
 * rows share a page of memory. Weights of products are [panel][depth][32]. A passage's result never
 * depends on its neighbours: products add along the depth in one order, whatever the row.
 */
#define PANEL (2 * LANES)

typedef struct {
    vf low[GEMM_ROWS], high[GEMM_ROWS];
} FN(block);

/* acc += x[0:GEMM_ROWS] @ panel; rows of x lie `stride` floats apart. */
INLINE void FN(multiply)(FN(block) * acc, const float *x, int64_t stride, int64_t depth,
                         const float *panel) {
    FN(block) sums = *acc;
    for (int64_t k = 0; k < depth; k++) {
        vf low = load(panel + k * PANEL), high = load(panel + k * PANEL + LANES);
#pragma GCC unroll 12
        for (int row = 0; row < GEMM_ROWS; row++) {
            vf left = spread(x[row * stride + k]);
            sums.low[row] += left * low;
            sums.high[row] += left * high;
        }
    }
    *acc = sums;
}

/* The block's rows to `to` [GEMM_ROWS][32]. */
INLINE void FN(keep)(const FN(block) * acc, float *to) {
#pragma GCC unroll 12
    for (int row = 0; row < GEMM_ROWS; row++) {
        store(to + row * PANEL, acc->low[row]);
        store(to + row * PANEL + LANES, acc->high[row]);
    }
}

/* Pre-activations (gate, value) [n][32] to (1 - z, z * value) in place. */
INLINE void FN(gate)(float *rows, int64_t n) {
    for (int64_t row = 0; row < n; row++, rows += PANEL) {
        vf gate = load(rows);
        store(rows, vsigmoid(-gate));
        store(rows + LANES, vsigmoid(gate) * load(rows + LANES));
    }
}

/* table[i] [n_panels][32] = x[i] @ weights + bias, for `rows` rows of x [rows][depth].
 * gated: a layer without a product of its own keeps (1 - z, z * value) instead of the
 * pre-activations, so that its scan is one multiplication and one addition.
 * spare: room for 16 rows of x. */
void FN(token_rows)(const float *x, int64_t rows, int64_t depth, const float *panels,
                    int64_t n_panels, const float *bias, int64_t gated, float *spare,
                    float *table) {
    unsigned mode = flush_subnormals();
    for (int64_t at = 0; at < rows; at += GEMM_ROWS) {
        int64_t n = rows - at < GEMM_ROWS ? rows - at : GEMM_ROWS;
        const float *left = x + at * depth;
        if (n < GEMM_ROWS) {
            memset(spare, 0, (size_t)(GEMM_ROWS * depth) * sizeof(float));
            memcpy(spare, left, (size_t)(n * depth) * sizeof(float));
            left = spare;
        }
        for (int64_t p = 0; p < n_panels; p++) {
            FN(block) acc;
            for (int row = 0; row < GEMM_ROWS; row++) {
                acc.low[row] = load(bias + p * PANEL);
                acc.high[row] = load(bias + p * PANEL + LANES);
            }
            FN(multiply)(&acc, left, depth, depth, panels + p * depth * PANEL);
            float done[GEMM_ROWS * PANEL];
            FN(keep)(&acc, done);
            if (gated) FN(gate)(done, n);
            for (int64_t row = 0; row < n; row++)
                memcpy(table + ((at + row) * n_panels + p) * PANEL, done + row * PANEL,
                       PANEL * sizeof(float));
        }
    }
    restore_subnormals(mode);
}

/* `panels` panels of the first layer at once: h = a h + b with a and b looked up by token. */
INLINE void FN(scan_looked_up)(const int32_t *ids, int64_t tokens, int64_t step,
                               const float *table, int64_t columns, int panels, float *h,
                               int64_t width) {
    vf state[4] = {spread(0), spread(0), spread(0), spread(0)};
    for (int64_t t = 0; t < tokens; t++) {
        const float *row = table + (int64_t)*ids * columns;
        for (int p = 0; p < panels; p++) {
            state[p] = load(row + p * PANEL) * state[p] + load(row + p * PANEL + LANES);
            store(h + p * LANES, state[p]);
        }
        ids += step;
        h += step * width;
    }
}

/* The first layer over one passage, four panels at a time: their chains of sums overlap. */
INLINE void FN(first_layer)(const int32_t *ids, int64_t tokens, const float *table, int64_t width,
                            float *h) {
    int64_t panels = width / LANES, columns = 2 * width;
    for (int backward = 0; backward < 2; backward++) {
        int64_t step = backward ? -1 : 1, start = backward ? tokens - 1 : 0;
        int64_t p = backward * panels / 2, end = p + panels / 2;
        float *to = h + start * width;
        for (; p + 4 <= end; p += 4)
            FN(scan_looked_up)(ids + start, tokens, step, table + p * PANEL, columns, 4,
                               to + p * LANES, width);
        for (; p < end; p++)
            FN(scan_looked_up)(ids + start, tokens, step, table + p * PANEL, columns, 1,
                               to + p * LANES, width);
    }
}

/* One panel of a later layer: gates from pre-activations u [tokens][32]. */
INLINE void FN(scan_gated)(const float *u, int64_t tokens, int64_t step, float *h, int64_t width) {
    vf state = spread(0);
    for (int64_t t = 0; t < tokens; t++) {
        state += vsigmoid(load(u)) * (load(u + LANES) - state);
        store(h, state);
        u += step * PANEL;
        h += step * width;
    }
}

/* u [tokens][32] = one panel of the table's rows + h @ panel; h and u have room for a whole last
 * block of rows. */
INLINE void FN(pre_activations)(const int32_t *ids, int64_t tokens, const float *table,
                                const float *h, int64_t width, const float *panel, float *u) {
    for (int64_t at = 0; at < tokens; at += GEMM_ROWS) {
        FN(block) acc;
        for (int row = 0; row < GEMM_ROWS; row++) {
            const float *own = table + (at + row < tokens ? ids[at + row] : 0) * 2 * width;
            acc.low[row] = load(own);
            acc.high[row] = load(own + LANES);
        }
        FN(multiply)(&acc, h + at * width, width, width, panel);
        FN(keep)(&acc, u + at * PANEL);
    }
}

/* RMSNorm of each row in place; its learned gain lives in the weights that read it. */
INLINE void FN(normalise_rows)(float *h, int64_t tokens, int64_t width, float epsilon) {
    for (int64_t t = 0; t < tokens; t++, h += width) {
        vf squares = spread(0);
        for (int64_t c = 0; c < width; c += LANES) squares += load(h + c) * load(h + c);
        vf scale = spread(1.0f / __builtin_sqrtf(sum(squares) / (float)width + epsilon));
        for (int64_t c = 0; c < width; c += LANES) store(h + c, load(h + c) * scale);
    }
}

/* mean [width] of n rows of h, each divided by its root mean square; zeros of none. */
INLINE void FN(mean_normed)(const float *h, int64_t n, int64_t width, float epsilon, float *mean) {
    memset(mean, 0, (size_t)width * sizeof(float));
    for (int64_t t = 0; t < n; t++, h += width) {
        vf squares = spread(0);
        for (int64_t c = 0; c < width; c += LANES) squares += load(h + c) * load(h + c);
        float root = __builtin_sqrtf(sum(squares) / (float)width + epsilon);
        vf scale = spread(1.0f / (root * (float)n));
        for (int64_t c = 0; c < width; c += LANES)
            store(mean + c, load(mean + c) + load(h + c) * scale);
    }
}

/* mean [columns] of the rows of base that n ids name; zeros of none. */
INLINE void FN(mean_looked_up)(const int32_t *ids, int64_t n, const float *base, int64_t columns,
                               float *mean) {
    vf share = spread(n ? 1.0f / (float)n : 0.0f);
    for (int64_t c = 0; c < columns; c += PANEL) {
        vf low = spread(0), high = spread(0);
        for (int64_t t = 0; t < n; t++) {
            const float *row = base + (int64_t)ids[t] * columns + c;
            low += load(row);
            high += load(row + LANES);
        }
        store(mean + c, low * share);
        store(mean + c + LANES, high * share);
    }
}

INLINE void FN(unit_length)(float *y, int64_t dim) {
    vf squares = spread(0);
    for (int64_t c = 0; c < dim; c += LANES) squares += load(y + c) * load(y + c);
    float norm = __builtin_sqrtf(sum(squares));
    vf scale = spread(norm > 0 ? 1.0f / norm : 0.0f);
    for (int64_t c = 0; c < dim; c += LANES) store(y + c, load(y + c) * scale);
}

/* out[i] += pooled[i] @ weights, for passages that come in blocks of GEMM_ROWS. */
INLINE void FN(project)(const float *pooled, int64_t passages, int64_t width,
                        const float *out_panels, int64_t dim, float *out) {
    for (int64_t at = 0; at < passages; at += GEMM_ROWS)
        for (int64_t p = 0; p < dim / PANEL; p++) {
            FN(block) acc;
            memset(&acc, 0, sizeof(acc));
            FN(multiply)(&acc, pooled + at * width, width, width, out_panels + p * width * PANEL);
            float done[GEMM_ROWS * PANEL];
            FN(keep)(&acc, done);
            for (int64_t row = 0; row < GEMM_ROWS && at + row < passages; row++) {
                float *to = out + (at + row) * dim + p * PANEL;
                store(to, load(to) + load(done + row * PANEL));
                store(to + LANES, load(to + LANES) + load(done + row * PANEL + LANES));
            }
        }
}

typedef struct {
    int64_t layers, width, dim;
    const float *const *tables, *const *mixers;
    const float *base, *out_panels;
    float epsilon;
} FN(student);

/* A later layer over a tile, panel by panel; u holds one panel's pre-activations. */
INLINE void FN(later_layer)(const int32_t *ids, const int64_t *bounds, int64_t passages,
                            const float *table, const float *mixer, int64_t width, const float *h,
                            float *next, float *u) {
    int64_t first = bounds[0], tokens = bounds[passages] - first, panels = width / LANES;
    for (int64_t p = 0; p < panels; p++) {
        int backward = p >= panels / 2;
        FN(pre_activations)(ids, tokens, table + p * PANEL, h, width, mixer + p * width * PANEL, u);
        for (int64_t i = 0; i < passages; i++) {
            int64_t n = bounds[i + 1] - bounds[i];
            int64_t start = (backward ? bounds[i + 1] - 1 : bounds[i]) - first;
            FN(scan_gated)(u + start * PANEL, n, backward ? -1 : 1,
                           next + start * width + p * LANES, width);
        }
    }
}

/* All layers over one tile; the states of the last, not yet normed, are left in *h. */
INLINE void FN(layers)(const FN(student) * s, const int32_t *ids, const int64_t *bounds,
                       int64_t passages, float **h, float **next, float *u) {
    int64_t first = bounds[0], tokens = bounds[passages] - first;
    for (int64_t layer = 0; layer < s->layers; layer++) {
        if (layer)
            FN(later_layer)(ids, bounds, passages, s->tables[layer], s->mixers[layer], s->width, *h,
                            *next, u);
        else
            for (int64_t i = 0; i < passages; i++)
                FN(first_layer)(ids + bounds[i] - first, bounds[i + 1] - bounds[i], s->tables[0],
                                s->width, *next + (bounds[i] - first) * s->width);
        if (layer + 1 < s->layers) FN(normalise_rows)(*next, tokens, s->width, s->epsilon);
        float *swap = *h;
        *h = *next;
        *next = swap;
    }
}

/* One tile: mean base rows to out [passages][dim], mean normed states to pooled [..][width]. */
INLINE void FN(tile)(const FN(student) * s, const int32_t *ids, const int64_t *bounds,
                     int64_t passages, float *work, float *pooled, float *out) {
    int64_t first = bounds[0], tokens = bounds[passages] - first, width = s->width;
    int64_t room = tokens + LANES;
    float *h = work, *next = h + room * width, *u = next + room * width;
    memset(h + tokens * width, 0, LANES * (size_t)width * sizeof(float));
    memset(next + tokens * width, 0, LANES * (size_t)width * sizeof(float));
    FN(layers)(s, ids, bounds, passages, &h, &next, u);
    for (int64_t i = 0; i < passages; i++) {
        int64_t n = bounds[i + 1] - bounds[i], start = bounds[i] - first;
        FN(mean_looked_up)(ids + start, n, s->base, s->dim, out + i * s->dim);
        if (s->layers)
            FN(mean_normed)(h + start * width, n, width, s->epsilon, pooled + i * width);
    }
}

/* Vectors out [passages][dim] = unit( mean of base rows + mean of the normed states @ W ) of
 * passages whose tokens are ids[bounds[i]] to ids[bounds[i + 1] - 1].
 *
 * Whole passages are worked on together, at most `tile` tokens of them (a longer passage alone), so
 * that their states stay in the cache; then at most `tile` passages are projected together. width
 * (channels of both directions) and dim are multiples of 32; tables, mixers [layers] (mixers[0] is
 * not read). work: room for (tile + 16) width + 2 (t + 16) width + (t + 16) 32 floats, where t is
 * the longer of `tile` and the longest passage. */
void FN(folded)(const int32_t *ids, const int64_t *bounds, int64_t passages, int64_t tile,
                int64_t layers, int64_t width, int64_t dim, const float *const *tables,
                const float *const *mixers, float epsilon, const float *base,
                const float *out_panels, float *work, float *out) {
    unsigned mode = flush_subnormals();
    FN(student) s = {layers, width, dim, tables, mixers, base, out_panels, epsilon};
    float *pooled = work, *states = work + (tile + LANES) * width;
    for (int64_t group = 0, end; group < passages; group = end) {
        end = passages - group < tile ? passages : group + tile;
        for (int64_t from = group, to; from < end; from = to) {
            to = from + 1;
            while (to < end && bounds[to + 1] - bounds[from] <= tile) to++;
            FN(tile)(&s, ids + bounds[from], bounds + from, to - from, states,
                     pooled + (from - group) * width, out + from * dim);
        }
        memset(pooled + (end - group) * width, 0, LANES * (size_t)width * sizeof(float));
        if (layers)
            FN(project)(pooled, end - group, width, out_panels, dim, out + group * dim);
        for (int64_t i = group; i < end; i++) FN(unit_length)(out + i * dim, dim);
    }
    restore_subnormals(mode);
}
