// From decoded pictures straight into the network's input: scaled, padded, in its channel order, normalised.
#include "picture.h"

#define TILE_WIDTH 32
#define TILE_HEIGHT 8

struct Input {
    void *tensor; // (pictures, 3, height, width)
    int half;     // float16, else float32
    int width;
    int height;
    int swapped;  // blue first
    float factor; // for channel values 0 to 255, already rounded to the tensor's type
    float border; // in the tensor
};

INLINE void put(const Input &input, u64 index, float value) {
    if (input.half)
        static_cast<u16 *>(input.tensor)[index] = to_half(value);
    else
        static_cast<float *>(input.tensor)[index] = value;
}

template <class Source> INLINE void letterbox(const Picture &picture, const Input &input, int x, int y, int number) {
    const u64 plane = u64(input.width) * input.height;
    const u64 index = 3 * plane * number + u64(y) * input.width + x;
    const int inner_x = x - picture.left, inner_y = y - picture.top;
    if (inner_x < 0 || inner_y < 0 || inner_x >= picture.inner_width || inner_y >= picture.inner_height) {
        for (int channel = 0; channel < 3; channel++) put(input, index + channel * plane, input.border);
        return;
    }
    const Source source = {picture};
    const Colour colour = fitted(source, inner_x, inner_y);
    put(input, index, (input.swapped ? colour.blue : colour.red) * input.factor);
    put(input, index + plane, colour.green * input.factor);
    put(input, index + 2 * plane, (input.swapped ? colour.red : colour.blue) * input.factor);
}

template <class Source> INLINE void tile(const Picture *pictures, const Input &input) {
    const int number = block_z();
    for (int i = thread(); i < TILE_WIDTH * TILE_HEIGHT; i += threads()) {
        const int x = block_x() * TILE_WIDTH + i % TILE_WIDTH, y = block_y() * TILE_HEIGHT + i / TILE_WIDTH;
        if (x < input.width && y < input.height) letterbox<Source>(pictures[number], input, x, y, number);
    }
}

// Grid: tiles of 32 x 8 input pixels across, down, and pictures.
KERNEL(256) letterbox_rgb(const Picture *pictures, Input input) { tile<Rgb>(pictures, input); }

KERNEL(256) letterbox_nv12(const Picture *pictures, Input input) { tile<Nv12>(pictures, input); }
