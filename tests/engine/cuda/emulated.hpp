// The names of primitives.cuh on a CPU: every GPU thread is a fiber, all blocks are resident, and the order in
// which fibers run is random, so that a missing barrier shows. Copies into shared memory arrive late.
#pragma once
#define PRIMITIVES_CUH

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <unordered_map>
#include <vector>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#define DEVICE inline
#define ANYWHERE
#define DEVICE_CALL inline
#define __align__(n) alignas(n)
#define __grid_constant__
#define KERNEL(threads, blocks) static
#define INFINITY_BITS INFINITY

struct alignas(16) Quad { u32 x, y, z, w; };
struct alignas(8) Packet { u32 value, epoch; };
struct alignas(16) Fours { float v[4]; };
#define SPIN_LIMIT (1u << 20)

namespace machine {
struct Meeting {  // a barrier of `size` fibers at which each leaves a value
  int size = 0, arrived = 0;
  u64 round = 0;
  u64 left[2][32][6];
};
struct CopyBarrier {
  int expected = 0, pending = 0;
  long bytes = 0;
  u32 phase = 0;
};
struct Block {
  std::vector<u8> shared;
  std::vector<Meeting> warps;
  Meeting all, consumers;
  std::unordered_map<u64*, CopyBarrier> barriers;
};
struct OwnCopy {  // of one thread, into its `group`
  void* to;
  const void* from;
  int bytes, there, group;
};
struct Fiber {
  ucontext_t context;
  int thread, block;
  bool done = false;
  std::vector<OwnCopy> copies;
  int group = 0;
};
struct Copy {
  void* to;
  const void* from;
  u32 bytes;
  CopyBarrier* barrier;
};

inline std::vector<Block> blocks;
inline std::vector<Fiber> fibers;
inline std::vector<Copy> copies;
inline Fiber* now;
inline ucontext_t scheduler;
inline std::mt19937 dice(1);
inline bool failed;
inline std::function<void()> body;

inline Block& here() { return blocks[now->block]; }
inline void yield() { swapcontext(&now->context, &scheduler); }
inline void trap(const char* why) {
  if (!failed) fprintf(stderr, "emulated: %s in block %d thread %d\n", why, now->block, now->thread);
  failed = true;
  for (;;) yield();
}
inline void settle(CopyBarrier& barrier) {
  if (barrier.pending == 0 && barrier.bytes == 0) {
    barrier.phase ^= 1;
    barrier.pending = barrier.expected;
  }
}
inline void meet(Meeting& meeting) {
  const u64 round = meeting.round;
  if (++meeting.arrived == meeting.size) {
    meeting.arrived = 0;
    ++meeting.round;
  }
  while (meeting.round == round && !failed) yield();
  if (failed) trap("another fiber failed");
}
inline Meeting& my_warp() { return here().warps[now->thread / 32]; }
inline u64 exchange(u64 value, int source) {
  Meeting& w = my_warp();
  const u64 round = w.round & 1;
  w.left[round][now->thread % 32][0] = value;
  meet(w);
  return w.left[round][source][0];
}
inline void deliver() {
  while (!copies.empty() && dice() % 3) {
    const size_t i = dice() % copies.size();
    const Copy c = copies[i];
    copies[i] = copies.back();
    copies.pop_back();
    memcpy(c.to, c.from, c.bytes);
    c.barrier->bytes -= c.bytes;
    settle(*c.barrier);
  }
}
inline void start() {
  body();
  now->done = true;
  for (;;) yield();
}

// Runs `kernel` on block_count blocks of thread_count threads; false where it deadlocked or failed.
inline bool run(int block_count, int thread_count, int consumers, size_t shared_bytes, std::function<void()> kernel) {
  body = kernel;
  failed = false;
  blocks.assign(block_count, Block());
  copies.clear();
  for (Block& b : blocks) {
    b.shared.assign(shared_bytes + 128, 0xff);
    b.warps.resize(thread_count / 32);
    for (Meeting& w : b.warps) w.size = 32;
    b.all.size = thread_count;
    b.consumers.size = consumers;
  }
  constexpr size_t STACK = 64 * 1024;
  static std::vector<u8> stacks;
  stacks.resize(STACK * block_count * thread_count);
  fibers.assign((size_t)block_count * thread_count, Fiber());
  for (size_t i = 0; i < fibers.size(); ++i) {
    Fiber& f = fibers[i];
    f.thread = i % thread_count;
    f.block = i / thread_count;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = &stacks[STACK * i];
    f.context.uc_stack.ss_size = STACK;
    makecontext(&f.context, start, 0);
  }
  size_t left = fibers.size();
  while (left && !failed) {
    left = 0;
    for (Fiber& f : fibers) {
      if (f.done) continue;
      ++left;
      if (dice() % 4 == 0) continue;  // no order is promised
      now = &f;
      swapcontext(&scheduler, &f.context);
    }
    deliver();
  }
  return !failed;
}
}  // namespace machine

inline int thread() { return machine::now->thread; }
inline int block() { return machine::now->block; }
inline u8* shared_memory() { return (u8*)(((uintptr_t)machine::here().shared.data() + 127) & ~(uintptr_t)127); }
inline u64 ticks() { return 0; }
inline void trap() { machine::trap("a wait never ended"); }
inline void warp_barrier() { machine::meet(machine::my_warp()); }
inline void block_barrier() { machine::meet(machine::here().all); }
inline void consumer_barrier() { machine::meet(machine::here().consumers); }

inline u32 float_bits(float value) { u32 b; memcpy(&b, &value, 4); return b; }
inline float bits_float(u32 bits) { float f; memcpy(&f, &bits, 4); return f; }
inline float shuffle_xor(float value, int mask) {
  return bits_float((u32)machine::exchange(float_bits(value), (thread() & 31) ^ mask));
}
inline int shuffle_xor(int value, int mask) { return (int)machine::exchange((u32)value, (thread() & 31) ^ mask); }
inline float shuffle_from(float value, int lane) { return bits_float((u32)machine::exchange(float_bits(value), lane)); }
inline int shuffle_from(int value, int lane) { return (int)machine::exchange((u32)value, lane); }
inline u32 max_lanes(u32 value) {
  machine::exchange(value, 0);
  machine::Meeting& w = machine::my_warp();
  u32 top = 0;
  for (auto& left : w.left[(w.round & 1) ^ 1]) top = left[0] > top ? (u32)left[0] : top;
  return top;
}
inline u32 transpose8(u32 pair) {
  machine::exchange(pair, 0);
  machine::Meeting& w = machine::my_warp();
  auto& left = w.left[(w.round & 1) ^ 1];
  const int g = (thread() & 31) >> 2, t = thread() & 3, shift = (g & 1) * 16;
  const u32 low = (u32)left[2 * t * 4 + g / 2][0] >> shift, high = (u32)left[(2 * t + 1) * 4 + g / 2][0] >> shift;
  return (low & 0xffff) | high << 16;
}
inline float exp2_fast(float x) { return exp2f(x); }
inline float log2_fast(float x) { return log2f(x); }
inline float reciprocal_root(float x) { return 1 / sqrtf(x); }
inline float divide(float a, float b) { return a / b; }
inline void sine_cosine(float x, float* sine, float* cosine) { *sine = sinf(x); *cosine = cosf(x); }

inline u16 half_bits(float value) { _Float16 h = (_Float16)value; u16 b; memcpy(&b, &h, 2); return b; }
inline float real_half_float(u16 bits) { _Float16 h; memcpy(&h, &bits, 2); return (float)h; }
#if BF16
inline float half_float(u16 bits) { return bits_float((u32)bits << 16); }
inline u16 short_bits(float value) {
  const u32 b = float_bits(value);
  return (u16)((b + 0x7fff + ((b >> 16) & 1)) >> 16);
}
#else
inline float half_float(u16 bits) { return real_half_float(bits); }
inline u16 short_bits(float value) { return half_bits(value); }
#endif
inline u32 pack2(float low, float high) { return short_bits(low) | (u32)short_bits(high) << 16; }
inline u32 and_or(u32 a, u32 mask, u32 bits) { return (a & mask) | bits; }
inline u32 permute_bytes(u32 a, u32 b, u32 selector) {
  const u64 both = (u64)b << 32 | a;
  u32 out = 0;
  for (int i = 0; i < 4; ++i) out |= (u32)((both >> (8 * ((selector >> (4 * i)) & 7))) & 255) << (8 * i);
  return out;
}
inline u32 subtract_halves(u32 a, u32 b) {
  u32 d = 0;
  for (int shift = 0; shift < 32; shift += 16)
    d |= (u32)half_bits(real_half_float((u16)(a >> shift)) - real_half_float((u16)(b >> shift))) << shift;
  return d;
}
inline int nearest_integer(float x) { return std::isfinite(x) ? (int)nearbyintf(x) : 0; }
inline u32 fp8_to_halves(u32 pair) {
  u32 d = 0;
  for (int i = 0; i < 2; ++i) {
    const int code = pair >> (8 * i) & 255, exponent = code >> 3 & 15;
    const float size = exponent ? ldexpf(8 + (code & 7), exponent - 10) : ldexpf(code & 7, -9);
    d |= (u32)half_bits((code & 127) == 127 ? NAN : code & 128 ? -size : size) << (16 * i);
  }
  return d;
}
inline u32 fp8_of(float x) {
  if (std::isnan(x)) return 127;
  int exponent;
  frexpf(fabsf(x), &exponent);
  const float step = ldexpf(1, std::max(exponent - 4, -9)), size = std::min(nearbyintf(fabsf(x) / step) * step, 448.0f);
  for (int code = 0; code < 127; ++code)
    if (real_half_float((u16)fp8_to_halves(code)) == size) return code | (x < 0 ? 128 : 0);
  return 127;
}
inline void multiply_accumulate(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  machine::Meeting& w = machine::my_warp();
  const int round = w.round & 1, lane = thread() & 31, g = lane >> 2, t = lane & 3;
  const u32 mine[6] = {a0, a1, a2, a3, b0, b1};
  for (int i = 0; i < 6; ++i) w.left[round][lane][i] = mine[i];
  machine::meet(w);
  for (int i = 0; i < 4; ++i) {
    const int row = g + (i >> 1) * 8, column = 2 * t + (i & 1);
    for (int k = 0; k < 16; ++k) {
      const int quad = k % 8 / 2, part = k / 8, shift = (k & 1) * 16;
      const u32 a = (u32)w.left[round][(row % 8) * 4 + quad][part * 2 + row / 8];
      const u32 b = (u32)w.left[round][column * 4 + quad][4 + part];
      d[i] += half_float((u16)(a >> shift)) * half_float((u16)(b >> shift));
    }
  }
}

template <class T>
inline T ld_relaxed_gpu(const T* from) {
  machine::yield();
  return *from;
}
inline Quad ld_relaxed_gpu_b128(const Quad* from) { return ld_relaxed_gpu(from); }
inline void st_relaxed_gpu_b128(Quad* to, const Quad& q) { *to = q; }
inline void st_relaxed_gpu(u32* to, u32 value) { *to = value; }
inline void st_relaxed_gpu(Packet* to, u32 value, u32 epoch) { *to = {value, epoch}; }

inline u32 load_shared(const u32* from) {
  machine::yield();
  return *from;
}
inline void store_shared(u32* to, u32 value) { *to = value; }
inline void barrier_init(u64* barrier, u32 arrivals) { machine::here().barriers[barrier] = {(int)arrivals, (int)arrivals}; }
inline void barrier_init_done() {}
inline void barrier_arrive(u64* barrier, u32 count) {
  machine::CopyBarrier& b = machine::here().barriers.at(barrier);
  b.pending -= count;
  if (b.pending < 0) machine::trap("too many arrivals");
  machine::settle(b);
}
inline void barrier_expect(u64* barrier, u32 bytes) {
  machine::here().barriers.at(barrier).bytes += bytes;
  barrier_arrive(barrier, 1);
}
inline void barrier_wait(u64* barrier, u32 parity) {
  machine::CopyBarrier& b = machine::here().barriers.at(barrier);
  for (u32 spins = 0; b.phase == parity; ++spins) {
    machine::yield();
    if (spins > SPIN_LIMIT) trap();
  }
}
inline u64 passing() { return 0; }
inline void copy_bulk(void* to, const void* from, u32 bytes, u64* barrier, u64) {
  if (bytes % 16 || (uintptr_t)to % 16 || (uintptr_t)from % 16) machine::trap("a copy that is not aligned");
  machine::copies.push_back({to, from, bytes, &machine::here().barriers.at(barrier)});
}
inline void prefetch_bulk(const void* from, u32 bytes) {
  if (bytes % 16 || (uintptr_t)from % 16) machine::trap("a prefetch that is not aligned");
}
template <int BYTES, bool CACHED = false>
inline void copy_async(void* to, const void* from, int there) {
  if (there < 0 || there > BYTES) machine::trap("a copy of more than there is");
  if ((uintptr_t)to % BYTES || (uintptr_t)from % BYTES) machine::trap("a copy that is not aligned");
  machine::now->copies.push_back({to, from, BYTES, there, machine::now->group});
}
inline void copy_commit() { ++machine::now->group; }
template <int LATER>
inline void copy_wait() {  // nothing arrives before it is waited for
  std::vector<machine::OwnCopy> later;
  for (const machine::OwnCopy& c : machine::now->copies) {
    if (c.group >= machine::now->group - LATER) later.push_back(c);
    else memcpy(memset(c.to, 0, c.bytes), c.from, c.there);
  }
  machine::now->copies = later;
}
inline void wait_for_predecessor() {}
inline void let_successor_start() {}
