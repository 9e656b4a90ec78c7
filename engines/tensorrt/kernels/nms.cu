// Non-maximum suppression: as engines/nms.py, and then to picture pixels as engines.letterbox.Placement does.
//
// Greedy, from the most confident down (Felzenszwalb et al. 2010). One block per picture: what stays is decided one
// by one, whom it removes is looked up by all threads. Outputs have a fixed size, so a CUDA graph can hold it.
#include "candidate.h"
#include "picture.h"

enum Rivals { NOBODY = 0, SAME_CLASS = 1, EVERYBODY = 2 };

INLINE double shared_length(double a, double a_length, double b, double b_length) {
    const double first = a < b ? a_length : b_length, second = a < b ? b_length : a_length;
    const double length = first - (a < b ? b - a : a - b);
    return length < second ? length : second;
}

// In double and in OpenCV's order of operations, so that boxes right at the limit go the same way.
INLINE float overlap(const Box &a, const Box &b) {
    const double a_width = a.right - a.left, a_height = a.bottom - a.top;
    const double b_width = b.right - b.left, b_height = b.bottom - b.top;
    const double areas = a_width * a_height + b_width * b_height;
    if (areas <= 2.220446049250313e-16) return 1;
    double common = 0;
    if (a_width > 0 && a_height > 0 && b_width > 0 && b_height > 0) {
        const double width = shared_length(a.left, a_width, b.left, b_width);
        const double height = shared_length(a.top, a_height, b.top, b_height);
        common = width > 0 && height > 0 ? width * height : 0;
    }
    return 1.0f - static_cast<float>(1.0 - common / (areas - common));
}

INLINE float inside(float value, float offset, float scale, int limit) {
    value = (value - offset) / scale;
    value = value > 0 ? value : 0;
    return value < limit ? value : limit;
}

INLINE Box to_picture(const Box &box, const Picture &p) {
    return {inside(box.left, p.left, p.scale_x, p.whole_width), inside(box.top, p.top, p.scale_y, p.whole_height),
            inside(box.right, p.left, p.scale_x, p.whole_width), inside(box.bottom, p.top, p.scale_y, p.whole_height)};
}

// Grid: (1, 1, pictures). objects: (pictures, most_objects); those behind tallies[].found are left as they are.
KERNEL(256) suppress(const Picture *pictures, const Candidate *candidates, Tally *tallies, Object *objects,
                     int most_objects, int rivals, float iou) {
    SHARED u8 out[CAPACITY];
    const int picture = block_z(), count = tallies[picture].candidates;
    candidates += u64(picture) * CAPACITY;
    objects += u64(picture) * most_objects;
    for (int i = thread(); i < count; i += threads()) out[i] = 0;
    meet();
    int found = 0;
    for (int i = 0; i < count && found < most_objects; i++) {
        // Everybody reads the same: what is written below lies behind i, and all have met since.
        if (out[i]) continue;
        const Candidate kept = candidates[i];
        const Box box = to_picture(kept.box, pictures[picture]);
        if (box.right > box.left && box.bottom > box.top) {
            if (thread() == 0) objects[found] = {box, kept.score, kept.kind};
            found++;
        }
        if (rivals == NOBODY) continue;
        for (int j = i + 1 + thread(); j < count; j += threads()) {
            const bool rival = rivals == EVERYBODY || candidates[j].kind == kept.kind;
            if (rival && !out[j] && !(overlap(kept.box, candidates[j].box) <= iou)) out[j] = 1;
        }
        meet();
    }
    if (thread() == 0) tallies[picture].found = found;
}
