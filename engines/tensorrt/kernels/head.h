// What a row of a network's answer means: as engines/heads, layout by layout.
#pragma once
#include "platform.h"

// YOLOV8: (pictures, 4 + classes, boxes). FASTESTDET: (pictures, 5 + classes, cells), objectness first. The others have
// a row per box: YOLOV5 and YOLOX 4 numbers, objectness, classes; END2END corners, score, class; RTDETR 4 numbers,
// classes.
enum Layout { YOLOV8 = 0, YOLOV5 = 1, YOLOX = 2, END2END = 3, FASTESTDET = 4, RTDETR = 5, RTDETR_LOGITS = 6 };

struct Answer {
    const void *tensor;
    // (pictures, boxes, classes): the columns from 4 on, where the network has them as an output of their own; else 0
    const void *scores;
    const float *grid; // YOLOX: x and y of the cell and its stride, (boxes, 3); 0: the network has applied it
    int half;          // float16, else float32
    int layout;        // Layout
    int boxes;         // per picture
    int columns;       // numbers per box
    int classes;       // that have a threshold
    int across;        // FASTESTDET: cells in a row
    int width;         // FASTESTDET, RTDETR: of the network's input, of which boxes are fractions
    int height;
};

struct Box {
    float left, top, right, bottom;
};

struct Score {
    float value; // 0: nothing that is wanted
    int kind;
};

INLINE float number(const Answer &answer, int picture, int box, int column) {
    const u64 row = u64(picture) * answer.boxes + box;
    if (answer.scores && column >= 4)
        return element(answer.scores, answer.half, row * (answer.columns - 4) + column - 4);
    if (answer.scores) return element(answer.tensor, answer.half, row * 4 + column);
    if (answer.layout != YOLOV8 && answer.layout != FASTESTDET)
        return element(answer.tensor, answer.half, row * answer.columns + column);
    return element(answer.tensor, answer.half, (u64(picture) * answer.columns + column) * answer.boxes + box);
}

INLINE float sigmoid(float value) { return 1 / (1 + expf(-value)); }

INLINE Box centred(float x, float y, float width, float height) {
    const float across = width / 2, down = height / 2;
    return {x - across, y - down, x + across, y + down};
}

// Positions in double, as numpy computes them, whose cells are integers.
INLINE Box in_cell(const Answer &answer, int picture, int box) {
    const int rows = answer.boxes / answer.across;
    const double x = double(box % answer.across) + tanhf(number(answer, picture, box, 1));
    const double y = double(box / answer.across) + tanhf(number(answer, picture, box, 2));
    const double left_to_right = double(sigmoid(number(answer, picture, box, 3))) * answer.width / 2;
    const double top_to_bottom = double(sigmoid(number(answer, picture, box, 4))) * answer.height / 2;
    const double centre_x = x / answer.across * answer.width, centre_y = y / rows * answer.height;
    return {static_cast<float>(centre_x - left_to_right), static_cast<float>(centre_y - top_to_bottom),
            static_cast<float>(centre_x + left_to_right), static_cast<float>(centre_y + top_to_bottom)};
}

// In network pixels.
INLINE Box box_of(const Answer &answer, int picture, int box) {
    if (answer.layout == FASTESTDET) return in_cell(answer, picture, box);
    const float a = number(answer, picture, box, 0), b = number(answer, picture, box, 1);
    const float c = number(answer, picture, box, 2), d = number(answer, picture, box, 3);
    if (answer.layout == END2END) return {a, b, c, d};
    if (answer.layout == RTDETR || answer.layout == RTDETR_LOGITS) {
        const Box part = centred(a, b, c, d);
        const float width = answer.width, height = answer.height;
        return {part.left * width, part.top * height, part.right * width, part.bottom * height};
    }
    if (answer.layout != YOLOX || !answer.grid) return centred(a, b, c, d);
    const float *cell = answer.grid + 3 * box;
    return centred((a + cell[0]) * cell[2], (b + cell[1]) * cell[2], expf(c) * cell[2], expf(d) * cell[2]);
}

// Whether it is a box at all. One that is inside out, as a network may answer, would remove good ones anywhere: its area
// is below 0, and to OpenCV, as in nms.cu, two boxes are one if their areas are 0 or less together.
INLINE bool sound(const Box &box) {
    const bool finite_all = finite(box.left) && finite(box.top) && finite(box.right) && finite(box.bottom);
    return finite_all && box.right > box.left && box.bottom > box.top;
}

// The class with the highest value, the first of equals. A value that is no number spoils the box, as in numpy.
INLINE Score best_class(const Answer &answer, int picture, int box, int first) {
    Score best = {number(answer, picture, box, first), 0};
    bool spoilt = broken(best.value);
    for (int column = first + 1; column < answer.columns; column++) {
        const float value = number(answer, picture, box, column);
        spoilt = spoilt || broken(value);
        if (value > best.value) best = {value, column - first};
    }
    return spoilt ? Score{from_bits(0x7fc00000u), 0} : best; // which reaches no threshold
}

INLINE Score likely(const Answer &answer, int picture, int box) {
    const Score best = best_class(answer, picture, box, 4);
    return {sigmoid(best.value), best.kind};
}

INLINE Score weighed(const Answer &answer, int picture, int box, float lowest) {
    const float objectness = powf(number(answer, picture, box, 0), 0.6f);
    if (!(objectness >= lowest)) return {0, 0}; // no class is above 1, so no score is above it
    const Score best = best_class(answer, picture, box, 5);
    return {objectness * powf(best.value, 0.4f), best.kind};
}

// lowest: no threshold is below it.
INLINE Score score_of(const Answer &answer, int picture, int box, float lowest) {
    if (answer.layout == YOLOV8 || answer.layout == RTDETR) return best_class(answer, picture, box, 4);
    if (answer.layout == RTDETR_LOGITS) return likely(answer, picture, box);
    if (answer.layout == FASTESTDET) return weighed(answer, picture, box, lowest);
    const float objectness = number(answer, picture, box, 4);
    // No score is above it; this spares nearly all rows their classes.
    if (!(objectness >= lowest)) return {0, 0};
    if (answer.layout == END2END) {
        const float kind = number(answer, picture, box, 5);
        const bool is_one = kind >= 0 && kind < (1 << 24); // from there on float32 can't count
        return is_one ? Score{objectness, static_cast<int>(kind)} : Score{0, 0};
    }
    const Score best = best_class(answer, picture, box, 5);
    return {objectness * best.value, best.kind};
}
