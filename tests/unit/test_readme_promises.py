"""Each promise of the README has a test that would notice if it were broken; here is which."""

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
        "integration/test_worker_commits.py::test_a_transaction_of_unknown_end_is_neither_lost_nor_repeated",
        "integration/test_results.py::test_all_kinds_come_in_order_and_only_what_was_committed",
    ],
    "Redis mirrors them for dashboards, and repairs itself from the log": [
        "integration/test_worker.py::test_every_frame_once_in_order_and_redis_the_same",
        "integration/test_worker_redis.py::test_an_emptied_redis_fills_itself_from_the_log",
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
    "Everything else (Kafka, a Java runtime, Redis) is fetched as packages": [
        "unit/test_stack_jars.py::test_fetched_once_and_in_order",
        "unit/test_stack_parts.py::test_java_of_the_machine_if_it_is_new_enough",
        "unit/test_stack_parts.py::test_redis_of_the_machine_before_the_environments",
    ],
    "`SOURCE` may be several": ["unit/test_command_sources.py::test_expansion"],
    "without it the shipped one looks for people, cars": [
        "integration/test_run.py::test_without_a_model_the_shipped_one_is_used"
    ],
    "A table shows per stream what comes in, what is done, what is skipped and why": [
        "unit/test_tally.py::test_live_table"
    ],
    "Ctrl-C ends all of it": ["integration/test_run.py::test_ctrl_c_ends_a_demo_that_would_go_on_for_ever"],
    "against a real Kafka, a real Redis and a real RTSP server": [
        "integration/test_stack.py::test_a_life_of_the_stack",
        "integration/test_rtsp.py::test_pictures_come_soon_and_in_time",
    ],
    "kills and freezes workers, producers, Kafka and Redis at random, and holds every frame that went in": [
        "chaos/test_plan.py::test_every_hundred_has_the_mix_half_killed_half_frozen",
        "chaos/test_checker.py::test_planted_mistakes_are_found",
        "chaos/test_run.py::test_nothing_is_lost_or_doubled_whatever_is_broken",
    ],
    "it cuts wires, lets workers come and go, sends garbage and breaks cameras as well": [
        "chaos/test_plan.py::test_the_mixed_run_has_everything_before_anything_twice",
        "chaos/test_run.py::test_nothing_is_lost_or_doubled_whatever_is_broken",
    ],
    "Every one has `--help` with examples": ["integration/test_commands.py::test_help_shows_examples"],
    "The whole service over files, to the end; one JSON line per frame": [
        "integration/test_run.py::test_run_detects_in_every_frame_and_names_the_source_that_failed"
    ],
    "objects keep their id, and what they do at a zone or a line is told": [
        "unit/test_events.py::test_zones",
        "unit/test_events.py::test_lines",
        "integration/test_results.py::test_events_are_shown_on_their_own",
    ],
    "A detector of your own, from labelled pictures": [
        "training/test_training.py::test_it_measures_itself_and_ends_with_a_report",
        "training/test_export.py::test_answers_as_the_network",
    ],
    "A candidate against the model in service, on frames that are still there": [
        "integration/test_replay.py::test_a_candidate_is_held_against_what_is_in_service"
    ],
    "each is a process of its own, start as many of them as you need": [
        "integration/test_readme_session.py::test_the_session_of_the_readme"
    ],
    "In Python:": ["integration/test_results.py::test_the_program_of_the_readme_prints_what_comes"],
    "`streamer config show` lists all settings": [
        "integration/test_commands.py::test_a_shown_configuration_can_be_saved"
    ],
    "`streamer doctor` says what is missing and what to do about it": [
        "integration/test_commands.py::test_up_status_doctor_down",
        "integration/test_commands.py::test_doctor_names_a_wrong_address_of_a_broker_and_of_redis",
    ],
    "a file is named for its step": ["unit/test_architecture.py::test_packages_import_as_the_table_allows"],
    "writes `build/bench.json`": ["integration/test_bench.py::test_a_scenario_is_measured_and_set_against_the_floor"],
}
"""Words of the README, and the tests that hold them."""


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
    assert not unheld(points)


def test_every_paragraph_on_trying_and_using_it_is_held_by_a_test() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Try it")[2].partition("## The way of a")[0]
    prose = re.sub(r"```.*?```|<!--.*?-->|^## .*?$", "", section, flags=re.DOTALL | re.MULTILINE)
    paragraphs = [" ".join(paragraph.split()) for paragraph in prose.split("\n\n") if paragraph.strip()]
    assert len(paragraphs) >= 10
    assert not unheld(paragraphs)


def unheld(texts: list[str]) -> list[str]:
    """Those in which no promise is."""
    return [each for each in texts if not any(promise in each for promise in PROMISES)]
