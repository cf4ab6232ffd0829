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

// Whole rows of a tile: a lane a plane, and of paired matrices another for the up rows.
template <class S>
DEVICE void copy_rows(u8* slot, const Held& matrix, int first, int outputs, u64* full, u64 policy) {
  const int plane = lane() % S::PLANES, up = lane() / S::PLANES, row = S::plane_bytes(plane, S::UNITS);
  if (up > (S::PAIRED ? 1 : 0) || row == 0) return;
  const u8* source = matrix.plane[plane] + (long long)(first + up * S::OUT) * row;
  copy_bulk(slot + S::plane_place(plane) + up * 8 * S::plane_stride(plane), source, outputs * row, full, policy);
}

// Chunk c of each row of a tile: a lane a row and plane; and the planes that have no chunks.
template <class S>
DEVICE void copy_chunks(u8* slot, const Held& matrix, int first, int outputs, int c, u64* full, u64 policy) {
  const int i = lane() & 15;  // row of the tile
  const int row = first + (S::PAIRED ? (i & 7) + (i >> 3) * S::OUT : i), before = c * S::CHUNK;
  const int units = least(S::CHUNK, S::UNITS - before);
  const bool owned = (S::PAIRED ? i & 7 : i) < outputs;
  if (S::BLOCKED) {
#pragma unroll
    for (int at = 0; at < 2; ++at) {
      const int plane = lane() / 16 + 2 * at, bytes = S::plane_bytes(plane, units);
      const u8* source = matrix.plane[plane] + (long long)row * S::plane_bytes(plane, S::UNITS);
      u8* target = slot + S::plane_place(plane) + i * S::plane_stride(plane);
      if (bytes == 0 || !owned) continue;
      if (plane < 3) copy_bulk(target, source + S::plane_bytes(plane, before), bytes, full, policy);
      if (plane == 3 && (S::PAIRED ? i & 7 : i) == 0) copy_bulk(target, source, outputs * bytes, full, policy);
    }
    return;
  }
  if (!owned) return;
  const u32 data = units * S::UNIT_BYTES;
  const u8* source = matrix.plane[0] + (long long)row * S::ROW_BYTES;
  u8* target = slot + i * S::STRIDE;
  if (lane() < 16) {
    copy_bulk(target, source + before * S::UNIT_BYTES, data, full, policy);
  } else if (S::GROUPS) {
    copy_bulk(target + data, source + S::DATA_BYTES + S::scale_place(before), S::scale_bytes(units), full, policy);
  }
}

// The copying warp: all tiles of this block of one matrix, in the order tile by tile, chunk by chunk.
template <class S, u32 FLIGHT = IN_FLIGHT>
DEVICE void stream(Ring& ring, const Held& matrix, RowRange own, u64 policy) {
  const int tiles = S::tiles(own);
  for (int m = 0; m < tiles; ++m) {
    const int first = own.first + m * S::TILE_OUT, outputs = least(S::TILE_OUT, own.count - m * S::TILE_OUT);
    for (int c = 0; c < S::CHUNKS; ++c, ++ring.next) {
      const u32 slot = ring.next % SLOTS, round = ring.next / SLOTS;
      const int units = least(S::CHUNK, S::UNITS - c * S::CHUNK);
      u8* target = ring.slots + slot * SLOT_BYTES;
      if (round > 0) barrier_wait(ring.empty + slot, (round - 1) & 1);
      if (FLIGHT < SLOTS && ring.next >= FLIGHT) ring.wait_next(ring.next - FLIGHT);
      if (lane() == 0) store_shared(ring.round + slot, round);
      if (lane() == 0) barrier_expect(ring.full + slot, outputs * (S::PAIRED ? 2 : 1) * S::row_bytes(units));
      warp_barrier();
      if (S::CHUNKS == 1) copy_rows<S>(target, matrix, first, outputs, ring.full + slot, policy);
      if (S::CHUNKS > 1) copy_chunks<S>(target, matrix, first, outputs, c, ring.full + slot, policy);
    }
  }
}
