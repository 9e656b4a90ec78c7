"""The camera that sees the street: metres on the ground to pixels."""

from dataclasses import dataclass

HEIGHT_M = 6.0  # above the street

# Distances from the camera in metres: where the parts of the street, which runs across the picture, begin.
NEAR_KERB, LANE_LINE, FAR_KERB, HOUSES = 15.0, 19.4, 24.0, 31.0
NEAREST = 11.5


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera looking horizontally. width, height: of its picture in pixels."""

    width: int
    height: int

    @property
    def focal(self) -> float:
        """Focal length in pixels; the nearest pavement lies at the lower edge whatever the aspect."""
        return 0.8 * max(self.width, self.height * 16 / 9)

    @property
    def horizon(self) -> float:
        """Row of the horizon in pixels."""
        return 0.22 * self.height

    def scale(self, distance: float) -> float:
        """Pixels per metre at `distance` metres."""
        return self.focal / distance

    def project(self, x: float, distance: float, above: float = 0.0) -> tuple[float, float]:
        """Pixel position of a point x metres right of the middle and `above` metres above the street."""
        scale = self.scale(distance)
        return self.width / 2 + x * scale, self.horizon + (HEIGHT_M - above) * scale

    def half_width(self, distance: float) -> float:
        """How far one sees to either side at `distance`, in metres."""
        return self.width / 2 / self.scale(distance)
