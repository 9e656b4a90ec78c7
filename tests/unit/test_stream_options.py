"""How a stream is treated, as words on the command line."""

import pytest

from streamer.commands.parser import Parser
from streamer.commands.stream_options import add_treatment_options, treatment
from streamer.errors import UsageError
from streamer.records.stream import StreamDefinition, parse_definition

DOOR = {"name": "door", "points": ((1, 2), (30, 4), (5, 60.5))}
KERB = {"name": "kerb", "start": (0, 10), "end": (640, 12)}


def defined(*words: str) -> StreamDefinition:
    parser = Parser()
    add_treatment_options(parser)
    fields = treatment(parser.parse_args(words))
    return parse_definition(StreamDefinition, {"id": "gate", "source": "synthetic:", **fields})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("--fps", "5", "--rotate", "90", "--no-loop"), {"fps": 5, "rotate": 90, "loop": False}),
        (("--pace", "fast"), {"pace": "fast", "freshness": "every"}),
        (("--crop", "1,2,300,400"), {"crop": {"left": 1, "top": 2, "width": 300, "height": 400}}),
        (("--mask", "0,0;9,0;9,9:pixelate"), {"masks": ({"points": ((0, 0), (9, 0), (9, 9)), "mode": "pixelate"},)}),
        (("--mask", "none"), {"masks": ()}),
        (("--option", "rtsp_transport=udp"), {"options": {"rtsp_transport": "udp"}}),
        (("--option", "none"), {"options": {}}),
        (("--track",), {"track": True}),
        (("--zone", "door=1,2;30,4;5,60.5"), {"track": True, "zones": (DOOR,)}),
        (("--zone", "door=1,2 30,4 5,60.5:20"), {"track": True, "zones": ({**DOOR, "dwell_s": 20},)}),
        (("--zone", "none", "--line", "none"), {"zones": (), "lines": ()}),
        (("--zone", "door=1,2;30,4;5,60.5", "--line", "kerb=0,10;640,12"), {"zones": (DOOR,), "lines": (KERB,)}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_words_become_a_definition(words: tuple[str, ...], expected: dict[str, object]) -> None:
    found = defined(*words)
    wanted = parse_definition(
        StreamDefinition, {"id": "gate", "source": "synthetic:", "track": found.track, **expected}
    )
    assert found == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--zone", "1,2;3,4;5,6"), "--zone: '1,2;3,4;5,6' is neither NAME=X,Y;X,Y;X,Y[:SECONDS], three points at"),
        (
            ("--zone", "door=1,2;3"),
            "'door=1,2;3' is neither NAME=X,Y;X,Y;X,Y[:SECONDS], three points at least, nor none",
        ),
        (("--zone", "door=1,2;3,4"), "three points at least"),
        (("--zone", "door=1,2;3,4;5,6:soon"), "'door=1,2;3,4;5,6:soon' is neither NAME="),
        (("--zone", "no/door=1,2;3,4;5,6"), "zone or line"),
        (("--line", "kerb=1,2"), "--line: 'kerb=1,2' is neither NAME=X,Y;X,Y, two points, nor none"),
        (("--line", "kerb=1,2;1,2"), "two points"),
        (("--line", "a=1,2;3,4", "--line", "a=1,2;3,5"), "names of their own"),
        (("--line", "a=1,2;3,4", "--no-track"), "need track"),
        (
            ("--mask", "1,2;x,4;5,6"),
            "--mask: '1,2;x,4;5,6' is neither X,Y;X,Y;X,Y[:pixelate], three points at least,",
        ),
        (("--mask", "1,2"), "three points at least"),
        (("--crop", "1,2,3"), "--crop: '1,2,3' is neither X,Y,W,H in whole pixels nor none"),
        (("--fps", "some"), "--fps: 'some' is neither a number nor none"),
        (("--motion-gate", "inf"), "--motion-gate: 'inf' is neither a number nor none"),
        (("--video", "first"), "--video: 'first' is not a whole number"),
        (("--option", "rtsp_transport"), "'rtsp_transport' is neither NAME=VALUE, e.g. rtsp_transport=udp, nor none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_say_what_to_change(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((UsageError, SystemExit)) as refused:
        defined(*words)
    said = capsys.readouterr().err if isinstance(refused.value, SystemExit) else str(refused.value)
    assert message in said
    assert said.rstrip("\n").count("\n") == 0
