// Numbers in bf16 as levels of 8 bits around ZERO, with a scale for each group of neighbours in memory.
//
// What darkroom.networks.integers.signal_levels says in torch, to the bit, in one look at memory and another where
// a group is too long for the cache. Threads are OpenMP's, whose entry is handed in.

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace {

constexpr int LANES = 32;        // numbers in bf16 in a vector
constexpr int MOST = 127;        // the largest level
constexpr float ZERO = 128;      // where 0 lies
constexpr float TINY = 1.17549435e-38f;

typedef void (*Parallel)(void (*work)(void*), void* data, unsigned threads, unsigned flags);

}  // namespace

// Of one call: `groups` of `length` numbers each, one behind the other. `most` has room for a number for each piece.
struct Job {
  const uint16_t* signal;
  uint8_t* levels;
  uint16_t *scales, *most;
  int64_t groups, length;
  int64_t piece, pieces;  // numbers that are looked at together, and how many such pieces a group has
  Parallel parallel;      // GOMP_parallel
  int64_t next;           // piece that nobody has taken yet
  int32_t threads;
};

namespace {

float wide(uint16_t x) {
  const uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

uint16_t rounded(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value) return 0x7fc0;
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

__mmask32 there(int64_t left) { return left >= LANES ? 0xffffffffu : (1u << left) - 1; }

// The largest magnitude. Without their signs numbers in bf16 are in the order of their bits, and NaN is the last.
uint16_t largest(const uint16_t* x, int64_t count) {
  const __m512i unsigned_part = _mm512_set1_epi16(0x7fff);
  __m512i most = _mm512_setzero_si512();
  for (int64_t i = 0; i < count; i += LANES) {
    const __m512i some = _mm512_maskz_loadu_epi16(there(count - i), x + i);
    most = _mm512_max_epu16(most, _mm512_and_si512(some, unsigned_part));
  }
  uint16_t lanes[LANES], found = 0;
  _mm512_storeu_si512(lanes, most);
  for (const uint16_t lane : lanes) found = lane > found ? lane : found;
  return found;
}

uint16_t scale_of(uint16_t most) {
  const float scale = wide(most) / MOST;
  return rounded(scale < TINY ? TINY : scale);
}

__m128i levels_of(__m256i half, __m512 inverse) {
  const __m512 x = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  const __m512 level = _mm512_add_ps(_mm512_mul_ps(x, inverse), _mm512_set1_ps(ZERO + 0.5f));
  return _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(level));
}

void round_off(const uint16_t* x, int64_t count, uint16_t scale, uint8_t* levels) {
  const __m512 inverse = _mm512_set1_ps(1 / wide(scale));
  for (int64_t i = 0; i < count; i += LANES) {
    const __m512i some = _mm512_maskz_loadu_epi16(there(count - i), x + i);
    const __m128i low = levels_of(_mm512_castsi512_si256(some), inverse);
    const __m128i high = levels_of(_mm512_extracti64x4_epi64(some, 1), inverse);
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    _mm256_mask_storeu_epi8(levels + i, there(count - i), both);
  }
}

int64_t start(const Job& job, int64_t i) {
  return i / job.pieces * job.length + i % job.pieces * job.piece;
}

int64_t count(const Job& job, int64_t i) {
  const int64_t left = job.length - i % job.pieces * job.piece;
  return left < job.piece ? left : job.piece;
}

void look(Job& job, int64_t i) {
  job.most[i] = largest(job.signal + start(job, i), count(job, i));
}

void settle(Job& job, int64_t group) {
  uint16_t most = 0;
  for (int64_t i = group * job.pieces; i < (group + 1) * job.pieces; ++i)
    most = job.most[i] > most ? job.most[i] : most;
  job.scales[group] = scale_of(most);
}

void round_off(Job& job, int64_t i) {
  const int64_t from = start(job, i);
  round_off(job.signal + from, count(job, i), job.scales[i / job.pieces], job.levels + from);
}

void whole(Job& job, int64_t group) {
  look(job, group);
  settle(job, group);
  round_off(job, group);
}

template <void work(Job&, int64_t)>
void share(Job& job, int64_t tasks) {
  struct All { Job* job; int64_t tasks, step; } all = {&job, tasks, 1};
  all.step = 1 + tasks / (16 * job.threads);
  const auto run = [](void* data) {
    const All& all = *(All*)data;
    for (int64_t i; (i = __atomic_fetch_add(&all.job->next, all.step, __ATOMIC_RELAXED)) < all.tasks;)
      for (int64_t k = i; k < i + all.step && k < all.tasks; ++k) work(*all.job, k);
  };
  job.next = 0;
  if (job.threads > 1 && tasks > 1) job.parallel(run, &all, job.threads, 0);
  else run(&all);
}

}  // namespace

extern "C" void darkroom_levels(Job* job) {
  if (job->pieces == 1) return share<whole>(*job, job->groups);
  share<look>(*job, job->groups * job->pieces);
  for (int64_t group = 0; group < job->groups; ++group) settle(*job, group);
  share<round_off>(*job, job->groups * job->pieces);
}
