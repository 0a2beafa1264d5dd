"""Pictures as a movie file: GIF or MP4, whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.files import replaced

# One palette for all frames, from all their pixels, and no dithering: nothing flickers.
ONE_PALETTE = "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none"
# CRF 18 shows no difference to the eye; the index goes first, so that a browser starts at once.
CODECS: dict[str, tuple[str, str, list[str]]] = {
    ".gif": ("gif", "pal8", ["-filter_complex", ONE_PALETTE, "-loop", "0", "-f", "gif"]),
    ".mp4": ("libx264", "yuv420p", ["-crf", "18", "-movflags", "+faststart", "-f", "mp4"]),
}
SAME_BYTES = ["-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1"]
MAX_GIF_FPS = 50  # players take a shorter delay than 2/100 s for a mistake and slow down


def write_movie(frames: Iterable[np.ndarray], path: Path, fps: int) -> None:
    """Write pictures as a movie: an endless GIF, or an MP4 (H.264) that every player knows.

    A picture with an odd number of rows or columns gets one more, a copy of its last: H.264 as
    players know it (yuv420p) has even sizes only.

    Args:
        frames: One or more pictures, uint8 of shape (height, width, 3), all of one size.
        path: File that ends in .gif or .mp4; replaced as a whole if it exists.
        fps: Pictures per second; a GIF takes 50 at most.

    Raises:
        UserError: If the name ends in something else, or the file cannot be written.
        ValueError: If there is no picture, or one has another size or type.
    """
    check_movie_name(path)
    ending = path.suffix.lower()
    if not 1 <= fps <= (MAX_GIF_FPS if ending == ".gif" else 240):
        raise UserError(f"found {fps} pictures per second, expected 1 to 240, 50 for a GIF")
    pictures = _checked(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a movie needs at least one picture")
    with replaced(path) as temporary:
        _encode(temporary, ending, fps, first, pictures)


def check_movie_name(path: Path) -> None:
    """Refuse a name that does not end in .gif or .mp4, before time is spent on pictures."""
    if path.suffix.lower() not in CODECS:
        raise UserError(f"found {path.name}, expected a movie file that ends in .gif or .mp4")


def _encode(
    path: Path, ending: str, fps: int, first: np.ndarray, rest: Iterator[np.ndarray]
) -> None:
    codec, pixels, options = CODECS[ending]
    size = f"{first.shape[1]}x{first.shape[0]}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "-"]
    coded = ["-c:v", codec, "-pix_fmt", pixels, *options, *SAME_BYTES]
    command = [_ffmpeg(), "-y", "-v", "error", *raw, "-an", *coded, f"file:{path}"]
    with TemporaryFile() as words:  # a pipe that nobody reads would stop ffmpeg
        with Popen(command, stdin=PIPE, stdout=DEVNULL, stderr=words) as process:
            try:
                _feed(process, chain([first], rest))
            except BaseException:
                process.kill()
                raise
        words.seek(0)
        said = words.read().decode(errors="replace").strip().splitlines()
    if process.returncode != 0:
        raise OSError(f"ffmpeg: {said[-1] if said else f'exit code {process.returncode}'}")


def _feed(process: Popen[bytes], frames: Iterable[np.ndarray]) -> None:
    """Send pictures to ffmpeg until it has them all or ends; its exit code tells which."""
    stream: Any = process.stdin
    with contextlib.suppress(BrokenPipeError):
        for frame in frames:
            stream.write(frame.data)
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise UserError(
            "found no ffmpeg for this machine; install the package imageio-ffmpeg, or set "
            "IMAGEIO_FFMPEG_EXE to an ffmpeg program"
        ) from error


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the pictures with even sizes, all of one shape, as contiguous arrays."""
    shape = None
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(
                f"picture {number} is {frame.dtype} {frame.shape}, not uint8 (h, w, 3)"
            )
        if frame.shape != (shape := shape or frame.shape):
            raise ValueError(f"picture {number} has shape {frame.shape}, the first one {shape}")
        odd = (frame.shape[0] % 2, frame.shape[1] % 2)
        yield np.ascontiguousarray(np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), "edge"))
