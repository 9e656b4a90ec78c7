// What a row of a network's answer means: as engines/heads, layout by layout.
#pragma once
#include "platform.h"

// YOLOV8: (pictures, 4 + classes, boxes). The others have a row per box: YOLOV5 and YOLOX 4 numbers, objectness,
// classes; END2END corners, score, class.
enum Layout { YOLOV8 = 0, YOLOV5 = 1, YOLOX = 2, END2END = 3 };

struct Answer {
    const void *tensor;
    const float *grid; // YOLOX: x and y of the cell and its stride, (boxes, 3); 0: the network has applied it
    int half;          // float16, else float32
    int layout;        // Layout
    int boxes;         // per picture
    int columns;       // numbers per box
    int classes;       // that have a threshold
    int unused;
};

struct Box {
    float left, top, right, bottom;
};

struct Score {
    float value; // 0: nothing that is wanted
    int kind;
};

INLINE float number(const Answer &answer, int picture, int box, int column) {
    const u64 first = u64(picture) * answer.boxes * answer.columns;
    const u64 index = answer.layout == YOLOV8 ? u64(column) * answer.boxes + box : u64(box) * answer.columns + column;
    return element(answer.tensor, answer.half, first + index);
}

INLINE Box centred(float x, float y, float width, float height) {
    const float across = width / 2, down = height / 2;
    return {x - across, y - down, x + across, y + down};
}

// In network pixels.
INLINE Box box_of(const Answer &answer, int picture, int box) {
    const float a = number(answer, picture, box, 0), b = number(answer, picture, box, 1);
    const float c = number(answer, picture, box, 2), d = number(answer, picture, box, 3);
    if (answer.layout == END2END) return {a, b, c, d};
    if (answer.layout != YOLOX || !answer.grid) return centred(a, b, c, d);
    const float *cell = answer.grid + 3 * box;
    return centred((a + cell[0]) * cell[2], (b + cell[1]) * cell[2], expf(c) * cell[2], expf(d) * cell[2]);
}

INLINE bool finite(const Box &box) {
    return finite(box.left) && finite(box.top) && finite(box.right) && finite(box.bottom);
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
    return spoilt ? Score{0, 0} : best;
}

// lowest: no threshold is below it.
INLINE Score score_of(const Answer &answer, int picture, int box, float lowest) {
    if (answer.layout == YOLOV8) return best_class(answer, picture, box, 4);
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
