"""Sizes and times, rounded for people on a terminal."""

from datetime import datetime, timezone

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"))


def size(count: int | None) -> str:
    """Return a number of bytes in decimal units, as docker does: `12.3 MB`. Nothing for None."""
    if count is None:
        return ""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 99.5 else f"{value:.0f} {unit}"


def age(moment: datetime | None, *, now: datetime | None = None) -> str:
    """Return how long ago that was in one unit, as kubectl does: `30d`. Nothing for None."""
    if moment is None:
        return ""
    seconds = int(((now or datetime.now(timezone.utc)) - moment).total_seconds())
    for length, unit in _STEPS:
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{max(seconds, 0)}s"
