// Attention in bf16 for processors with AVX-512 BF16: softmax(scale * Q K^T) V, block by block of keys.
//
// Dao et al. 2022 (FlashAttention, arXiv 2205.14135, algorithm 1) with the running maximum and sum of Milakov
// and Gimelshein 2018 (arXiv 1805.02867). Products of bf16 add up in single precision; weights are rounded to
// bf16 for the second product. Tiles of ROWS queries stay in registers. What is worked out for one query
// depends on that query, the keys and the values alone, so neither batch nor threads change a bit of it.
//
// Plain C interface, no library, no torch: it compiles in a second. Threads are OpenMP's, whose entry is handed
// in, so that they are those that torch works with and no second pool fights them for the cores.

#include <immintrin.h>
#include <math.h>
#include <sched.h>
#include <stdint.h>

namespace {

constexpr int LANES = 16;    // numbers of single precision in a vector
constexpr int ROWS = 8;      // queries of a tile: with three vectors of keys, 24 sums in 32 registers
constexpr int BLOCK = 384;   // keys that are looked at together
constexpr int QUERIES = 64;  // of a task: they share a block of keys while it is in the cache
constexpr int WIDEST = 512;  // largest width of a head

typedef void (*Parallel)(void (*work)(void*), void* data, unsigned threads, unsigned flags);

}  // namespace

// Of one call. Tensors are (batch, heads, length, width) with width contiguous and a multiple of 8; strides
// count numbers. `mask` has a byte for each pair, not 0 where the key counts; its keys are contiguous.
struct Job {
  const uint16_t *query, *key, *value;
  uint16_t* out;
  const uint8_t* mask;  // or null
  uint32_t* packed;     // as long as darkroom_attention_room says
  int64_t batch, heads, queries, keys, width;
  int64_t query_strides[3], key_strides[3], value_strides[3], out_strides[3], mask_strides[3];
  Parallel parallel;    // GOMP_parallel
  int64_t taken, done;  // tasks, and those of packing that are done
  float scale;          // of products, times log2(e)
  int32_t threads;
};

namespace {

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t pairs_of(const Job& job) { return job.width / 2; }
int64_t key_vectors(const Job& job) { return up(job.keys, LANES); }
int64_t value_stride(const Job& job) { return up(job.width, LANES) * LANES; }
int64_t key_room(const Job& job) { return key_vectors(job) * pairs_of(job) * LANES; }
int64_t value_room(const Job& job) { return key_vectors(job) * LANES / 2 * value_stride(job); }
uint32_t* packed_keys(const Job& job, int64_t pair) { return job.packed + pair * key_room(job); }
uint32_t* packed_values(const Job& job, int64_t pair) {
  return job.packed + job.batch * job.heads * key_room(job) + pair * value_room(job);
}

template <class T>
T* at(T* base, const Job& job, const int64_t* strides, int64_t pair, int64_t row) {
  return base + pair / job.heads * strides[0] + pair % job.heads * strides[1] + row * strides[2];
}

__m512 dot(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
__m256 dot(__m256 sum, __m256i a, __m256i b) { return _mm256_dpbf16_ps(sum, (__m256bh)a, (__m256bh)b); }

// Keys as the first product reads them: 16 keys a vector, two neighbours of the width in a lane.
void pack_keys(const Job& job, int64_t pair, int64_t vector) {
  const int64_t first = vector * LANES, left = job.keys - first, pairs = pairs_of(job);
  const __mmask16 there = left >= LANES ? 0xffff : (1u << left) - 1;
  const uint16_t* from = at(job.key, job, job.key_strides, pair, first);
  uint32_t* to = packed_keys(job, pair) + vector * pairs * LANES;
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i rows = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)job.key_strides[2]));
  for (int64_t p = 0; p < pairs; ++p)
    _mm512_storeu_si512(to + p * LANES,
                        _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), there, rows, from + 2 * p, 2));
}

// Values as the second product reads them: two neighbouring keys in a lane, along the width.
void pack_values(const Job& job, int64_t pair, int64_t vector) {
  const uint16_t* from = at(job.value, job, job.value_strides, pair, 0);
  const int64_t width = job.width, keys = job.keys, step = job.value_strides[2], stride = value_stride(job);
  uint32_t* to = packed_values(job, pair) + vector * LANES / 2 * stride;
  for (int64_t row = vector * LANES; row < (vector + 1) * LANES; row += 2, to += stride)
    for (int64_t d = 0; d < width; d += 8) {
      __m128i one = _mm_setzero_si128(), two = one;  // behind the last key
      if (row < keys) one = _mm_loadu_si128((const __m128i*)(from + row * step + d));
      if (row + 1 < keys) two = _mm_loadu_si128((const __m128i*)(from + (row + 1) * step + d));
      _mm_storeu_si128((__m128i*)(to + d), _mm_unpacklo_epi16(one, two));
      _mm_storeu_si128((__m128i*)(to + d + 4), _mm_unpackhi_epi16(one, two));
    }
}

// A tile of the first product: ROWS queries, whose pairs lie side by side, and N vectors of keys.
template <int N>
void score(const uint32_t* query, const uint32_t* keys, int64_t pairs, float* scores) {
  __m512 sum[ROWS][N];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[r][n] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; ++p) {
    __m512i key[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) key[n] = _mm512_loadu_si512(keys + (n * pairs + p) * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const __m512i one = _mm512_set1_epi32((int)query[p * ROWS + r]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[r][n] = dot(sum[r][n], one, key[n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) _mm512_storeu_ps(scores + r * BLOCK + n * LANES, sum[r][n]);
}

void score_block(const uint32_t* query, const uint32_t* keys, int64_t pairs, int64_t vectors, float* scores) {
  for (int64_t n = 0; n < vectors; n += 3, keys += 3 * pairs * LANES, scores += 3 * LANES) switch (vectors - n) {
      case 1: score<1>(query, keys, pairs, scores); break;
      case 2: score<2>(query, keys, pairs, scores); break;
      default: score<3>(query, keys, pairs, scores);
    }
}

// A tile of the second product, added to what is left of `out`, N vectors of the width; HALF: the last has 8 numbers.
template <int N, bool HALF>
void add(const uint32_t* weights, const uint32_t* values, int64_t pairs, int64_t stride, const float* shrink,
         float* out) {
  constexpr int W = HALF ? N - 1 : N;
  __m512 sum[ROWS][W ? W : 1];
  __m256 half[ROWS];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < W; ++n)
      sum[r][n] = _mm512_mul_ps(_mm512_set1_ps(shrink[r]), _mm512_loadu_ps(out + r * stride + n * LANES));
    if (HALF) half[r] = _mm256_mul_ps(_mm256_set1_ps(shrink[r]), _mm256_loadu_ps(out + r * stride + W * LANES));
  }
  for (int64_t p = 0; p < pairs; ++p) {
    const uint32_t* from = values + p * stride;
    __m512i value[W ? W : 1];
    __m256i last;
#pragma GCC unroll 8
    for (int n = 0; n < W; ++n) value[n] = _mm512_loadu_si512(from + n * LANES);
    if (HALF) last = _mm256_loadu_si256((const __m256i*)(from + W * LANES));
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const __m512i one = _mm512_set1_epi32((int)weights[r * (BLOCK / 2) + p]);
#pragma GCC unroll 8
      for (int n = 0; n < W; ++n) sum[r][n] = dot(sum[r][n], one, value[n]);
      if (HALF) half[r] = dot(half[r], _mm512_castsi512_si256(one), last);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < W; ++n) _mm512_storeu_ps(out + r * stride + n * LANES, sum[r][n]);
    if (HALF) _mm256_storeu_ps(out + r * stride + W * LANES, half[r]);
  }
}

void add_block(const uint32_t* weights, const uint32_t* values, int64_t pairs, int64_t width, int64_t stride,
               const float* shrink, float* out) {
  int64_t d = 0;
  for (; d + 48 <= width; d += 48) add<3, false>(weights, values + d, pairs, stride, shrink, out + d);
  switch ((width - d) / 8) {
    case 5: add<3, true>(weights, values + d, pairs, stride, shrink, out + d); break;
    case 4: add<2, false>(weights, values + d, pairs, stride, shrink, out + d); break;
    case 3: add<2, true>(weights, values + d, pairs, stride, shrink, out + d); break;
    case 2: add<1, false>(weights, values + d, pairs, stride, shrink, out + d); break;
    case 1: add<1, true>(weights, values + d, pairs, stride, shrink, out + d); break;
  }
}

// 2^x for x <= 0: 2^n times a polynomial of the rest in [-1/2, 1/2], off by at most 3e-6 of it (minimax, with
// 1 at 0), where bf16 rounds by up to 4e-3
__m512 exp2(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-200.0f), x);  // in this order NaN stays
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 power = _mm512_set1_ps(0.009582853f);
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.05590642f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.2402410f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.6931242f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(power, whole);
}

// Taken apart before they are scaled, as even the largest score must not come out above 0.
__m512 weight(__m512 scores, float base, float scale) {
  return exp2(_mm512_mul_ps(_mm512_sub_ps(scores, _mm512_set1_ps(base)), _mm512_set1_ps(scale)));
}

// A row of scores becomes weights in bf16; returns by how much what was added before must shrink.
float weigh(float* scores, int64_t vectors, float scale, float* top, float* sums, uint32_t* weights) {
  __m512 most = _mm512_set1_ps(-INFINITY);
  for (int64_t n = 0; n < vectors; ++n) most = _mm512_max_ps(most, _mm512_loadu_ps(scores + n * LANES));
  const float high = _mm512_reduce_max_ps(most);
  const float now = high > *top ? high : *top;
  const float base = now == -INFINITY ? 0 : now;  // where no key counts, nor will weights
  const float shrink = _mm512_cvtss_f32(weight(_mm512_set1_ps(*top), base, scale));
  __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(sums), _mm512_set1_ps(shrink));
  const __m512i ones = _mm512_set1_epi32(0x3f803f80);  // weights add up as rounded, so that shares make 1
  int64_t n = 0;
  for (; n + 2 <= vectors; n += 2) {
    const __m512 one = weight(_mm512_loadu_ps(scores + n * LANES), base, scale);
    const __m512 two = weight(_mm512_loadu_ps(scores + (n + 1) * LANES), base, scale);
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(two, one);
    sum = dot(sum, both, ones);
    _mm512_storeu_si512(weights + n * LANES / 2, both);
  }
  if (n < vectors) {
    const __m512 one = weight(_mm512_loadu_ps(scores + n * LANES), base, scale);
    const __m256i last = (__m256i)_mm512_cvtneps_pbh(one);
    sum = dot(sum, _mm512_zextsi256_si512(last), ones);
    _mm256_storeu_si256((__m256i*)(weights + n * LANES / 2), last);
  }
  _mm512_storeu_ps(sums, sum);
  *top = now;
  return shrink;
}

// Scores of keys that do not count become -infinity; `mask` may be null, `count` keys are there.
void hide(float* scores, const uint8_t* mask, int64_t count) {
  for (int64_t n = 0; n * LANES < count; ++n) {
    const int64_t left = count - n * LANES;
    __mmask16 seen = left >= LANES ? 0xffff : (1u << left) - 1;
    if (mask) {
      const __m128i bytes = _mm_maskz_loadu_epi8(seen, mask + n * LANES);
      seen = _mm_test_epi8_mask(bytes, bytes);
    } else if (left >= LANES) {
      continue;
    }
    float* at = scores + n * LANES;
    _mm512_storeu_ps(at, _mm512_mask_blend_ps(seen, _mm512_set1_ps(-INFINITY), _mm512_loadu_ps(at)));
  }
}

struct Rows {  // ROWS queries on their way; all state of a task is an array of these
  alignas(64) float out[ROWS * WIDEST];
  alignas(64) uint32_t query[ROWS * WIDEST / 2];
  alignas(64) float sums[ROWS * LANES];
  float top[ROWS];
};

void start(const Job& job, int64_t pair, int64_t first, Rows& rows) {
  const int64_t pairs = pairs_of(job);
  for (int r = 0; r < ROWS; ++r) {
    const bool there = first + r < job.queries;
    const uint16_t* from = at(job.query, job, job.query_strides, pair, there ? first + r : 0);
    for (int64_t p = 0; p < pairs; ++p)
      rows.query[p * ROWS + r] = there ? from[2 * p] | (uint32_t)from[2 * p + 1] << 16 : 0;
    rows.top[r] = -INFINITY;
  }
  for (int64_t i = 0; i < ROWS * value_stride(job); ++i) rows.out[i] = 0;
  for (int i = 0; i < ROWS * LANES; ++i) rows.sums[i] = 0;
}

void look(const Job& job, int64_t pair, int64_t first, int64_t block, Rows& rows) {
  alignas(64) float scores[ROWS * BLOCK];
  alignas(64) uint32_t weights[ROWS * BLOCK / 2];
  float shrink[ROWS];
  const int64_t from = block * BLOCK, pairs = pairs_of(job), stride = value_stride(job);
  const int64_t count = job.keys - from < BLOCK ? job.keys - from : BLOCK;
  const int64_t vectors = up(count, LANES);
  score_block(rows.query, packed_keys(job, pair) + from * pairs, pairs, vectors, scores);
  for (int r = 0; r < ROWS; ++r) {
    const bool masked = job.mask && first + r < job.queries;
    const uint8_t* mask = masked ? at(job.mask, job, job.mask_strides, pair, first + r) + from : nullptr;
    if (masked || count % LANES) hide(scores + r * BLOCK, mask, count);
    shrink[r] = weigh(scores + r * BLOCK, vectors, job.scale, rows.top + r, rows.sums + r * LANES,
                      weights + r * BLOCK / 2);
  }
  add_block(weights, packed_values(job, pair) + from / 2 * stride, vectors * LANES / 2, job.width,
            stride, shrink, rows.out);
}

void finish(const Job& job, int64_t pair, int64_t first, const Rows& rows) {
  for (int r = 0; r < ROWS && first + r < job.queries; ++r) {
    uint16_t* to = at(job.out, job, job.out_strides, pair, first + r);
    const float sum = _mm512_reduce_add_ps(_mm512_loadu_ps(rows.sums + r * LANES));
    const __m256 share = _mm256_set1_ps(sum == 0 ? 0 : 1 / sum);  // where no key counts, nothing is seen
    for (int64_t d = 0; d < job.width; d += 8) {
      const __m256 seen = _mm256_mul_ps(_mm256_loadu_ps(rows.out + r * value_stride(job) + d), share);
      _mm_storeu_si128((__m128i*)(to + d), (__m128i)_mm256_cvtneps_pbh(seen));
    }
  }
}

void attend(const Job& job, int64_t pair, int64_t task) {
  Rows rows[QUERIES / ROWS];
  const int64_t first = task * QUERIES, left = job.queries - first;
  const int64_t tiles = up(left < QUERIES ? left : QUERIES, ROWS);
  for (int64_t i = 0; i < tiles; ++i) start(job, pair, first + i * ROWS, rows[i]);
  for (int64_t block = 0; block * BLOCK < job.keys; ++block)
    for (int64_t i = 0; i < tiles; ++i) look(job, pair, first + i * ROWS, block, rows[i]);
  for (int64_t i = 0; i < tiles; ++i) finish(job, pair, first + i * ROWS, rows[i]);
}

void pack(const Job& job, int64_t pair, int64_t task) {
  const int64_t end = (task + 1) * BLOCK / LANES;
  for (int64_t i = task * BLOCK / LANES; i < end && i < key_vectors(job); ++i) {
    pack_keys(job, pair, i);
    pack_values(job, pair, i);
  }
}

// What every thread does: take tasks, first of packing, then, once all of that is done, of attention.
void work(void* data) {
  Job& job = *(Job*)data;
  const int64_t heads = job.batch * job.heads;
  const int64_t blocks = up(job.keys, BLOCK), packs = heads * blocks, parts = up(job.queries, QUERIES);
  for (int64_t i; (i = __atomic_fetch_add(&job.taken, 1, __ATOMIC_RELAXED)) < packs + heads * parts;) {
    if (i < packs) {
      pack(job, i / blocks, i % blocks);
      __atomic_fetch_add(&job.done, 1, __ATOMIC_RELEASE);
    } else {
      while (__atomic_load_n(&job.done, __ATOMIC_ACQUIRE) < packs) sched_yield();
      attend(job, (i - packs) / parts, (i - packs) % parts);
    }
  }
}

}  // namespace

extern "C" int64_t darkroom_attention_room(const Job* job) {
  return job->batch * job->heads * (key_room(*job) + value_room(*job));
}

extern "C" void darkroom_attention(Job* job) {
  job->taken = job->done = 0;
  if (job->threads > 1) job->parallel(work, job, job->threads, 0);
  else work(job);
}
