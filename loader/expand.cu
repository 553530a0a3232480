// A planned batch: narrow ids at any addresses -> tokens, labels and position ids, in one pass.
//
// Compiled at run time (loader/cuda_driver.py) with
//   BITS   of an id, at most 32: ids follow each other without gaps, each with its lowest bit first
//   OUT    type of an output: long long or int
//   BULK   1: one bulk copy a piece (sm_90), 0: 16-byte copies (sm_80)
//
// The work is cut into pieces (loader/pieces.py), each at most PIECE_BYTES of contiguous ids. A block
// has one warp that requests pieces STAGES ahead into shared memory, so that enough bytes are under
// way to fill the wire, and CONSUMERS threads that write what has come. Each id crosses the wire
// once: a label is the neighbour in shared memory.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef STAGES
#define STAGES 8
#endif
#ifndef ALIGN
#define ALIGN 128  // bytes; a request begins and ends at whole lines
#endif
#define PIECE_BYTES 4352  // of ids, at most
#define UNIT (1024 / (BITS & -BITS))  // ids that fill whole lines of 128 bytes
#define PIECE_IDS (PIECE_BYTES * 8 / BITS / UNIT * UNIT)
#define SLOT (PIECE_BYTES + 256)  // head and tail of a request: below ALIGN <= 128 each
#define CONSUMERS 256
#define HELD 64  // segments of a piece whose bounds are kept in shared memory
// In Piece.address, above the 51 bits of an address of a bit:
#define MORE (1ull << 63)  // the run goes on: one id more is asked for, what its last label may be
#define BATCH(address) (((address) >> BATCH_SHIFT) & 0xfff)  // which batch of the launch
#define BATCH_SHIFT 51
#define ADDRESS(address) ((address) & ((1ull << BATCH_SHIFT) - 1))
#define NEXT (-1)  // in `tails`: the label is the id behind the segment's last one in memory

struct __attribute__((aligned(16))) Piece {
    u64 address;  // of the first id's first bit; 0: padding
    int start;    // position in its batch; the piece ends where the next begins
    int segment;  // index in `starts` of the segment that `start` is in
};

struct __attribute__((aligned(16))) Vector {
    OUT of[16 / sizeof(OUT)];
};

struct Outputs {
    OUT* tokens;
    OUT* labels;
    OUT* positions;  // null: not wanted
};

// The id that begins at bit `at` of 32-bit words.
__device__ __forceinline__ OUT id_of(const u32* words, u64 at) {
    const u32* here = words + (at >> 5);
    return (OUT)(((u64)here[1] << 32 | here[0]) >> (at & 31) & ((1ull << BITS) - 1));
}

// Write the outputs start..end-1 of one piece; `thread` of CONSUMERS does every CONSUMERS-th vector.
// words, skip: the piece's first id begins `skip` bits behind. starts, tails: of its segments 0..last; a
// segment past `last` does not begin inside the piece.
__device__ __forceinline__ void write_piece(
    const u32* words, u32 skip, bool padding, int start, int end, const int* starts, const int* tails,
    int last, Outputs out, int thread
) {
    const int WIDE = 16 / sizeof(OUT);
    int segment = 0;
    for (int at = (start & -WIDE) + WIDE * thread; at < end; at += WIDE * CONSUMERS) {
        int first = at < start ? start : at;
        for (int high = last; segment < high;) {
            int middle = (segment + high + 1) >> 1;
            if (starts[middle] <= first) segment = middle; else high = middle - 1;
        }
        Vector tokens, labels, positions;
        int inner = segment;
        int begin = starts[inner];
        int next = inner < last ? starts[inner + 1] : 0x7fffffff;
#pragma unroll
        for (int lane = 0; lane < WIDE; lane++) {
            int position = at + lane;
            bool inside = position >= start && position < end;
            if (inside && position >= next) {
                inner++;
                begin = next;
                next = inner < last ? starts[inner + 1] : 0x7fffffff;
            }
            u32 bit = skip + BITS * (position - start);
            bool real = inside && !padding;
            tokens.of[lane] = real ? id_of(words, bit) : 0;
            int tail = position + 1 == next ? tails[inner] : NEXT;
            labels.of[lane] = !real ? -100 : tail != NEXT ? tail : id_of(words, bit + BITS);
            positions.of[lane] = position - begin;
        }
        if (at >= start && at + WIDE <= end) {
            *(Vector*)(out.tokens + at) = tokens;
            *(Vector*)(out.labels + at) = labels;
            if (out.positions) *(Vector*)(out.positions + at) = positions;
        } else {
#pragma unroll
            for (int lane = 0; lane < WIDE; lane++) {
                int position = at + lane;
                if (position < start || position >= end) continue;
                out.tokens[position] = tokens.of[lane];
                out.labels[position] = labels.of[lane];
                if (out.positions) out.positions[position] = positions.of[lane];
            }
        }
    }
}

#ifdef __CUDACC__

__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return (u32)__cvta_generic_to_shared(pointer);
}

__device__ __forceinline__ void barrier_init(u64* barrier, int count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count));
}

__device__ __forceinline__ void arrive(u64* barrier) {
    asm volatile("{ .reg .b64 t; mbarrier.arrive.shared.b64 t, [%0]; }" ::"r"(shared_address(barrier))
                 : "memory");
}

__device__ __forceinline__ void wait(u64* barrier, u32 parity) {
    u32 done = 0;
    while (!done) {
#if __CUDA_ARCH__ >= 900
        asm volatile(
            "{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
            : "=r"(done) : "r"(shared_address(barrier)), "r"(parity) : "memory");
#else
        asm volatile(
            "{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
            : "=r"(done) : "r"(shared_address(barrier)), "r"(parity) : "memory");
#endif
    }
}

// Bring the bytes from..from+bytes-1 into `slot`; `full` is told when they are there. A warp calls it.
__device__ __forceinline__ void request(u8* slot, u64 from, u32 bytes, u64* full, int lane) {
#if BULK
    if (lane == 0) {
        asm volatile("{ .reg .b64 t; mbarrier.arrive.expect_tx.shared.b64 t, [%0], %1; }" ::"r"(
                         shared_address(full)), "r"(bytes) : "memory");
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
                "r"(shared_address(slot)), "l"(from), "r"(bytes), "r"(shared_address(full)) : "memory");
    } else {
        arrive(full);
    }
#else
    // Lanes follow the lines of 128 bytes of the source: a request of a warp is whole lines.
    u32 skew = (u32)from & 127;
    for (u32 at = 16 * lane; at < skew + bytes; at += 512)
        if (at >= skew)
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                             shared_address(slot) + at - skew), "l"(from + at - skew) : "memory");
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(full)) : "memory");
#endif
}

// all_starts: of each batch's segments, then B * T; all_tails as long. Behind each batch's pieces stands
// one of no length at B * T; `count` leaves out the last of these. A batch's outputs begin `stride`
// after those of the batch before.
__device__ __forceinline__ void expand_pieces(
    const Piece* pieces, int count, const int* all_starts, const int* all_tails, OUT* tokens, OUT* labels,
    OUT* positions, u64 stride
) {
    __shared__ __align__(128) u8 slots[STAGES][SLOT];
    __shared__ Piece held[STAGES][2];
    __shared__ int starts[STAGES][HELD], tails[STAGES][HELD];
    __shared__ u64 full[STAGES], empty[STAGES];
    if (threadIdx.x == 0) {
        for (int slot = 0; slot < STAGES; slot++) {
            barrier_init(&full[slot], 32);
            barrier_init(&empty[slot], CONSUMERS);
        }
#if __CUDA_ARCH__ >= 900
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
    }
    __syncthreads();
    int turn = 0;
    if (threadIdx.x >= CONSUMERS) {
        int lane = threadIdx.x - CONSUMERS;
        for (int at = blockIdx.x; at < count; at += gridDim.x, turn++) {
            int slot = turn % STAGES;
            Piece piece = pieces[at], next = pieces[at + 1];
            if (turn >= STAGES) wait(&empty[slot], (turn / STAGES - 1) & 1);
            if (lane < 2) held[slot][lane] = lane ? next : piece;
            for (int s = lane; s < HELD && s <= next.segment - piece.segment; s += 32) {
                starts[slot][s] = all_starts[piece.segment + s];
                tails[slot][s] = all_tails[piece.segment + s];
            }
            u64 from = ADDRESS(piece.address);
            if (!from || next.start <= piece.start) {
                arrive(&full[slot]);
                continue;
            }
            u64 behind = from + (next.start - piece.start + (piece.address & MORE ? 1 : 0)) * BITS;
            u64 first = from / 8 & ~(u64)(ALIGN - 1);
            u64 end = ((behind + 7) / 8 + ALIGN - 1) & ~(u64)(ALIGN - 1);
            request(slots[slot], first, (u32)(end - first), &full[slot], lane);
        }
        return;
    }
    for (int at = blockIdx.x; at < count; at += gridDim.x, turn++) {
        int slot = turn % STAGES;
        wait(&full[slot], (turn / STAGES) & 1);
        Piece piece = held[slot][0], next = held[slot][1];
        u64 from = ADDRESS(piece.address), skip = BATCH(piece.address) * stride;
        Outputs out = {tokens + skip, labels + skip, positions ? positions + skip : positions};
        int last = next.segment - piece.segment;
        bool short_list = last < HELD;
        write_piece(
            (const u32*)slots[slot], (u32)from & (8 * ALIGN - 1), !from, piece.start, next.start,
            short_list ? starts[slot] : all_starts + piece.segment,
            short_list ? tails[slot] : all_tails + piece.segment, last, out, threadIdx.x);
        arrive(&empty[slot]);
    }
}

extern "C" __global__ void __launch_bounds__(CONSUMERS + 32) expand(
    const Piece* pieces, int count, const int* starts, const int* tails, OUT* tokens, OUT* labels,
    OUT* positions, u64 stride
) {
    expand_pieces(pieces, count, starts, tails, tokens, labels, positions, stride);
}

#endif
