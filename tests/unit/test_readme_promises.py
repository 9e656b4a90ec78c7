"""Each promise of the README's beginning has a test that would notice if it were broken; here is which."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = {
    "in a form that programs can rely on": [
        "unit/test_records.py::test_detections_are_as_their_schema_says",
        "unit/test_records.py::test_events_there_and_back_as_their_schema_says",
    ],
    "decode RTSP, HTTP, HLS and USB cameras": [
        "integration/test_rtsp.py::test_pictures_come_soon_and_in_time",
        "integration/test_http_sources.py::test_mjpeg_cameras",
        "integration/test_http_sources.py::test_a_live_hls_playlist_is_live",
        "integration/test_device_source.py::test_a_camera_that_is_not_there_may_be_plugged_in",
    ],
    "files of any codec FFmpeg knows, and folders": [
        "unit/test_file_source.py::test_codecs_and_containers",
        "unit/test_folder_source.py::test_in_natural_order_with_other_files_left_out",
    ],
    "They outlive whatever cameras do": [
        "integration/test_rtsp.py::test_a_camera_that_crashes_is_found_again",
        "integration/test_rtsp.py::test_a_frozen_camera_is_noticed",
        "integration/test_http_sources.py::test_a_server_that_ends_or_stalls",
    ],
    "they divide the streams among themselves, and stand in for one another": [
        "integration/test_worker.py::test_two_workers_share_and_a_clean_stop_hands_over_at_once",
        "integration/test_worker.py::test_a_killed_worker_s_frames_go_to_the_others_once",
        "integration/test_produce.py::test_two_producers_share_the_streams_and_stand_in_for_each_other",
    ],
    "YOLOv5 to 12, YOLOv10 and 26, YOLOX, RT-DETR, FastestDet; on ONNX Runtime or OpenVINO": [
        "unit/test_heads.py::test_recognised_and_decoded",
        "integration/test_models.py::test_layouts_and_engines_agree",
    ],
    "for streets is shipped": ["integration/test_run.py::test_without_a_model_the_shipped_one_is_used"],
    "`streamer train` makes your own": ["training/test_training.py::test_the_loss_falls"],
    "ids that last": [
        "integration/test_tracking_clips.py::test_most_of_a_crowd_keeps_its_ids",
        "integration/test_track_ids.py::test_a_kill_changes_no_id_on_a_street",
    ],
    "zones, lines, dwell and counts": ["unit/test_events.py::test_enter_dwell_and_leave_at_their_times"],
    "they outlive the worker that made them": [
        "integration/test_worker.py::test_tracks_and_events_outlive_the_worker",
        "integration/test_handover.py::test_an_hour_s_dwell_a_line_s_counts_and_a_hidden_track_survive_a_kill",
    ],
    "has one result or is covered by one gap that says why": [
        "integration/test_worker.py::test_repeats_are_done_once_and_holes_are_gaps",
        "integration/test_worker.py::test_latest_covers_what_it_skips",
        "integration/test_worker.py::test_dead_frames_and_strangers_do_not_stop_the_rest",
    ],
    "results and offsets are one Kafka transaction": [
        "integration/test_worker.py::test_a_transaction_of_unknown_end_is_neither_lost_nor_repeated",
        "integration/test_results.py::test_all_kinds_come_in_order_and_only_what_was_committed",
    ],
    "Redis mirrors them for dashboards, and repairs itself from the log": [
        "integration/test_worker.py::test_every_frame_once_in_order_and_redis_the_same",
        "integration/test_worker.py::test_an_emptied_redis_fills_itself_from_the_log",
    ],
    "whether only its newest frame counts, how old one may be, or every one must be done": [
        "unit/test_choose.py::test_latest_keeps_the_newest_only",
        "unit/test_choose.py::test_bounded_skips_what_is_too_old_when_its_turn_comes",
        "unit/test_choose.py::test_every_keeps_all_in_order_and_is_bounded_by_room",
    ],
    "masks and crops are applied before a picture leaves its producer": [
        "unit/test_masks.py::test_not_a_bit_of_the_jpeg_depends_on_what_is_under_a_filled_mask",
        "unit/test_transform.py::test_the_jpegs_edges_are_the_crops_edges",
    ],
    "passwords never reach Kafka or a log": [
        "integration/test_produce.py::test_a_password_on_the_command_line_gets_nowhere",
        "unit/test_logs.py::test_no_line_shows_a_credential",
        "fuzz/test_fuzz.py::test_what_is_nearly_right_is_read_or_refused_in_one_line",
    ],
    "It runs on one machine with one command": [
        "integration/test_run.py::test_demo_ends_with_its_sources",
        "integration/test_readme_session.py::test_the_session_of_the_readme",
    ],
}


@cache
def text() -> str:
    """The README in one line."""
    return " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


@cache
def names_in(file: str) -> set[str]:
    """Names of a file's tests."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("promise", PROMISES)
def test_it_is_in_the_readme_and_has_its_tests(promise: str) -> None:
    assert promise in text()
    for test in PROMISES[promise]:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


def test_every_point_of_the_readme_is_held_by_a_test() -> None:
    beginning = text().partition("It is for those who would otherwise")[0]
    points = re.split(r" - \*\*", beginning)[1:]
    assert len(points) >= 8
    assert not [point for point in points if not any(promise in point for promise in PROMISES)]
