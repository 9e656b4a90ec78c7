"""A looping RTSP camera for tests. Runs under the system's Python, where GStreamer's bindings are.

    /usr/bin/python3 rtsp_server.py CLIP.mp4 [--then CLIP.mp4] [--or CLIP.mp4] [--port N]
        [--user U --password P --auth basic|digest]

Serves the H.264 of CLIP, with --then of both by turns, with --or of the other after each SIGUSR1, at
rtsp://127.0.0.1:PORT/live without transcoding it; prints the port when ready.
"""

import argparse
import signal

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"
LAUNCH = (
    f'( appsrc name=src is-live=false format=time max-bytes=%d caps="{CAPS}" '
    "! identity sync=true ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )"
)


def read_access_units(clip):
    """[(bytes, pts, dts)] in ns, and how long all of them last."""
    pipeline = Gst.parse_launch(
        f"filesrc location={clip} ! qtdemux ! h264parse config-interval=-1 ! {CAPS} ! appsink name=sink sync=false"
    )
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    units = []
    while sample := sink.emit("pull-sample"):
        buffer = sample.get_buffer()
        units.append((buffer.extract_dup(0, buffer.get_size()), buffer.pts, buffer.dts, buffer.duration))
    pipeline.set_state(Gst.State.NULL)
    start = min(unit[2] for unit in units)
    span = units[-1][2] + units[-1][3] - start
    return [(data, pts - start, dts - start) for data, pts, dts, _ in units], span


def read_all(clips):
    """The same of several clips, one behind the other."""
    everything, length = [], 0
    for clip in clips:
        units, span = read_access_units(clip)
        everything += [(data, pts + length, dts + length) for data, pts, dts in units]
        length += span
    return everything, length


class Loop:
    """Feeds every client from a clip's start. clips: of which the first is shown, and the next after `change`."""

    def __init__(self, clips):
        self.clips, self.shown = clips, 0

    def change(self):
        self.shown = (self.shown + 1) % len(self.clips)
        return GLib.SOURCE_CONTINUE

    def configure(self, _factory, media):
        state = {"clip": self.shown, "next": 0, "start": 0}
        media.get_element().get_by_name("src").connect("need-data", self.push, state)

    def push(self, source, _length, state):
        units, span = self.clips[state["clip"]]
        if state["next"] == len(units):
            state.update(clip=self.shown, next=0, start=state["start"] + span)
            units, span = self.clips[state["clip"]]
        data, pts, dts = units[state["next"]]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts, buffer.dts = pts + state["start"], dts + state["start"]
        state["next"] += 1
        source.emit("push-buffer", buffer)


def protect(server, factory, user, password, method):
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if method == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("user")
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
    server.set_auth(auth)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--then", action="append", default=[])
    parser.add_argument("--or", dest="other")
    parser.add_argument("--port", default="0")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--auth", choices=("basic", "digest"), default="basic")
    arguments = parser.parse_args()
    Gst.init(None)
    clips = [read_all([arguments.clip, *arguments.then])]
    if arguments.other:
        clips.append(read_all([arguments.other]))
    loop = Loop(clips)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, loop.change)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    factory = GstRtspServer.RTSPMediaFactory()
    # A change is seen when what was pushed before it is over.
    factory.set_launch(LAUNCH % (4_000 if arguments.other else 400_000))
    factory.set_shared(False)
    factory.connect("media-configure", loop.configure)
    if arguments.user:
        protect(server, factory, arguments.user, arguments.password, arguments.auth)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        raise SystemExit(f"port {arguments.port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
