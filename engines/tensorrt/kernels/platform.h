// What CUDA (compiled by NVRTC) and plain C++ (compiled for the tests on a CPU) say differently.
//
// Kernels are written so that any number of threads per block gives the same result, one included: work is shared
// out by `for (i = thread(); i < n; i += threads())`, and threads meet at `meet()` only. So the very same source runs
// on a CPU, with one thread or with several that a race detector watches.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef __CUDACC__

#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define INLINE __device__ __forceinline__
#define INLINE_MEMBER __device__ __forceinline__
#define SHARED __shared__

INLINE int thread() { return threadIdx.x; }
INLINE int threads() { return blockDim.x; }
INLINE int block_x() { return blockIdx.x; }
INLINE int block_y() { return blockIdx.y; }
INLINE int block_z() { return blockIdx.z; }
INLINE void meet() { __syncthreads(); }
INLINE int add(int *counter, int value) { return atomicAdd(counter, value); }
INLINE void raise(int *most, int value) { atomicMax(most, value); }
INLINE u32 bits(float value) { return __float_as_uint(value); }
INLINE float from_bits(u32 value) { return __uint_as_float(value); }

// By hand, so that no CUDA header is needed where kernels are compiled.
INLINE u16 to_half(float value) {
    u16 half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return half;
}
INLINE float from_half(u16 half) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
}

#else

#include <atomic>
#include <cmath>
#include <cstring>
#include <pthread.h>

#define KERNEL(threads) extern "C" void
#define INLINE static inline
#define INLINE_MEMBER inline
#define SHARED static // blocks run one after the other there

struct Position {
    int thread, threads, x, y, z;
    pthread_barrier_t *barrier;
};
inline thread_local Position position;

INLINE int thread() { return position.thread; }
INLINE int threads() { return position.threads; }
INLINE int block_x() { return position.x; }
INLINE int block_y() { return position.y; }
INLINE int block_z() { return position.z; }
INLINE void meet() {
    if (position.threads > 1) pthread_barrier_wait(position.barrier);
}
INLINE int add(int *counter, int value) { return __atomic_fetch_add(counter, value, __ATOMIC_RELAXED); }
INLINE void raise(int *most, int value) {
    int seen = __atomic_load_n(most, __ATOMIC_RELAXED);
    while (seen < value && !__atomic_compare_exchange_n(most, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}
INLINE u32 bits(float value) {
    u32 result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}
INLINE float from_bits(u32 value) {
    float result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}
INLINE u16 to_half(float value) {
    _Float16 half = static_cast<_Float16>(value);
    u16 result;
    std::memcpy(&result, &half, sizeof result);
    return result;
}
INLINE float from_half(u16 value) {
    _Float16 half;
    std::memcpy(&half, &value, sizeof half);
    return static_cast<float>(half);
}

#endif

INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE int most(int a, int b) { return a > b ? a : b; }
INLINE bool finite(float value) { return value - value == 0; }
INLINE bool broken(float value) { return value != value; }

// An element of a tensor that is float16 or float32.
INLINE float element(const void *tensor, bool half, u64 index) {
    return half ? from_half(static_cast<const u16 *>(tensor)[index]) : static_cast<const float *>(tensor)[index];
}
