// The ring of tiles in shared memory through which a block's rows stream: one warp copies ahead, the others
// multiply. Since weights do not depend on activations, the ring fills while the blocks wait for each other.
#pragma once
#include "shared.cuh"

struct Ring {
  u8* slots;
  u64* full;
  u64* empty;
  u32* round;  // of each slot: which of its tiles it holds or is about to
  u32 next;  // tiles that have gone through, counted alike by all warps

  DEVICE void begin_shared() {
#pragma unroll 1
    for (int i = 0; i < SLOTS; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, WARPS);
      round[i] = 0;
    }
    barrier_init_done();
  }
  // For warps that wait for every tile in turn.
  DEVICE const u8* wait_next(u32 tile) const {
    barrier_wait(full + tile % SLOTS, (tile / SLOTS) & 1);
    return slots + (tile % SLOTS) * SLOT_BYTES;
  }
  // The same for a tile and the next at once: half of the lanes wait for each.
  DEVICE void wait_two(u32 tile, const u8*& slot, const u8*& next_slot) const {
    wait_next(tile + (lane() & 1));
    warp_barrier();
    slot = slots + (tile % SLOTS) * SLOT_BYTES;
    next_slot = slots + ((tile + 1) % SLOTS) * SLOT_BYTES;
  }
  // For warps that skip tiles. A barrier tells only odd rounds from even ones, and a warp that skipped tiles may be
  // several rounds ahead of the copying warp: so first the round, then the barrier.
  DEVICE u8* wait_full(u32 tile) {
    for (u32 spins = 0; load_shared(round + tile % SLOTS) != tile / SLOTS; ++spins)
      if (spins > SPIN_LIMIT) trap();
    barrier_wait(full + tile % SLOTS, (tile / SLOTS) & 1);
    return slots + (tile % SLOTS) * SLOT_BYTES;
  }
  DEVICE void release(u32 tile, u32 weight) const {
    warp_barrier();
    if (lane() == 0) barrier_arrive(empty + tile % SLOTS, weight);
  }
};

// Tiles of a layer on their way at once, at most: more of them would come no sooner, but what blocks hand to each
// other would queue behind them.
constexpr u32 IN_FLIGHT = least(SLOTS, most(1, IN_FLIGHT_BYTES / SLOT_BYTES));

// The copying warp: all tiles of this block of one matrix, in the order tile by tile, chunk by chunk.
template <class S, u32 FLIGHT = IN_FLIGHT>
DEVICE void stream(Ring& ring, const u8* matrix, RowRange own, u64 policy) {
  const int tiles = S::tiles(own);
  for (int m = 0; m < tiles; ++m) {
    const int outputs = least(S::TILE_OUT, own.count - m * S::TILE_OUT);
    const u8* start = matrix + (long long)(own.first + m * S::TILE_OUT) * S::ROW_BYTES;
    for (int c = 0; c < S::CHUNKS; ++c, ++ring.next) {
      const u32 slot = ring.next % SLOTS, round = ring.next / SLOTS;
      const int units = least(S::CHUNK, S::UNITS - c * S::CHUNK);
      const u32 data = units * S::UNIT_BYTES, scales = S::scale_bytes(units);
      const u32 row = S::CHUNKS == 1 ? S::ROW_BYTES : data + scales;
      if (round > 0) barrier_wait(ring.empty + slot, (round - 1) & 1);
      if (FLIGHT < SLOTS && ring.next >= FLIGHT) ring.wait_next(ring.next - FLIGHT);
      if (lane() == 0) store_shared(ring.round + slot, round);
      if (lane() == 0) barrier_expect(ring.full + slot, outputs * (S::PAIRED ? 2 : 1) * row);
      warp_barrier();
      u8* target = ring.slots + slot * SLOT_BYTES;
      if (S::CHUNKS == 1) {
        const u8* source = start + (lane() ? (long long)S::OUT * S::ROW_BYTES : 0);  // lane 1: the up rows
        if (lane() < (S::PAIRED ? 2 : 1))
          copy_bulk(target + lane() * 8 * S::STRIDE, source, outputs * S::ROW_BYTES, ring.full + slot, policy);
        continue;
      }
      const int i = lane() & 15;  // row of the tile
      if ((S::PAIRED ? i & 7 : i) >= outputs) continue;
      const u8* source = start + (long long)(S::PAIRED ? (i & 7) + (i >> 3) * S::OUT : i) * S::ROW_BYTES;
      target += i * S::STRIDE;
      if (lane() < 16) {
        copy_bulk(target, source + c * S::CHUNK * S::UNIT_BYTES, data, ring.full + slot, policy);
      } else if (S::GROUPS) {
        source += S::DATA_BYTES + S::scale_place(c * S::CHUNK);
        copy_bulk(target + data, source, scales, ring.full + slot, policy);
      }
    }
  }
}
