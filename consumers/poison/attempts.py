"""Which frame ended a worker: what is written down before frames are begun, so that a successor can tell.

A frame may kill the process that looks at it: a fault in a decoder, an engine that aborts, all memory taken. Nobody is
left to say so. Hence everything is said before, in the metadata of the partition's committed offset:

1. *Together.* Who takes a partition over and gets its first frames writes an attempt at the committed offset: frames
   are begun, and suspect would be those below `until`, which is as far as the log and a worker's hands reach. Commits
   carry the attempt on until they are past `until`; then it is gone and costs nothing more. Who gives the partition up
   alive takes the attempt back. So who takes over and finds one knows that a worker has died at these frames.
2. *In groups.* Below `until` frames are then begun a few at a time, with nothing else under way in the process; each
   group is committed before the next, and the end of the group is written down before.
3. *Alone.* Who finds a group's end takes its frames one by one, and writes the offset of each down before, with how
   often that frame has been begun alone. Behind the group it goes on in groups, behind `until` as usual.
4. Who finds the offset of a frame that was alone knows that it was this frame, or a chance kill at just this moment; so
   the frame is tried again. One that was begun alone `detect.tries` times without an end is dead: its record on
   `frames.dead`, its gap and the offset behind it are one transaction.

So a frame is condemned after that many deaths in a row with nothing but this frame under way, behind two that narrowed
it down. Its neighbours never are, and a good frame only is if kills from outside hit this very frame time after time.
One more death may come first: a worker that has long been past its `until` leaves no attempt, so that the normal course
costs nothing. An engine that is broken for every frame fails as it is loaded, before anything is written down.

All writes are fenced by the group's generation: a worker that was frozen and wakes can't touch the count.
"""

from dataclasses import dataclass, replace

BESIDES_QUEUE = 256
"""Records that a worker may have taken in beyond its queue: what a poll brings, what lanes hold, what waits for a
commit. Were it more, the attempt would be found further on, one death later."""
GROUP = 16
"""Records that are begun together in step 2: enough that it is hardly slower than usual."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Frames behind the committed offset were begun, and no end is known.

    until, group_end: offsets behind the last frame that is suspect, and behind the last of the group that was begun.
    alone: offset of the frame that was begun alone, and how often it has been: `tries`, 0 without one.
    """

    until: int
    group_end: int | None = None
    alone: int | None = None
    tries: int = 0

    def behind(self, offset: int) -> "Attempt | None":
        """What is left to find out when everything before `offset` is committed."""
        if offset >= self.until:
            return None
        left = self
        if left.alone is not None and left.alone < offset:
            left = replace(left, alone=None, tries=0)
        if left.group_end is not None and left.group_end <= offset:
            left = replace(left, group_end=None)
        return left

    def is_condemned(self, offset: int, tries: int) -> bool:
        """Whether the frame at `offset` was begun as often as it may be. Step 4."""
        return self.alone == offset and self.tries >= tries

    def goes_alone(self, offset: int) -> bool:
        """Whether the frame at `offset` is to be begun alone rather than in a group."""
        return self.alone == offset or (self.group_end is not None and offset < self.group_end)

    def dump(self) -> list[int | None]:
        """As in the metadata."""
        return [self.until, self.group_end, self.alone, self.tries]


def begun_together(offset: int, log_end: int, queue: int) -> Attempt:
    """Step 1. offset: the committed one; log_end: where the log ends now; queue: frames that wait in a worker."""
    return Attempt(max(min(log_end, offset + queue + BESIDES_QUEUE), offset + 1))


def begun_in_group(known: Attempt, end: int) -> Attempt:
    """Step 2: the records before `end` are begun, and nothing else."""
    return Attempt(max(known.until, end), end)


def begun_alone(known: Attempt, offset: int) -> Attempt:
    """Step 3: the record at `offset` is begun, and nothing else."""
    before = known.tries if known.alone == offset else 0
    return replace(known, until=max(known.until, offset + 1), alone=offset, tries=before + 1)
