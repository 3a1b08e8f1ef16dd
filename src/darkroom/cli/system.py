"""What the system refuses, in a sentence for whoever can put it right."""

import errno

from darkroom.disk import OUT_OF_ROOM

NO_SUCH_PLACE = (
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENXIO,
    errno.ENODEV,
)
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
BAD_DISK = (errno.EIO, errno.ESTALE)
ADVICE = {
    **dict.fromkeys(NO_SUCH_PLACE, "check the path"),
    **dict.fromkeys(NO_RIGHT, "see that you have the right to it, or choose another place"),
    **dict.fromkeys(BAD_DISK, "see that its disk is sound"),
    **dict.fromkeys(OUT_OF_ROOM, "free some space, or choose another place"),
}
"""What to do about each; any other error may be a fault of ours."""


def sentence_of(error: OSError) -> str | None:
    """What to tell of a file that the system refuses, or of a full disk; None for anything else."""
    advice = ADVICE.get(error.errno or 0)
    reason = f"{(error.strerror or '').lower()}; {advice}."
    if advice and error.filename is not None:
        return f"cannot use '{error.filename}': {reason}"
    return f"cannot write: {reason}" if error.errno in OUT_OF_ROOM else None
