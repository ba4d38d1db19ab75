// SPDX-License-Identifier: Apache-2.0
// Work in registers and in the first-level cache.
#include "bench.h"

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

/** FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const u32 K[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(u32 state[8], const u32 block[16]) {
  u32 w[64];
  for (int i = 0; i < 16; i++) w[i] = block[i];
  for (int i = 16; i < 64; i++) {
    u32 s0 = ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3;
    u32 s1 = ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  u32 a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    u32 t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
    u32 t2 = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static u32 sha256(u32 blocks) {
  u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  u32 block[16], random = 1, sum = 0;
  for (int i = 0; i < 16; i++) block[i] = next_random(&random);
  for (u32 i = 0; i < blocks; i++) {
    block[i & 15] ^= i;
    sha256_block(state, block);
  }
  for (int i = 0; i < 8; i++) sum = mix(sum, state[i]);
  return sum;
}

static u32 sieve(u32 times) {
  static u8 composite[64 * 1024];
  u32 primes = 0;
  for (u32 time = 0; time < times; time++) {
    for (u32 i = 0; i < sizeof composite; i++) composite[i] = 0;
    for (u32 i = 2; i < sizeof composite; i++) {
      if (composite[i]) continue;
      primes++;
      for (u32 j = i * 2; j < sizeof composite; j += i) composite[j] = 1;
    }
  }
  return primes;
}

/** SHA-256 and a sieve. */
u32 row_integer(void) {
  return mix(sha256(INTEGER_BLOCKS), sieve(INTEGER_SIEVES));
}

static void quicksort(u32 *values, long low, long high) {
  while (low < high) {
    u32 pivot = values[(low + high) >> 1];
    long i = low, j = high;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i > j) break;
      u32 swapped = values[i];
      values[i++] = values[j], values[j--] = swapped;
    }
    if (j - low < high - i) quicksort(values, low, j), low = i;
    else quicksort(values, i, high), high = j;
  }
}

/** Sorting random numbers, and looking for some of them: branches that no predictor knows. */
u32 row_branchy(void) {
  enum { COUNT = 32 * 1024 };
  static u32 values[COUNT];
  u32 random = 2, sum = 0;
  for (int time = 0; time < BRANCHY_TIMES; time++) {
    for (int i = 0; i < COUNT; i++) values[i] = next_random(&random);
    quicksort(values, 0, COUNT - 1);
    for (int i = 0; i < COUNT; i++) {
      u32 wanted = next_random(&random);
      long low = 0, high = COUNT;
      while (low < high) {
        long middle = (low + high) >> 1;
        if (values[middle] < wanted) low = middle + 1;
        else high = middle;
      }
      sum = mix(sum, low);
    }
  }
  return sum;
}

static u32 bits_of(double value) {
  union { double value; u32 halves[2]; } bits = {.value = value};
  return mix(bits.halves[0], bits.halves[1]);
}

/** A matrix product and a recurrence with division, in doubles; the sum is of their bits. */
u32 row_float(void) {
  enum { SIDE = 64 };
  static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
  u32 sum = 0;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) a[i][j] = (double)(i * 3 + j) / 7, b[i][j] = (double)(i - j * 2) / 5;
  for (int time = 0; time < FLOAT_TIMES; time++) {
    double x = 0.5;
    for (int i = 0; i < SIDE; i++) {
      for (int j = 0; j < SIDE; j++) {
        double total = 0;
        for (int k = 0; k < SIDE; k++) total += a[i][k] * b[k][j];
        c[i][j] = total;
        x = x * 0.75 + total / (x * x + 1);
      }
    }
    sum = mix(sum, bits_of(x));
    a[time % SIDE][time * 7 % SIDE] += c[time % SIDE][0] * 1e-3;
  }
  return sum;
}

/** Not inlined into itself: every call is one. */
static __attribute__((noinline, noclone, optimize("O1", "no-optimize-sibling-calls"))) u32 fibonacci(u32 n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

u32 row_calls(void) {
  return fibonacci(CALLS_NUMBER);
}
