// Windows -> what `expand` reads, planned on the device: the host says where each row's tokens begin on the
// line of row groups and how many there are; documents' starts and row groups' addresses lie in device
// memory. Follows loader/expand.cu in one compilation.
//
// Three kernels and the expansion, all with one argument: `count_rows` counts a row's segments and pieces,
// `scan_rows` adds them up, `write_rows` writes them. tests/test_loader_rows.py compares with the host's plan.

typedef long long i64;

#define ROW_BLOCK 128
#define SCAN_BLOCK 1024

struct Work {
    // of each row, R
    const i64* begins;   // number of its first token on the line
    const i64* lengths;  // tokens; below T: the rest is padding; null: all rows are full
    const i64* next;     // of the ring: the id behind its tokens, -1 at the line's end; else null
    const i64* stops;    // where what may follow ends; null: a document's last token has no label
    i64 rows, rows_a_batch, seq_len;
    // of the line
    const i64* edges;     // G + 1: tokens before each row group, and all
    const u64* addresses; // G: of each row group's first token
    i64 groups;
    const i64* documents; // D + 1: each document's first token, ascending and different, and all tokens
    i64 document_count;
    // of the ring: where its rows are, `row_bytes` apart; else 0
    u64 staging;
    i64 row_bytes;
    // scratch, R each
    u64* counts;  // segments in the low half, pieces in the high one; then how many stand before
    u64* spans;   // first and last document
    // what `expand` reads
    Piece* pieces;
    int* starts;
    int* tails;
    int* facts;  // of each batch its first segment, and all | its longest segment | its first piece, and all
    OUT *tokens, *labels, *positions;
    u64 stride;
    i64 first_batch, batch_count;  // of an expansion
};

// Number of the last value that is not above `wanted`, of those from `low` to `high` - 1; low - 1 for none.
__device__ __forceinline__ i64 last_at_most(const i64* values, i64 low, i64 high, i64 wanted) {
    while (low < high) {
        i64 middle = (low + high) >> 1;
        if (values[middle] <= wanted) low = middle + 1; else high = middle;
    }
    return low - 1;
}

// Pieces of `length` ids. Where there are several, all but the first begin at whole lines of 128 bytes, so that
// no line crosses the wire twice: `skew` is how many ids the first one lies behind the last UNIT of its row group.
__device__ __forceinline__ i64 parts(i64 length, i64 skew) {
    return length <= PIECE_IDS ? length > 0 : (length + skew + PIECE_IDS - 1) / PIECE_IDS;
}

__device__ __forceinline__ i64 skew_of(const Work& w, i64 group, i64 token) {
    return (token - w.edges[group]) % UNIT;
}

// Address of a token's first bit where the hot cache mapped it.
__device__ __forceinline__ u64 bit_of(const Work& w, i64 group, i64 token) {
    return w.addresses[group] * 8 + (token - w.edges[group]) * BITS;
}

__device__ __forceinline__ void count_row(const Work& w, i64 row) {
    i64 begin = w.begins[row], length = w.lengths ? w.lengths[row] : w.seq_len;
    i64 segments = 0, pieces = parts(w.seq_len - length, 0);
    if (length > 0) {
        i64 first = last_at_most(w.documents, 0, w.document_count, begin);
        i64 last = last_at_most(w.documents, first, w.document_count, begin + length - 1);
        w.spans[row] = (u64)last << 32 | (u64)first;
        segments = last - first + 1;
        if (w.staging) {
            pieces += parts(length, 0);
        } else {
            i64 group = last_at_most(w.edges, 0, w.groups, begin);
            for (i64 at = 0; at < length; group++) {
                i64 stop = w.edges[group + 1] - begin;
                if (stop > length) stop = length;
                pieces += parts(stop - at, skew_of(w, group, begin + at));
                at = stop;
            }
        }
    }
    segments += length < w.seq_len;
    bool ends = row % w.rows_a_batch == w.rows_a_batch - 1;  // what stands behind a batch
    w.counts[row] = (u64)(pieces + ends) << 32 | (u64)(segments + ends);
}

// The facts that a row brings, given what stands before it.
__device__ __forceinline__ void note_row(const Work& w, i64 row, u64 before, u64 after) {
    i64 batches = w.rows / w.rows_a_batch, batch = row / w.rows_a_batch;
    int *longest = w.facts + batches + 1, *pieces = longest + batches;
    if (row % w.rows_a_batch == 0) {
        w.facts[batch] = (int)(u32)before;
        longest[batch] = 0;
        pieces[batch] = (int)(before >> 32);
    }
    if (row == w.rows - 1) {
        w.facts[batches] = (int)(u32)after;
        pieces[batches] = (int)(after >> 32);
    }
}

__device__ __forceinline__ int id_at(const Work& w, i64 token) {
    i64 group = last_at_most(w.edges, 0, w.groups, token);
    return (int)id_of((const u32*)w.addresses[group], (u64)(token - w.edges[group]) * BITS);
}

// A warp writes a row; gives the longest segment that its lane wrote.
__device__ __forceinline__ int write_row(const Work& w, i64 row, int lane) {
    const i64 limit = PIECE_IDS;
    i64 begin = w.begins[row], length = w.lengths ? w.lengths[row] : w.seq_len, rest = w.seq_len - length;
    i64 batch = row / w.rows_a_batch, position = row % w.rows_a_batch * w.seq_len;
    i64 segment = (u32)w.counts[row], piece = w.counts[row] >> 32, longest = 0;
    u64 mark = (u64)batch << BATCH_SHIFT;
    if (length > 0) {
        i64 first = (u32)w.spans[row], last = w.spans[row] >> 32, stop = w.stops ? w.stops[row] : 0;
        for (i64 document = first + lane; document <= last; document += 32) {
            i64 from = document == first ? begin : w.documents[document];
            i64 behind = w.documents[document + 1];
            i64 end = document == last ? begin + length : behind;
            int tail = -100;
            if (end < behind)  // cut by the row's end
                tail = w.next ? (int)w.next[row] : NEXT;
            else if (end < stop && document == last)
                tail = w.next ? (int)w.next[row] : id_at(w, end);
            else if (end < stop)
                tail = w.staging ? NEXT : id_at(w, end);
            w.starts[segment + document - first] = (int)(position + from - begin);
            w.tails[segment + document - first] = tail;
            if (end - from > longest) longest = end - from;
        }
        i64 group = last_at_most(w.edges, 0, w.groups, begin);
        for (i64 at = 0; at < length; group++) {
            i64 edge = w.staging ? length : w.edges[group + 1] - begin;
            i64 stop_at = edge < length ? edge : length;
            u64 base = bit_of(w, group, begin);
            if (w.staging) base = (w.staging + row * w.row_bytes) * 8 + (base & 7);
            i64 skew = w.staging || stop_at - at <= limit ? 0 : skew_of(w, group, begin + at);
            i64 count = parts(stop_at - at, skew);
            for (i64 part = lane; part < count; part += 32) {
                i64 from = at + (part ? part * limit - skew : 0);
                i64 end = part == count - 1 ? stop_at : at + (part + 1) * limit - skew;
                i64 document = last_at_most(w.documents, first, last + 1, begin + from);
                w.pieces[piece + part].address = (base + from * BITS) | mark | (end < edge ? MORE : 0);
                w.pieces[piece + part].start = (int)(position + from);
                w.pieces[piece + part].segment = (int)(segment + document - first);
            }
            piece += count;
            at = stop_at;
        }
        segment += last - first + 1;
    }
    if (rest > 0) {
        if (lane == 0) w.starts[segment] = (int)(position + length), w.tails[segment] = -100;
        if (rest > longest) longest = rest;
        for (i64 part = lane; part < parts(rest, 0); part += 32) {
            w.pieces[piece + part].address = mark;
            w.pieces[piece + part].start = (int)(position + length + part * limit);
            w.pieces[piece + part].segment = (int)segment;
        }
        piece += parts(rest, 0);
        segment++;
    }
    if (lane == 0 && row % w.rows_a_batch == w.rows_a_batch - 1) {
        w.starts[segment] = (int)(w.rows_a_batch * w.seq_len), w.tails[segment] = 0;
        w.pieces[piece].address = mark;
        w.pieces[piece].start = (int)(w.rows_a_batch * w.seq_len);
        w.pieces[piece].segment = (int)segment;
    }
    return (int)longest;
}

#ifdef __CUDACC__

extern "C" __global__ void __launch_bounds__(ROW_BLOCK) count_rows(Work w) {
    i64 row = (i64)blockIdx.x * ROW_BLOCK + threadIdx.x;
    if (row < w.rows) count_row(w, row);
}

// One block: the rows in order, each thread some that follow each other.
extern "C" __global__ void __launch_bounds__(SCAN_BLOCK) scan_rows(Work w) {
    __shared__ u64 sums[SCAN_BLOCK];
    i64 each = (w.rows + SCAN_BLOCK - 1) / SCAN_BLOCK, from = threadIdx.x * each;
    i64 to = from + each < w.rows ? from + each : w.rows;
    u64 sum = 0;
    for (i64 row = from; row < to; row++) sum += w.counts[row];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 1; step < SCAN_BLOCK; step *= 2) {
        u64 more = threadIdx.x >= step ? sums[threadIdx.x - step] : 0;
        __syncthreads();
        sums[threadIdx.x] += more;
        __syncthreads();
    }
    u64 before = sums[threadIdx.x] - sum;
    for (i64 row = from; row < to; row++) {
        u64 after = before + w.counts[row];
        w.counts[row] = before;
        note_row(w, row, before, after);
        before = after;
    }
}

extern "C" __global__ void __launch_bounds__(ROW_BLOCK) write_rows(Work w) {
    i64 row = ((i64)blockIdx.x * ROW_BLOCK + threadIdx.x) / 32;
    if (row >= w.rows) return;
    int longest = __reduce_max_sync(0xffffffffu, write_row(w, row, threadIdx.x % 32));
    int* of_batch = w.facts + 1 + w.rows / w.rows_a_batch + row / w.rows_a_batch;
    if (threadIdx.x % 32 == 0) atomicMax(of_batch, longest);
}

extern "C" __global__ void __launch_bounds__(CONSUMERS + 32) expand_rows(Work w) {
    const int* pieces = w.facts + 1 + 2 * (w.rows / w.rows_a_batch) + w.first_batch;
    // Not what stands behind the last batch.
    expand_pieces(w.pieces + pieces[0], pieces[w.batch_count] - pieces[0] - 1, w.starts, w.tails, w.tokens,
                  w.labels, w.positions, w.stride);
}

#endif
