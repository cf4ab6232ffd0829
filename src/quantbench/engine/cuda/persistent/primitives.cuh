// The machine's instructions under readable names; no algorithm is here. Needs no header, so that the
// run-time compiler alone is enough. Everything that includes this file is plain C++ and also runs where these
// names are emulated on a CPU.
#ifndef PRIMITIVES_CUH  // an emulator of the machine defines it
#define PRIMITIVES_CUH

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__
#define ANYWHERE __host__ __device__
#define DEVICE_CALL __device__ __noinline__  // kept out of the way of what runs every layer

struct __align__(16) Quad { u32 x, y, z, w; };       // 16 bytes
struct __align__(8) Packet { u32 value, epoch; };    // a value that says itself whether it is new
struct __align__(16) Fours { float v[4]; };

#ifndef SPIN_LIMIT
#define SPIN_LIMIT (1u << 24)  // polls before a wait is given up as a deadlock
#endif

DEVICE int thread() { return threadIdx.x; }
DEVICE int block() { return blockIdx.x; }

extern __shared__ __align__(128) u8 dynamic_shared[];
DEVICE u8* shared_memory() { return dynamic_shared; }
DEVICE u32 shared_address(const void* pointer) { return (u32)__cvta_generic_to_shared(pointer); }

DEVICE u64 ticks() { return clock64(); }
DEVICE void trap() { __trap(); }
DEVICE void warp_barrier() { __syncwarp(); }
DEVICE void block_barrier() { __syncthreads(); }
DEVICE void consumer_barrier() { asm volatile("bar.sync 1, %0;" ::"n"(WARPS * 32) : "memory"); }

DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
DEVICE int shuffle_xor(int value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }

DEVICE float shuffle_from(float value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
DEVICE int shuffle_from(int value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }

DEVICE u32 max_lanes(u32 value) { return __reduce_max_sync(0xffffffffu, value); }
// Lane 4 g + t holds elements (g, 2 t) and (g, 2 t + 1) of an 8 x 8 matrix of 16-bit values: the same of its transpose.
DEVICE u32 transpose8(u32 pair) {
  u32 d;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d) : "r"(pair));
  return d;
}

DEVICE u32 float_bits(float value) { return __float_as_uint(value); }
DEVICE float bits_float(u32 bits) { return __uint_as_float(bits); }
DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float log2_fast(float x) { return __log2f(x); }
DEVICE float reciprocal_root(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float divide(float a, float b) { return __fdividef(a, b); }
DEVICE void sine_cosine(float x, float* sine, float* cosine) { sincosf(x, sine, cosine); }

// Two 16-bit floats in one word, the first in the low half.
DEVICE u32 pack2(float low, float high) {
  u32 word;
#if BF16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#endif
  return word;
}
DEVICE float half_float(u16 bits) {
#if BF16
  return __uint_as_float((u32)bits << 16);
#else
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#endif
}
DEVICE float real_half_float(u16 bits) {  // always float16: the scales of 4-bit weights
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
DEVICE u32 and_or(u32 a, u32 mask, u32 bits) {  // (a & mask) | bits
  u32 d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "r"(mask), "r"(bits));
  return d;
}
DEVICE u32 permute_bytes(u32 a, u32 b, u32 selector) { return __byte_perm(a, b, selector); }
DEVICE u32 subtract_halves(u32 a, u32 b) {  // two float16 each
  u32 d;
  asm("sub.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
DEVICE int nearest_integer(float x) { return __float2int_rn(x); }
// fp8 is e4m3. Two of them in the low half of a word, as float16.
DEVICE u32 fp8_to_halves(u32 pair) {
  u32 d;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(d) : "h"((u16)pair));
  return d;
}
DEVICE u32 fp8_of(float x) {
  u16 d;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(d) : "f"(0.0f), "f"(x));
  return d;
}

// d[16 x 8] += a[16 x 16] b[16 x 8], one warp. Lane 4 g + t holds a rows g (a0, a2) and g + 8 (a1, a3),
// b column g, d rows g (0, 1) and g + 8 (2, 3) of columns 2 t and 2 t + 1.
DEVICE void multiply_accumulate(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if BF16
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
#endif
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Between blocks values travel through the second-level cache, in words or pairs of words that arrive whole.
DEVICE Quad ld_relaxed_gpu(const Quad* from) {
  Quad q;
  asm volatile("ld.relaxed.gpu.global.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
               : "l"(from)
               : "memory");
  return q;
}
// 16 bytes as one: a reader sees all of a store or nothing of it.
DEVICE Quad ld_relaxed_gpu_b128(const Quad* from) {
  u64 low, high;
  asm volatile("{ .reg .b128 q; ld.relaxed.gpu.global.b128 q, [%2]; mov.b128 {%0, %1}, q; }"
               : "=l"(low), "=l"(high)
               : "l"(from)
               : "memory");
  return {(u32)low, (u32)(low >> 32), (u32)high, (u32)(high >> 32)};
}
DEVICE void st_relaxed_gpu_b128(Quad* to, const Quad& q) {
  asm volatile("{ .reg .b128 q; mov.b128 q, {%1, %2}; st.relaxed.gpu.global.b128 [%0], q; }" ::"l"(to),
               "l"((u64)q.y << 32 | q.x), "l"((u64)q.w << 32 | q.z)
               : "memory");
}
DEVICE Packet ld_relaxed_gpu(const Packet* from) {
  u64 both;
  asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];" : "=l"(both) : "l"(from) : "memory");
  return {(u32)both, (u32)(both >> 32)};
}
DEVICE u32 ld_relaxed_gpu(const u32* from) {
  u32 word;
  asm volatile("ld.relaxed.gpu.global.b32 %0, [%1];" : "=r"(word) : "l"(from) : "memory");
  return word;
}
DEVICE void st_relaxed_gpu(u32* to, u32 value) {
  asm volatile("st.relaxed.gpu.global.b32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}
DEVICE void st_relaxed_gpu(Packet* to, u32 value, u32 epoch) {
  asm volatile("st.relaxed.gpu.global.b64 [%0], %1;" ::"l"(to), "l"((u64)epoch << 32 | value) : "memory");
}

// Shared memory that another warp writes meanwhile.
DEVICE u32 load_shared(const u32* from) { return *(const volatile u32*)from; }
DEVICE void store_shared(u32* to, u32 value) { *(volatile u32*)to = value; }

// Barriers in shared memory that count arrivals and arriving bytes.
DEVICE void barrier_init(u64* barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
DEVICE void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void barrier_expect(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
DEVICE void barrier_arrive(u64* barrier, u32 count) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
DEVICE void barrier_wait(u64* barrier, u32 parity) {
  u32 address = shared_address(barrier), done = 0;
  for (u32 spins = 0; !done; ++spins) {
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(address), "r"(parity)
        : "memory");
    if (spins > SPIN_LIMIT) trap();
  }
}
// Copies bytes (a multiple of 16) from device to shared memory; the barrier counts them as they arrive.
// Weights pass through the second-level cache as what is the first to go, so that all else of a step stays there.
DEVICE u64 passing() {
  u64 policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
DEVICE void copy_bulk(void* to, const void* from, u32 bytes, u64* barrier, u64 policy) {
  const u32 target = shared_address(to), waiting = shared_address(barrier);
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;"
      ::"r"(target), "l"(from), "r"(bytes), "r"(waiting), "l"(policy)
      : "memory");
}

// Asks for bytes (a multiple of 16, at an address that is one) to be brought into the second-level cache.
DEVICE void prefetch_bulk(const void* from, u32 bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

// A thread's own copies into shared memory: 4, 8 or 16 bytes, zeros behind the first `there` of them. Copies are waited for
// in the groups in which they were committed.
template <int BYTES, bool CACHED = false>
DEVICE void copy_async(void* to, const void* from, int there) {
  const u32 target = shared_address(to);
  if (BYTES == 16 && !CACHED)
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(target), "l"(from), "r"(there)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(from), "n"(BYTES), "r"(there)
                 : "memory");
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LATER>
DEVICE void copy_wait() {  // for all but the LATER newest groups
  asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
}

// Between kernels of one stream, where the launch asks for it: nothing that the one before writes may be read before.
DEVICE void wait_for_predecessor() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
DEVICE void let_successor_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

#define KERNEL(threads, blocks) extern "C" __global__ __launch_bounds__(threads, blocks)
#define INFINITY_BITS __int_as_float(0x7f800000)

#endif
