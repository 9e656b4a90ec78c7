// From a network's answer to the candidates of each picture: those above their class's threshold, the most confident
// first, at most CAPACITY of them.
#include "candidate.h"
#include "picture.h"

// thresholds: (levels, 1 + classes), the lowest of a row first. scores, kinds: (pictures, boxes). tallies: (pictures),
// all zero. Grid: (boxes / 256, 1, pictures).
KERNEL(256) score_boxes(Answer answer, const Picture *pictures, const float *thresholds, float *scores, int *kinds,
                        Tally *tallies) {
    const int picture = block_z();
    thresholds += pictures[picture].level * (1 + answer.classes);
    const float lowest = *thresholds++;
    for (int i = thread(); i < 256; i += threads()) {
        const int box = block_x() * 256 + i;
        if (box >= answer.boxes) continue;
        const u64 index = u64(picture) * answer.boxes + box;
        const Score score = score_of(answer, picture, box, lowest);
        scores[index] = 0;
        if (!(score.value >= lowest && score.value > 0 && finite(score.value))) continue;
        if (score.kind >= answer.classes) {
            raise(&tallies[picture].strange, 1 + score.kind);
            continue;
        }
        if (score.value >= thresholds[score.kind] && sound(box_of(answer, picture, box))) {
            scores[index] = score.value;
            kinds[index] = score.kind;
        }
    }
}

// Larger is better: by score, then by place in the answer, the first first. 0 for none.
INLINE u64 key_of(const float *scores, int box) {
    return scores[box] > 0 ? u64(bits(scores[box])) << 32 | (0xffffffffu - box) : 0;
}

// The key that exactly CAPACITY keys reach, found 8 bits at a time from the highest (radix selection).
INLINE u64 lowest_key(const float *scores, int boxes) {
    SHARED int counts[256];
    SHARED u64 prefix;
    SHARED int wanted;
    if (thread() == 0) {
        prefix = 0;
        wanted = CAPACITY;
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (int i = thread(); i < 256; i += threads()) counts[i] = 0;
        meet();
        const u64 known = prefix;
        for (int box = thread(); box < boxes; box += threads()) {
            const u64 key = key_of(scores, box);
            const bool same = shift == 56 || key >> (shift + 8) == known >> (shift + 8);
            if (key && same) add(&counts[key >> shift & 255], 1);
        }
        meet();
        if (thread() == 0) {
            int digit = 255;
            for (; counts[digit] < wanted; digit--) wanted -= counts[digit];
            prefix = known | u64(digit) << shift;
        }
        meet();
    }
    return prefix;
}

// Bitonic sort (Batcher 1968), the largest first; size is a power of two.
INLINE void sort(u64 *keys, int size) {
    for (int run = 2; run <= size; run *= 2)
        for (int step = run / 2; step > 0; step /= 2) {
            for (int i = thread(); i < size; i += threads()) {
                const int other = i ^ step;
                if (other < i) continue;
                const u64 one = keys[i], two = keys[other];
                if ((i & run) == 0 ? one < two : one > two) {
                    keys[i] = two;
                    keys[other] = one;
                }
            }
            meet();
        }
}

// Grid: (1, 1, pictures). candidates: (pictures, CAPACITY).
KERNEL(1024) choose_candidates(Answer answer, const float *scores, const int *kinds, Tally *tallies, Candidate *candidates) {
    SHARED u64 keys[CAPACITY];
    SHARED int total, taken;
    const int picture = block_z();
    scores += u64(picture) * answer.boxes;
    kinds += u64(picture) * answer.boxes;
    if (thread() == 0) total = taken = 0;
    meet();
    int mine = 0;
    for (int box = thread(); box < answer.boxes; box += threads()) mine += scores[box] > 0;
    add(&total, mine);
    meet();
    const int count = least(total, CAPACITY);
    const u64 lowest = total > CAPACITY ? lowest_key(scores, answer.boxes) : 1;
    for (int box = thread(); box < answer.boxes; box += threads()) {
        const u64 key = key_of(scores, box);
        if (key >= lowest) keys[add(&taken, 1)] = key;
    }
    int size = 2;
    while (size < count) size *= 2;
    for (int i = count + thread(); i < size; i += threads()) keys[i] = 0;
    meet();
    sort(keys, size);
    for (int i = thread(); i < count; i += threads()) {
        const int box = static_cast<int>(0xffffffffu - static_cast<u32>(keys[i]));
        const Box place = box_of(answer, picture, box);
        candidates[u64(picture) * CAPACITY + i] = {place, from_bits(static_cast<u32>(keys[i] >> 32)), kinds[box]};
    }
    if (thread() == 0) {
        tallies[picture].candidates = count;
        tallies[picture].passed = total;
    }
}
