// The kernels of engines/tensorrt, compiled for a CPU: blocks one after the other, a block's threads side by side.
#include "candidates.cu"
#include "letterbox.cu"
#include "nms.cu"

#include <thread>
#include <vector>

template <class Kernel> static void launch(const int *grid, int threads, Kernel kernel) {
    for (int z = 0; z < grid[2]; z++)
        for (int y = 0; y < grid[1]; y++)
            for (int x = 0; x < grid[0]; x++) {
                pthread_barrier_t barrier;
                pthread_barrier_init(&barrier, nullptr, threads);
                std::vector<std::thread> running;
                for (int i = 0; i < threads; i++) {
                    const Position place = {i, threads, x, y, z, &barrier};
                    const auto run = [&, place] {
                        position = place;
                        kernel();
                    };
                    if (threads == 1)
                        run();
                    else
                        running.emplace_back(run);
                }
                for (auto &one : running) one.join();
                pthread_barrier_destroy(&barrier);
            }
}

extern "C" {
void run_letterbox_rgb(const int *grid, int threads, const Picture *pictures, const Input *input) {
    launch(grid, threads, [&] { letterbox_rgb(pictures, *input); });
}
void run_letterbox_nv12(const int *grid, int threads, const Picture *pictures, const Input *input) {
    launch(grid, threads, [&] { letterbox_nv12(pictures, *input); });
}
void run_score_boxes(const int *grid, int threads, const Answer *answer, const Picture *pictures,
                     const float *thresholds, float *scores, int *kinds, Tally *tallies) {
    launch(grid, threads, [&] { score_boxes(*answer, pictures, thresholds, scores, kinds, tallies); });
}
void run_choose_candidates(const int *grid, int threads, const Answer *answer, const float *scores, const int *kinds,
                           Tally *tallies, Candidate *candidates) {
    launch(grid, threads, [&] { choose_candidates(*answer, scores, kinds, tallies, candidates); });
}
void run_suppress(const int *grid, int threads, const Picture *pictures, const Candidate *candidates, Tally *tallies,
                  Object *objects, int most_objects, int rivals, float iou) {
    launch(grid, threads, [&] { suppress(pictures, candidates, tallies, objects, most_objects, rivals, iou); });
}

// What Python must agree with.
int size_of_picture() { return sizeof(Picture); }
int size_of_input() { return sizeof(Input); }
int size_of_answer() { return sizeof(Answer); }
int size_of_candidate() { return sizeof(Candidate); }
int size_of_tally() { return sizeof(Tally); }
int size_of_object() { return sizeof(Object); }
int capacity() { return CAPACITY; }
}
