"""Whether the telemetry process takes time from requests: it may use what nobody else wants, and no more.

While it computes, the time on the clock and the CPU time that it got should be the same; where they are not, it waited
for a core, and so did others for it. Niceness does not settle that: kernels that group processes by session give each
group the same share. So workers are asked to hold back for a while, and then for longer as long as nothing changes.
"""

from __future__ import annotations

_ENOUGH_CPU_S = 0.03  # what is judged at a time
_WAITED_SHARE = 0.25
_FIRST_REST_S = 2.0
_LONGEST_REST_S = 16.0


class Pressure:
    """Judges the work of this process, piece by piece. Times are in seconds."""

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._wall_s = 0.0
        self._rest_s = _FIRST_REST_S

    def worked(self, cpu_s: float, wall_s: float) -> float | None:
        """Take one piece of computing; for how long everybody should hold back, ``None`` where that is not needed."""
        self._cpu_s += cpu_s
        self._wall_s += wall_s
        if self._cpu_s < _ENOUGH_CPU_S and self._wall_s < 2 * _ENOUGH_CPU_S:
            return None
        waited = 1 - self._cpu_s / self._wall_s if self._wall_s else 0.0
        self._cpu_s = self._wall_s = 0.0
        if waited < _WAITED_SHARE:
            self._rest_s = max(_FIRST_REST_S, self._rest_s / 2)
            return None
        rest_s = self._rest_s
        self._rest_s = min(_LONGEST_REST_S, rest_s * 2)
        return rest_s
