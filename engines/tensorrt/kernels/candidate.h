// What the kernels behind the network hand to each other and to the host.
#pragma once
#include "head.h"

#define CAPACITY 2048 // candidates per picture; where more reach their threshold, the most confident ones compete

struct Candidate {
    Box box; // in network pixels
    float score;
    int kind;
};

// As engines/tensorrt/postprocess.py lays it out.
struct Tally {
    int found;      // objects of this picture
    int candidates; // that competed
    int passed;     // that reached their threshold
    int strange;    // 1 + a class number beyond the last; 0: none
};

struct Object {
    Box box; // in picture pixels
    float score;
    int kind;
};
