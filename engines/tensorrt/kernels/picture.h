// A decoded picture in device memory, and how its pixels become those of the network's input.
//
// The arithmetic is OpenCV's, bit by bit, so that the boxes of a GPU worker are those of a CPU worker: linear with
// weights of 11 bits where a picture shrinks to more than half, area where it shrinks to half or less.
#pragma once
#include "platform.h"

// As engines/tensorrt/pictures.py lays it out; 8-byte fields first, so that both agree without packing.
struct Picture {
    u64 pixels;      // address of interleaved RGB, or of NV12's luma
    u64 chroma;      // address of NV12's second plane
    int pitch;       // bytes from row to row
    int chroma_pitch;
    int width;       // of the pixels there
    int height;
    int left;        // of the picture in the network's input, in network pixels
    int top;
    int inner_width; // 0: no picture, all border
    int inner_height;
    int method;      // Method
    int colours;     // Colours, of NV12
    float scale_x;   // network pixels per picture pixel, see engines.letterbox.Placement
    float scale_y;
    int whole_width; // of the whole picture, in whose pixels boxes are
    int whole_height;
    int level;       // row of the table of thresholds
    int unused;
};

enum Method { LINEAR = 0, AREA = 1, AREA_ENLARGED = 2 };
enum Colours { BT601_LIMITED = 0, BT601_FULL = 1, BT709_LIMITED = 2, BT709_FULL = 3 };

struct Colour {
    int red, green, blue;
};

struct Sum {
    float red, green, blue;
    INLINE_MEMBER void add(const Colour &colour, float weight) {
        red += colour.red * weight;
        green += colour.green * weight;
        blue += colour.blue * weight;
    }
    INLINE_MEMBER void add(const Sum &sum, float weight) {
        red += sum.red * weight;
        green += sum.green * weight;
        blue += sum.blue * weight;
    }
};

// Half to even, as OpenCV rounds.
INLINE int rounded(float value) { return static_cast<int>(rintf(value)); }
INLINE int byte(float value) { return least(most(rounded(value), 0), 255); }

struct Rgb {
    const Picture &picture;
    INLINE_MEMBER Colour at(int x, int y) const {
        const u8 *pixel = reinterpret_cast<const u8 *>(picture.pixels) + u64(y) * picture.pitch + 3 * x;
        return {pixel[0], pixel[1], pixel[2]};
    }
};

// ITU-R BT.601 and BT.709. Each chroma sample counts for its four pixels.
struct Nv12 {
    const Picture &picture;
    INLINE_MEMBER Colour at(int x, int y) const {
        const u8 *luma = reinterpret_cast<const u8 *>(picture.pixels) + u64(y) * picture.pitch + x;
        const u8 *chroma = reinterpret_cast<const u8 *>(picture.chroma) + u64(y / 2) * picture.chroma_pitch + (x & ~1);
        const bool full = picture.colours == BT601_FULL || picture.colours == BT709_FULL;
        const bool hd = picture.colours >= BT709_LIMITED;
        const float red_share = hd ? 0.2126f : 0.299f, blue_share = hd ? 0.0722f : 0.114f;
        const float green_share = 1 - red_share - blue_share;
        const float light = full ? luma[0] : (luma[0] - 16) * (255 / 219.0f);
        const float stretch = full ? 1 : 255 / 224.0f;
        const float blue = 2 * (1 - blue_share) * stretch * (chroma[0] - 128);
        const float red = 2 * (1 - red_share) * stretch * (chroma[1] - 128);
        const float green = -(red_share * red + blue_share * blue) / green_share;
        return {byte(light + red), byte(light + green), byte(light + blue)};
    }
};

// Two pixels of a row or column and their weights of 11 bits.
struct Pair {
    int first, second, weight, other;
};

INLINE Pair pair(int at, float beyond, int size) {
    Pair result;
    result.first = least(most(at, 0), size - 1);
    result.second = least(most(at + 1, 0), size - 1);
    result.weight = rounded((1 - beyond) * 2048);
    result.other = rounded(beyond * 2048);
    return result;
}

// sharp: OpenCV gives a pixel beyond a row's ends no weight, but one beyond a column's ends keeps its.
INLINE Pair linear(int to, int size, int inner, bool sharp) {
    const float centre = static_cast<float>((to + 0.5) * (1 / (double(inner) / size)) - 0.5);
    const int at = static_cast<int>(floorf(centre));
    const bool outside = sharp && (at < 0 || at >= size - 1);
    return pair(at, outside ? 0 : centre - at, size);
}

// What OpenCV does for "area" on both axes when one of them grows.
INLINE Pair enlarged(int to, int size, int inner) {
    const double growth = double(inner) / size;
    const int at = static_cast<int>(floor(to * (1 / growth)));
    const float beyond = static_cast<float>((to + 1) - (at + 1) * growth);
    return pair(at, beyond <= 0 || at >= size - 1 ? 0 : beyond - floorf(beyond), size);
}

INLINE int mixed(int top_left, int top_right, int low_left, int low_right, const Pair &across, const Pair &down) {
    const int top = top_left * across.weight + top_right * across.other;
    const int low = low_left * across.weight + low_right * across.other;
    return (((down.weight * (top >> 4)) >> 16) + ((down.other * (low >> 4)) >> 16) + 2) >> 2;
}

template <class Source> INLINE Colour between(const Source &source, const Pair &across, const Pair &down) {
    const Colour a = source.at(across.first, down.first), b = source.at(across.second, down.first);
    const Colour c = source.at(across.first, down.second), d = source.at(across.second, down.second);
    return {mixed(a.red, b.red, c.red, d.red, across, down), mixed(a.green, b.green, c.green, d.green, across, down),
            mixed(a.blue, b.blue, c.blue, d.blue, across, down)};
}

// The pixels of a row or column that one pixel of the input covers: whole ones, and a part of one at each end.
struct Cover {
    int begin, end; // whole ones
    float before, whole, after;
};

INLINE Cover cover(int to, int size, int inner) {
    const double scale = 1 / (double(inner) / size), from = to * scale, until = from + scale;
    const double cell = scale < size - from ? scale : size - from;
    Cover result;
    result.end = least(static_cast<int>(floor(until)), size - 1);
    result.begin = least(static_cast<int>(ceil(from)), result.end);
    result.whole = static_cast<float>(1 / cell);
    result.before = result.begin - from > 1e-3 ? static_cast<float>((result.begin - from) / cell) : 0;
    double rest = until - result.end;
    rest = rest < 1 ? rest : 1;
    rest = rest < cell ? rest : cell;
    result.after = until - result.end > 1e-3 ? static_cast<float>(rest / cell) : 0;
    return result;
}

template <class Source> INLINE Sum row(const Source &source, const Cover &across, int y) {
    Sum sum = {0, 0, 0};
    if (across.before > 0) sum.add(source.at(across.begin - 1, y), across.before);
    for (int x = across.begin; x < across.end; x++) sum.add(source.at(x, y), across.whole);
    if (across.after > 0) sum.add(source.at(across.end, y), across.after);
    return sum;
}

template <class Source> INLINE Colour covered(const Source &source, const Cover &across, const Cover &down) {
    Sum sum = {0, 0, 0};
    if (down.before > 0) sum.add(row(source, across, down.begin - 1), down.before);
    for (int y = down.begin; y < down.end; y++) sum.add(row(source, across, y), down.whole);
    if (down.after > 0) sum.add(row(source, across, down.end), down.after);
    return {byte(sum.red), byte(sum.green), byte(sum.blue)};
}

// Where the scale is a whole number OpenCV adds integers; of 2x2 pixels it rounds halves up.
template <class Source> INLINE Colour block(const Source &source, int left, int top, int across, int down) {
    Colour sum = {0, 0, 0};
    for (int y = top; y < top + down; y++)
        for (int x = left; x < left + across; x++) {
            const Colour colour = source.at(x, y);
            sum = {sum.red + colour.red, sum.green + colour.green, sum.blue + colour.blue};
        }
    if (across == 2 && down == 2) return {(sum.red + 2) >> 2, (sum.green + 2) >> 2, (sum.blue + 2) >> 2};
    const float share = 1.0f / (across * down);
    return {byte(sum.red * share), byte(sum.green * share), byte(sum.blue * share)};
}

// The colour of pixel (x, y) of the fitted picture.
template <class Source> INLINE Colour fitted(const Source &source, int x, int y) {
    const Picture &p = source.picture;
    if (p.method == LINEAR)
        return between(source, linear(x, p.width, p.inner_width, true), linear(y, p.height, p.inner_height, false));
    if (p.method == AREA_ENLARGED)
        return between(source, enlarged(x, p.width, p.inner_width), enlarged(y, p.height, p.inner_height));
    const int across = p.width / p.inner_width, down = p.height / p.inner_height;
    if (across * p.inner_width == p.width && down * p.inner_height == p.height)
        return block(source, x * across, y * down, across, down);
    return covered(source, cover(x, p.width, p.inner_width), cover(y, p.height, p.inner_height));
}
