// One picture's boxes by eight threads, for a race detector to watch: more of them than compete, with equal scores.
#include "on_cpu.cpp"

#include <cstdio>
#include <random>

int main() {
    const int boxes = 3549, classes = 3, threads = 8, one[3] = {1, 1, 1}, blocks[3] = {14, 1, 1};
    std::mt19937 random(1);
    std::vector<float> tensor((4 + classes) * boxes);
    for (int i = 0; i < (int)tensor.size(); i++) tensor[i] = i < 2 * boxes ? random() % 400 : i < 4 * boxes ? 40 : (random() % 100) / 100.0f;
    const float thresholds[] = {0.1f, 0.1f, 0.1f, 0.1f};
    const Answer answer = {tensor.data(), nullptr, nullptr, 0, YOLOV8, boxes, 4 + classes, classes, 0, 0, 0};
    Picture picture = {};
    picture.scale_x = picture.scale_y = 1;
    picture.whole_width = picture.whole_height = 416;
    std::vector<float> scores(boxes);
    std::vector<int> kinds(boxes);
    std::vector<Candidate> candidates(CAPACITY);
    std::vector<Object> objects(300);
    Tally tally = {};
    run_score_boxes(blocks, threads, &answer, &picture, thresholds, scores.data(), kinds.data(), &tally);
    run_choose_candidates(one, threads, &answer, scores.data(), kinds.data(), &tally, candidates.data());
    run_suppress(one, threads, &picture, candidates.data(), &tally, objects.data(), 300, SAME_CLASS, 0.5f);
    std::printf("%d %d %d\n", tally.passed, tally.candidates, tally.found);
}
